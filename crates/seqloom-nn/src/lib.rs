//! Layers, losses and models: one system per file.
//!
//! A layer registers its parameters in a [`seqloom_graph::Params`] when it is made and keeps only their ids, so it is a
//! small plain value. Its `forward` records the layer's mathematics into its operand's graph. Nothing here knows a
//! kernel or holds device memory, so one model serves training, evaluation and generation over the same parameters.
//! Names and initial values follow PyTorch's modules, so a `state_dict` loads in both directions.
//!
//! Dimensions: B batch, T time, C channels, H hidden, V vocabulary, L layers.
//!
//! | room, from the lowest | what it holds |
//! |---|---|
//! | [`error`], [`vocab`], [`state`], [`model`] | what can go wrong; symbols and their ids; what models carry from step to step; what can be trained |
//! | [`batch`] | the input of a training step |
//! | [`layers`] | layers of one or a few operations, and losses |
//! | [`recurrent`] | RNN, LSTM, GRU |
//! | [`attention`] | attention, positions, and the blocks of Transformers |
//! | [`models`] | whole models, one per file |
//! | [`generate`] | text, translations and the likeliest sequences from a model |
//!
//! A file imports from its own room and from those above it in this table, never from one below, and no files import
//! each other in a circle. Names that users type are re-exported here, so `seqloom_nn::Lstm` is enough.

pub mod attention;
pub mod batch;
pub mod error;
pub mod generate;
pub mod layers;
pub mod model;
pub mod models;
mod random;
pub mod recurrent;
pub mod state;
pub mod vocab;

pub use attention::multi_head::{AttentionConfig, AttentionInit, KeyValues, MultiHeadAttention};
pub use attention::positions::{AbsolutePositions, Place, PositionEmbedding, SinusoidLayout, sinusoids};
pub use attention::relative_positions::{RelativePositions, Rotary, alibi_slopes};
pub use attention::scores::{Attended, Attention, Memory, Score};
pub use attention::transformer_block::{BlockConfig, BlockInit, CrossAttended, NormPlace, TransformerBlock};
pub use attention::transformer_dropout::TransformerDropout;
pub use attention::transformer_stack::{StackMemory, TransformerStack};
pub use attention::tree_positions::{TreePositions, tree_distances};
pub use batch::inputs::{Bound, Inputs};
pub use batch::listener::{Finished, LossListener};
pub use batch::lm_batch::LmBatch;
pub use batch::masked_batch::{MaskedBatch, Masking};
pub use batch::translation_batch::{TranslationBatch, TranslationVocab};
pub use batch::{Batch, padded_time};
pub use error::{NnError, SentenceFault, Side};
pub use generate::alignment::ctc_greedy;
pub use generate::beam::{BeamSearch, Hypothesis, StepModel};
pub use generate::carried::GenerationMemory;
pub use generate::generator::{Generate, Generator};
pub use generate::translator::{Translate, Translation, Translator};
pub use layers::conv1d::{Conv1d, Conv1dConfig, Conv1dOptions, Padding, conv1d};
pub use layers::dropout::Dropout;
pub use layers::embedding::Embedding;
pub use layers::feed_forward::{FeedForward, FeedForwardActivation, FeedForwardConfig, FeedForwardNames};
pub use layers::layer_norm::LayerNorm;
pub use layers::linear::Linear;
pub use layers::losses;
pub use layers::norm::{Norm, NormKind};
pub use layers::rms_norm::RmsNorm;
pub use model::{Model, recorder};
pub use models::bert::{Bert, BertConfig};
pub use models::encoder_decoder::seq2seq::{
    DecoderState, DecoderStep, Encoded, GruSeq2Seq, LstmSeq2Seq, Seq2Seq, Seq2SeqConfig, Wiring,
};
pub use models::encoder_decoder::transformer::{Transformer, TransformerConfig};
pub use models::encoder_decoder::{Begun, EncoderDecoder, Next, Source};
pub use models::language::conv_lm::{ConvLm, ConvLmConfig};
pub use models::language::gpt::{Gpt, GptConfig};
pub use models::language::latent_lm::{LatentLm, LatentLmConfig};
pub use models::language::markov_lm::MarkovLm;
pub use models::language::recurrent_lm::{
    GruLm, LstmLm, LstmLmConfig, RecurrentLm, RecurrentLmConfig, RnnLm,
};
pub use models::language::window_lm::{WindowLm, WindowLmConfig};
pub use models::language::{LanguageModel, Reading};
pub use models::window_tagger::{WindowTagger, WindowTaggerConfig};
pub use recurrent::Recurrent;
pub use recurrent::gru::{Gru, GruOptions};
pub use recurrent::lstm::{Lstm, LstmOptions, LstmOutput, LstmState};
pub use recurrent::rnn::Rnn;
pub use recurrent::shapes::{RecurrentConfig, RecurrentOutput, Run};
pub use state::{Past, StateShape};
pub use vocab::Vocab;

/// Result of this crate's fallible functions.
pub type Result<T, E = NnError> = std::result::Result<T, E>;
