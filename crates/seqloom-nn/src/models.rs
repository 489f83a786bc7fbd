//! Whole models, each in a file of its own, grouped by what they do.
//!
//! | module | subject |
//! |---|---|
//! | [`language`] | what language models have in common, and the language models |
//! | [`encoder_decoder`] | what models have in common that read a sentence and write another, and those models |
//! | [`bert`] | the encoder-only Transformer, which predicts masked tokens |
//! | [`window_tagger`] | labels of words from the words around them |

pub mod bert;
pub mod encoder_decoder;
pub mod language;
pub mod window_tagger;
