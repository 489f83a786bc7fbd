//! What all encoder–decoders have in common for translation.
//!
//! A model says how a batch of sources becomes a memory and an initial state, and how one step of some rows follows
//! from both. Then one translator serves all models. Memory and state are lists of plain tensors, as a language model's
//! state is. Training is up to each model, which runs over all steps at once if it can.

pub mod seq2seq;
pub mod transformer;

use seqloom_graph::{Lengths, Tensor};

use crate::batch::translation_batch::TranslationVocab;
use crate::state::{Past, StateShape};

/// What a decoder reads in every step and never changes, for B sentences of up to S tokens.
#[derive(Clone, Debug)]
pub struct Source<'g> {
    /// The encoder's outputs, with the shapes that [`EncoderDecoder::memory_shapes`] gives.
    pub memory: Vec<Tensor<'g>>,
    /// Their true lengths, of up to S.
    pub lengths: Lengths<'g>,
}

/// What an encoder hands to a decoder.
#[derive(Clone, Debug)]
pub struct Begun<'g> {
    /// The memory.
    pub memory: Vec<Tensor<'g>>,
    /// The initial state of B rows; empty if no part of the state is read before it is written.
    pub state: Vec<Tensor<'g>>,
}

/// A decoder's results for one token of each of R rows.
#[derive(Clone, Debug)]
pub struct Next<'g> {
    /// Logits [R, V] of the token after.
    pub logits: Tensor<'g>,
    /// How much each source token mattered, [R, S]; `None` without attention.
    pub weights: Option<Tensor<'g>>,
    /// The state after the step.
    pub state: Vec<Tensor<'g>>,
}

/// A model that reads a sentence and writes another, token by token.
pub trait EncoderDecoder {
    /// Ids of both sides, and those that start and end a target.
    fn vocab(&self) -> TranslationVocab;

    /// Longest source that it reads, in tokens.
    fn max_source(&self) -> usize;

    /// Most steps that it decodes, or any number.
    fn max_target(&self) -> Option<usize> {
        None
    }

    /// Shapes of the memory for this many sentences of this many positions.
    fn memory_shapes(&self, sentences: usize, positions: usize) -> Vec<Vec<usize>>;

    /// Shapes of the state that `rows` rows carry from step to step.
    fn state_shapes(&self, rows: usize) -> Vec<StateShape>;

    /// Records the encoder: source ids [B, S] and their lengths.
    #[track_caller]
    fn begin<'g>(&self, sources: Tensor<'g>, lengths: Lengths<'g>) -> Begun<'g>;

    /// Records one step of R rows, a multiple of B: tokens \[R\], the state before with its number of steps, and the
    /// memory. Rows b·R/B to (b + 1)·R/B − 1 translate sentence b.
    #[track_caller]
    fn next<'g>(&self, tokens: Tensor<'g>, past: &Past<'g>, source: &Source<'g>) -> Next<'g>;
}
