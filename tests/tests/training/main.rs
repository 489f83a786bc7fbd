//! Training from data to scores: the trainer, files of models, data, hidden tokens, translation, and scores over test
//! sets.
//!
//! One binary, because linking one takes longer than compiling its modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test stops at the first surprise.

mod accumulated;
mod alignment;
mod checkpoints;
mod constants;
mod golden_bleu;
mod golden_optimizers;
mod golden_schedules;
mod golden_training;
mod groups;
mod masked_language;
mod own_data;
mod own_labels;
mod own_llama;
mod own_model;
mod state;
mod training;
mod translation;
