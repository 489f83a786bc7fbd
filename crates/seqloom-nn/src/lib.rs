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
//! | [`linear`], [`embedding`], [`dropout`], [`mod@conv1d`] | layers |
//! | [`rnn`], [`lstm`], [`gru`] | recurrent layers; [`recurrent`] is what they share |
//! | [`layer_norm`], [`rms_norm`], [`norm`] | normalisation |
//! | [`positions`], [`relative_positions`], [`tree_positions`] | how a Transformer knows where a step stands |
//! | [`multi_head_attention`], [`feed_forward`], [`transformer_block`], [`transformer_stack`] | what Transformers are built of |
//! | [`attention_scores`] | attention of recurrent decoders to what an encoder read |
//! | [`losses`] | losses |
//! | [`language_model`] | what language models have in common |
//! | [`markov_lm`], [`window_lm`], [`latent_lm`], [`conv_lm`], [`recurrent_lm`] | language models |
//! | [`window_tagger`] | labels of words from the words around them |
//! | [`gpt`] | the decoder-only Transformer |
//! | [`bert`] | the encoder-only Transformer |
//! | [`seq2seq`] | the recurrent encoder–decoder, with attention |
//! | [`transformer`] | the encoder–decoder Transformer |
//! | [`encoder_decoder`] | what encoder–decoders have in common where they translate |
//! | [`translator`] | translations from them |
//! | [`vocab`] | symbols and their ids |
//! | [`beam`] | the likeliest sequences of any model that goes step by step |
//! | [`batch`], [`lm_batch`], [`masked_batch`], [`translation_batch`] | what a training step is fed with |
//! | [`generator`] | text from a model, one symbol a time; `sampling` draws it |
//! | [`carried`] | what generation and translation keep on the device |

pub mod attention_scores;
pub mod batch;
pub mod beam;
pub mod bert;
pub mod carried;
pub mod conv1d;
pub mod conv_lm;
pub mod dropout;
pub mod embedding;
pub mod encoder_decoder;
pub mod error;
pub mod feed_forward;
pub mod generator;
pub mod gpt;
pub mod gru;
pub mod language_model;
pub mod latent_lm;
pub mod layer_norm;
pub mod linear;
pub mod lm_batch;
pub mod losses;
pub mod lstm;
pub mod markov_lm;
pub mod masked_batch;
pub mod multi_head_attention;
pub mod norm;
pub mod positions;
pub mod recurrent;
pub mod recurrent_lm;
pub mod relative_positions;
pub mod rms_norm;
pub mod rnn;
mod sampling;
pub mod seq2seq;
mod stack;
pub mod transformer;
pub mod transformer_block;
pub mod transformer_stack;
pub mod translation_batch;
pub mod translator;
pub mod tree_positions;
pub mod vocab;
pub mod window_lm;
pub mod window_tagger;

pub use attention_scores::{Attended, Attention, Memory, Score};
pub use batch::{Batch, Finished, LossListener};
pub use beam::{BeamSearch, Hypothesis, StepModel};
pub use bert::{Bert, BertConfig};
pub use carried::StateShape;
pub use conv_lm::{ConvLm, ConvLmConfig};
pub use conv1d::{Conv1d, Conv1dConfig, Padding, conv1d};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use encoder_decoder::{Begun, EncoderDecoder, Next, Source};
pub use error::NnError;
pub use feed_forward::{FeedForward, FeedForwardActivation};
pub use generator::Generator;
pub use gpt::{Gpt, GptConfig};
pub use gru::Gru;
pub use language_model::{LanguageModel, Past, Reading};
pub use latent_lm::{LatentLm, LatentLmConfig};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lm_batch::LmBatch;
pub use lstm::{Lstm, LstmOutput, LstmState};
pub use markov_lm::MarkovLm;
pub use masked_batch::{MaskedBatch, Masking};
pub use multi_head_attention::{AttentionConfig, AttentionStart, KeyValues, MultiHeadAttention};
pub use norm::{Norm, NormKind};
pub use positions::{AbsolutePositions, Place, PositionEmbedding, SinusoidLayout, sinusoids};
pub use recurrent::{Recurrent, RecurrentConfig, RecurrentOutput, Run};
pub use recurrent_lm::{GruLm, LstmLm, LstmLmConfig, RecurrentLm, RecurrentLmConfig, RnnLm};
pub use relative_positions::{RelativePositions, Rotary, alibi_slopes};
pub use rms_norm::RmsNorm;
pub use rnn::Rnn;
pub use seq2seq::{
    DecoderState, DecoderStep, Encoded, GruSeq2Seq, LstmSeq2Seq, Seq2Seq, Seq2SeqConfig, Wiring,
};
pub use transformer::{Transformer, TransformerConfig};
pub use transformer_block::{BlockConfig, BlockStart, CrossAttended, NormPlace, TransformerBlock};
pub use transformer_stack::{StackMemory, TransformerStack};
pub use translation_batch::{SentenceFault, Side, TranslationBatch, TranslationVocab};
pub use translator::{Translation, Translator};
pub use tree_positions::{TreePositions, tree_distances};
pub use vocab::Vocab;
pub use window_lm::{WindowLm, WindowLmConfig};
pub use window_tagger::{WindowTagger, WindowTaggerConfig};

/// Result of this crate's fallible functions.
pub type Result<T, E = NnError> = std::result::Result<T, E>;
