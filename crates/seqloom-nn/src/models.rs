//! Whole models, one per file, grouped by what they do.
//!
//! | module | subject |
//! |---|---|
//! | [`language`] | language models, and what they have in common |
//! | [`encoder_decoder`] | models that read one sentence and write another, and what they have in common |
//! | [`bert`] | the encoder-only Transformer, which predicts masked tokens |
//! | [`window_tagger`] | labels of words from the words around them |

pub mod bert;
pub mod encoder_decoder;
pub mod language;
pub mod window_tagger;
