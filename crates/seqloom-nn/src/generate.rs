//! Sequences from a model: text, translations, and the likeliest ones.
//!
//! | module | subject |
//! |---|---|
//! | [`beam`] | the likeliest sequences of any model that goes step by step |
//! | [`generator`] | text from a language model, one symbol at a time; `sampling` draws the symbols |
//! | [`translator`] | translations from an encoder–decoder |
//! | [`alignment`] | labels from the scores of each step |
//! | [`carried`] | what both keep on the device |

pub mod alignment;
pub mod beam;
pub mod carried;
pub mod generator;
mod sampling;
pub mod translator;
