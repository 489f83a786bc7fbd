//! Training: the optimizer's settings, schedules, data, the trainer, checkpoints, progress and plots.
//!
//! Nothing here computes on tensors: the trainer records a model's loss, lets the graph compile a step of it, and writes
//! the few numbers that change from step to step. Everything that a run depends on (seed, step, position in the data) is a
//! plain number, so a run stopped and resumed from its checkpoint ends with the same bits as one that was not stopped.
//!
//! Dimensions: B batch, T time, V vocabulary.
//!
//! | module | subject |
//! |---|---|
//! | [`optimizer`], [`schedule`] | AdamW's settings and the learning rate over time |
//! | [`trainer`] | steps, evaluation, programs by shape of batch |
//! | [`course`] | which batch comes when, for whatever they are cut from |
//! | [`corpus`], [`batches`] | text, and the batches made of it |
//! | [`parallel_text`], [`text_codec`], [`parallel_corpus`], [`translation_batches`] | two texts for translation, as ids, in batches of similar lengths |
//! | [`bleu`], [`perplexity`] | figures over a test set |
//! | [`mod@dates`] | a generated translation task |
//! | [`checkpoint`] | safetensors files: reading, checking, replacing |
//! | [`name_map`], [`hugging_face`] | files of other libraries, whose tensors have other names |
//! | [`progress`], [`plot`], [`mod@bar_chart`] | a bar while it runs, curves and charts afterwards |
//! | [`mod@attention_map`] | what a model looked at, as a picture |
//! | [`random`] | the two small pure functions that seeds come from |

pub mod attention_map;
pub mod bar_chart;
pub mod batches;
pub mod bleu;
pub mod checkpoint;
pub mod corpus;
pub mod course;
pub mod dates;
pub mod error;
pub mod hugging_face;
pub mod name_map;
pub mod optimizer;
pub mod parallel_corpus;
pub mod parallel_text;
pub mod perplexity;
pub mod plot;
pub mod progress;
pub mod random;
mod replace;
pub mod schedule;
pub mod text_codec;
pub mod trainer;
pub mod translation_batches;

pub use attention_map::{AttentionMap, attention_map};
pub use bar_chart::{Bars, Series, bar_chart};
pub use batches::{Batches, Order, Windows};
pub use bleu::{Bleu, corpus_bleu};
pub use checkpoint::{Checkpoint, CheckpointFault, Misshapen, State};
pub use corpus::CharCorpus;
pub use course::{Course, Source};
pub use error::{Error, Result};
pub use hugging_face::{ConfigFault, read_bert, read_gpt2};
pub use name_map::{NameMap, NameRule};
pub use optimizer::AdamW;
pub use parallel_corpus::{ParallelCorpus, SkipReason, Skipped};
pub use parallel_text::{ParallelFault, ParallelText};
pub use perplexity::Perplexity;
pub use plot::{Axis, Chart, Curve, Line, line_chart, loss_curve};
pub use progress::Progress;
pub use schedule::Schedule;
pub use text_codec::{CodecFault, SpecialIds, SubwordOptions, TextCodec, Unit, WordOptions};
pub use trainer::{Trainer, TrainerMemory};
pub use translation_batches::{Pairs, TranslationBatches};
