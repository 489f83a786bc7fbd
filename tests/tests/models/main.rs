//! Layers and models as they compute: against PyTorch, over rows of several lengths, and text and translations from them.
//!
//! One binary, because linking one takes longer than compiling what a module holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test stops at the first surprise.

mod attention;
mod generation;
mod golden_language_models;
mod golden_recurrent;
mod golden_seq2seq;
mod golden_transformer;
mod language_models;
mod ragged;
mod seq2seq;
