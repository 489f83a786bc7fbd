//! Layers and models: against PyTorch, over rows of several lengths, and the text and translations that they generate.
//!
//! One binary, because linking one takes longer than compiling its modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test stops at the first surprise.

mod attention;
mod generation;
mod golden_language_models;
mod golden_losses;
mod golden_recurrent;
mod golden_seq2seq;
mod golden_transformer;
mod language_models;
mod ragged;
mod seq2seq;
