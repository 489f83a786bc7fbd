//! Seqloom trains and runs sequence models on any GPU that Vulkan, Metal or DX12 reaches.
//!
//! A model is ordinary Rust. Seqloom records it as a graph, derives the backward pass and the optimizer's update, fuses
//! operations, picks a kernel for each, plans all memory, and replays that program for every step. This crate has no
//! code of its own and re-exports the other crates' public names. [`prelude`] has those that a training program needs,
//! and [`prelude::custom`] those for your own models.
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
//!
//! | feature, off unless asked for | what it brings |
//! |---|---|
//! | `plots` | curves, charts and attention maps as SVG |
//! | `tokenizers` | codecs of words and subwords, and batches for translation |
//! | `parquet` | tables from Parquet files |

pub use seqloom_device as device;
pub use seqloom_graph as graph;
pub use seqloom_nn as nn;
pub use seqloom_train as train;

pub use seqloom_train::{Error, Result};

/// What a program needs that trains and runs models that exist, in one line: `use seqloom::prelude::*`.
pub mod prelude {
    pub use seqloom_device::{Device, DeviceOptions, Tuning};
    pub use seqloom_graph::{HostTensor, ParamStore, Params, StoreKind};
    pub use seqloom_nn::{
        AbsolutePositions, Batch, BeamSearch, Bert, BertConfig, BlockConfig, ConvLm, ConvLmConfig,
        EncoderDecoder, FeedForwardActivation, Generate, Generator, Gpt, GptConfig, GruLm, GruSeq2Seq,
        Inputs, LanguageModel, LatentLm, LatentLmConfig, LmBatch, LstmLm, LstmLmConfig, LstmSeq2Seq,
        MarkovLm, MaskedBatch, Masking, Model, NormKind, NormPlace, RecurrentLm, RecurrentLmConfig,
        RelativePositions, RnnLm, Rotary, Score, Seq2Seq, Seq2SeqConfig, SinusoidLayout, Transformer,
        TransformerConfig, TransformerDropout, Translate, Translation, TranslationBatch, TranslationVocab,
        Translator, Vocab, WindowLm, WindowLmConfig, WindowTagger, WindowTaggerConfig, Wiring,
    };
    pub use seqloom_train::{
        Adafactor, Adagrad, Adam, AdamW, Batches, CharCorpus, Checkpoint, Columns, Cosine, Dataset,
        EarlyStopping, Group, Lion, LoadError, Muon, Order, ParallelText, Perplexity, Progress,
        ReduceOnPlateau, RmsProp, Samples, Schedule, Sgd, Table, Trainer, Verdict, Warmup, corpus_bleu,
    };
    #[cfg(feature = "tokenizers")]
    pub use seqloom_train::{
        ParallelCorpus, SubwordOptions, TextCodec, TranslationBatches, Unit, WordOptions,
    };

    /// What a model of one's own needs: the prelude, and with it layers, tensors and programs. In one line,
    /// `use seqloom::prelude::custom::*`.
    ///
    /// A line through points, y = x·Wᵀ + b, fitted by a program that is run by hand:
    ///
    /// ```
    /// use seqloom::prelude::custom::*;
    ///
    /// # fn main() -> seqloom::Result<()> {
    /// let mut params = Params::seeded(1);
    /// let line = Linear::new(&mut params, "line", 1, 1);
    /// let g = Graph::training(&params);
    /// let error = line.forward(g.input("x", &[4, 1], DType::F32)) - g.input("y", &[4, 1], DType::F32);
    /// let adam = AdamW { weight_decay: 0.0, ..AdamW::default() };
    /// let objective = Objective { update: Some(&adam), ..Objective::new((error * error).mean_all()) };
    ///
    /// let device = Device::open(DeviceOptions::default())?;
    /// let store = ParamStore::new(&device, params, StoreKind::Training)?;
    /// let program = Program::compile(&store, &g, Request { objective: Some(objective), ..Request::default() })?;
    /// let x = HostTensor::f32(&[4, 1], vec![-1.0, 0.0, 1.0, 2.0])?;
    /// let y = HostTensor::f32(&[4, 1], vec![-1.0, 1.0, 3.0, 5.0])?;
    /// for _ in 0..200 {
    ///     program.run(&[("x", &x), ("y", &y)], &Control { lr: [0.1; RATES], ..Control::default() })?;
    /// }
    /// assert!(program.read("loss")?.wait()?[0] < 1e-3, "y = 2·x + 1 is found");
    /// # Ok(())
    /// # }
    /// ```
    pub mod custom {
        pub use seqloom_graph::{
            Activation, AttentionOptions, Axes, Control, CrossEntropyOptions, DType, Following, Graph,
            HostData, Init, Initial, Kept, Lengths, Objective, Optimizer, ParamId, Program, RATES, Request,
            Start, Step, Tensor, packed_rows,
        };
        pub use seqloom_nn::losses::{self, cross_entropy};
        pub use seqloom_nn::{
            AttentionConfig, Begun, Conv1d, Conv1dConfig, Conv1dOptions, Dropout, Embedding, FeedForward,
            FeedForwardConfig, FeedForwardNames, Gru, GruOptions, KeyValues, LayerNorm, Linear, Lstm,
            LstmOptions, LstmState, MultiHeadAttention, Next, Norm, Padding, Past, Place, PositionEmbedding,
            Reading, Recurrent, RecurrentConfig, RmsNorm, Rnn, Source, StateShape, TransformerBlock,
            TransformerStack, TreePositions, ctc_greedy, recorder,
        };

        pub use super::*;
    }
}
