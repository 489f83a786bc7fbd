//! Seqloom trains and runs sequence models on any GPU that Vulkan, Metal or DX12 reaches.
//!
//! A model is ordinary Rust. Seqloom records it as a graph, derives the backward pass and the optimizer's update, fuses,
//! picks a kernel for each operation, plans all memory, and replays that program step after step. This crate holds no code
//! of its own: it gathers the rooms' public names, and [`prelude`] those that a training program needs.
//!
//! ```no_run
//! use seqloom::prelude::*;
//!
//! fn main() -> seqloom::Result<()> {
//!     let device = Device::open(DeviceOptions::default())?;            // best adapter; device.facts() says which
//!     let text = CharCorpus::read("book.txt")?;
//!     let mut params = Params::seeded(42);
//!     let model = LstmLm::new(&mut params, LstmLmConfig { vocab: text.vocab(), embed: 128, hidden: 256, layers: 2, dropout: 0.1 });
//!     let mut trainer = Trainer::new(&device, params, AdamW { lr: 2e-3, ..AdamW::default() },
//!         |g, batch: &LmBatch| model.loss(g, batch))?;
//!     for batch in text.batches(32, 64).epochs(5).with_progress() {
//!         trainer.step(&batch)?;                                       // does not wait for its own result
//!     }
//!     trainer.save("model.safetensors")?;
//!     println!("{}", model.generator(&trainer)?.sample("The ", 200)?);
//!     Ok(())
//! }
//! ```
//!
//! | room | what it holds |
//! |---|---|
//! | [`device`] | adapters, buffers, pipelines, readback, faults |
//! | [`graph`] | tensors, gradients, programs |
//! | [`nn`] | layers, losses, models, generation |
//! | [`train`] | trainer, data, checkpoints, progress, plots |

pub use seqloom_device as device;
pub use seqloom_graph as graph;
pub use seqloom_nn as nn;
pub use seqloom_train as train;

pub use seqloom_train::{Error, Result};

/// What a training program needs, in one line: `use seqloom::prelude::*`.
pub mod prelude {
    pub use seqloom_device::{Device, DeviceOptions, Tuning};
    pub use seqloom_graph::{
        Activation, AttentionOptions, CrossEntropyOptions, DType, Following, Graph, HostTensor, Init,
        Lengths, ParamId, ParamStore, Params, StoreKind, Tensor, packed_rows,
    };
    pub use seqloom_nn::{
        AbsolutePositions, AttentionConfig, Batch, BeamSearch, Bert, BertConfig, BlockConfig, Conv1d,
        Conv1dConfig, ConvLm, ConvLmConfig, Dropout, Embedding, EncoderDecoder, FeedForwardActivation,
        Generate, Generator, Gpt, GptConfig, Gru, GruLm, GruSeq2Seq, LanguageModel, LatentLm, LatentLmConfig,
        LayerNorm, Linear, LmBatch, Lstm, LstmLm, LstmLmConfig, LstmSeq2Seq, LstmState, MarkovLm,
        MaskedBatch, Masking, MultiHeadAttention, NormKind, NormPlace, Padding, Past, Place,
        PositionEmbedding, Recurrent, RecurrentConfig, RecurrentLm, RecurrentLmConfig, RelativePositions,
        RmsNorm, Rnn, RnnLm, Rotary, Score, Seq2Seq, Seq2SeqConfig, SinusoidLayout, StateShape, Transformer,
        TransformerConfig, TransformerDropout, TransformerStack, Translate, Translation, TranslationBatch,
        TranslationVocab, Translator, TreePositions, Vocab, WindowLm, WindowLmConfig, WindowTagger,
        WindowTaggerConfig, Wiring,
    };
    pub use seqloom_train::{
        AdamW, Batches, CharCorpus, Checkpoint, Order, ParallelCorpus, ParallelText, Perplexity, Progress,
        Schedule, SubwordOptions, TextCodec, Trainer, TranslationBatches, Unit, WordOptions, corpus_bleu,
    };
}
