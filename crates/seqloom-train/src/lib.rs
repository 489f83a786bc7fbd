//! Training: optimizers, schedules, data, the trainer, checkpoints, progress and plots.
//!
//! Nothing here computes on tensors: the trainer records a model's loss, lets the graph compile a step of it, and
//! writes the few numbers that change from step to step. Everything that a run depends on (seed, step, position in the
//! data) is a plain number, so a run stopped and resumed from its checkpoint ends with the same bits as one that was
//! not stopped.
//!
//! Dimensions: B batch, T time, V vocabulary.
//!
//! | room, from the lowest | what it holds |
//! |---|---|
//! | [`fault`], [`error`], [`random`] | what can go wrong, and with which file; two small pure functions for seeds |
//! | [`report`] | progress, curves, charts, attention maps, and scores over a test set |
//! | [`data`] | data, and the batches cut from it |
//! | [`optim`] | the optimizers, the learning rate over time, and when to stop |
//! | [`checkpoint`] | safetensors files: reading, checking, replacing |
//! | [`interchange`] | files of other libraries, whose tensors have other names |
//! | [`trainer`] | steps, evaluation, programs by batch shape |
//!
//! A file imports from its own room and from those above it in this table, never from one below, and no files import
//! each other in a circle. Names that users type are re-exported here, so `seqloom_train::Trainer` is enough.

pub mod checkpoint;
pub mod data;
pub mod error;
pub mod fault;
pub mod interchange;
pub mod optim;
pub mod random;
mod replace;
pub mod report;
pub mod trainer;

pub use checkpoint::{Checkpoint, State};
pub use data::batches::{Batches, Order, Windows};
pub use data::columns::Columns;
pub use data::corpus::CharCorpus;
pub use data::course::{Course, Source};
pub use data::dataset::{Dataset, FromFn, LoadError, Picks, SampleBatches, Samples};
pub use data::dates;
#[cfg(feature = "tokenizers")]
pub use data::parallel_corpus::{ParallelCorpus, SkipReason, Skipped};
pub use data::parallel_text::ParallelText;
pub use data::prefetch::Prefetched;
pub use data::table::Table;
pub use data::text::{plain_text, read_text};
#[cfg(feature = "tokenizers")]
pub use data::text_codec::{SpecialIds, SubwordOptions, TextCodec, Unit, WordOptions};
#[cfg(feature = "tokenizers")]
pub use data::translation_batches::{Pairs, TranslationBatches};
pub use error::{Error, Result};
pub use fault::{
    CheckpointFault, CodecFault, ConfigFault, GroupFault, Misshapen, ParallelFault, TableFault, TablePlace,
};
pub use interchange::hugging_face::{read_bert, read_gpt2};
pub use interchange::name_map::{NameMap, NameRule};
pub use optim::adafactor::Adafactor;
pub use optim::adagrad::Adagrad;
pub use optim::adam::{Adam, AdamW};
pub use optim::groups::Group;
pub use optim::lion::Lion;
pub use optim::muon::Muon;
pub use optim::rms_prop::RmsProp;
pub use optim::schedule::{
    AfterWarmup, Constant, Cosine, CosineRestarts, Exponential, InverseSqrt, LinearSchedule, OneCycle,
    Schedule, StepDecay, Warmup, WarmupStableDecay,
};
pub use optim::sgd::Sgd;
pub use optim::watch::{Better, EarlyStopping, ReduceOnPlateau, Verdict};
#[cfg(feature = "plots")]
pub use report::attention_map::{AttentionMap, attention_map};
#[cfg(feature = "plots")]
pub use report::bar_chart::{Bars, Series, bar_chart};
pub use report::bleu;
pub use report::bleu::{Bleu, corpus_bleu};
pub use report::perplexity::Perplexity;
#[cfg(feature = "plots")]
pub use report::plot::{Axis, Chart, Curve, Line, line_chart, loss_curve};
pub use report::progress::Progress;
pub use trainer::{SkipPolicy, Trainer, TrainerMemory};
