//! Layers, losses and models: every system in a file of its own.
//!
//! A layer registers its parameters in a [`seqloom_graph::Params`] when it is made and keeps only their ids, so it is a
//! small plain value; its `forward` records the layer's mathematics into whatever graph its operand belongs to. Nothing here
//! knows a kernel or holds device memory, so one model serves training, evaluation and generation over the same
//! parameters. Names and initial values follow PyTorch's modules, so that a `state_dict` crosses over in both directions.
//!
//! Dimensions: B batch, T time, C channels, H hidden, V vocabulary, L layers.
//!
//! | module | subject |
//! |---|---|
//! | [`linear`], [`embedding`], [`dropout`], [`layer_norm`], [`rms_norm`] | layers |
//! | [`rnn`], [`lstm`], [`gru`] | recurrent layers; [`recurrent`] is what they share |
//! | [`attention_scores`] | attention of recurrent decoders to what an encoder read |
//! | [`losses`] | losses |
//! | [`language_model`] | what language models have in common |
//! | [`markov_lm`], [`window_lm`], [`latent_lm`], [`recurrent_lm`] | language models |
//! | [`seq2seq`] | the encoder–decoder, with attention |
//! | [`translator`] | translations from it |
//! | [`vocab`] | symbols and their ids |
//! | [`beam`] | the likeliest sequences of any model that goes step by step |
//! | [`batch`], [`lm_batch`], [`translation_batch`] | what a training step is fed with |
//! | [`generator`] | text from a model, one character a time |

pub mod attention_scores;
pub mod batch;
pub mod beam;
pub mod dropout;
pub mod embedding;
pub mod error;
pub mod generator;
pub mod gru;
pub mod language_model;
pub mod latent_lm;
pub mod layer_norm;
pub mod linear;
pub mod lm_batch;
pub mod losses;
pub mod lstm;
pub mod markov_lm;
pub mod recurrent;
pub mod recurrent_lm;
pub mod rms_norm;
pub mod rnn;
pub mod seq2seq;
mod stack;
pub mod translation_batch;
pub mod translator;
pub mod vocab;
pub mod window_lm;

pub use attention_scores::{Attended, Attention, Memory, Score};
pub use batch::{Batch, Finished, LossListener};
pub use beam::{BeamSearch, Hypothesis, StepModel};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use error::NnError;
pub use generator::Generator;
pub use gru::Gru;
pub use language_model::{LanguageModel, Prediction};
pub use latent_lm::{LatentLm, LatentLmConfig};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lm_batch::LmBatch;
pub use lstm::{Lstm, LstmOutput, LstmState};
pub use markov_lm::MarkovLm;
pub use recurrent::{Recurrent, RecurrentConfig, RecurrentOutput, Run};
pub use recurrent_lm::{GruLm, LstmLm, LstmLmConfig, RecurrentLm, RecurrentLmConfig, RnnLm};
pub use rms_norm::RmsNorm;
pub use rnn::Rnn;
pub use seq2seq::{
    DecoderState, DecoderStep, Encoded, GruSeq2Seq, LstmSeq2Seq, Seq2Seq, Seq2SeqConfig, Wiring,
};
pub use translation_batch::{SentenceFault, Side, TranslationBatch, TranslationVocab};
pub use translator::{Translation, Translator};
pub use vocab::Vocab;
pub use window_lm::{WindowLm, WindowLmConfig};

/// Result of this crate's fallible functions.
pub type Result<T, E = NnError> = std::result::Result<T, E>;
