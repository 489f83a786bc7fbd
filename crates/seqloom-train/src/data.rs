//! Data, and the batches cut from it.
//!
//! | module | subject |
//! |---|---|
//! | [`course`], [`cuts`] | which batch comes when, and which rows it has, for every kind of data |
//! | [`mod@dataset`], [`columns`] | one's own data, and data in memory as named columns |
//! | [`mod@table`] | columns read from CSV, JSON Lines and Parquet |
//! | [`prefetch`] | batches made ahead of time |
//! | [`text`] | how text is read: one rule for all readers |
//! | [`corpus`], [`batches`] | text, and the batches made of it |
//! | [`parallel_text`], [`text_codec`], [`parallel_corpus`], [`translation_batches`] | two texts for translation, as ids, in batches of similar lengths |
//! | [`mod@dates`] | a generated translation task |

pub mod batches;
pub mod columns;
pub mod corpus;
pub mod course;
pub mod cuts;
pub mod dataset;
pub mod dates;
#[cfg(feature = "tokenizers")]
pub mod parallel_corpus;
pub mod parallel_text;
pub mod prefetch;
pub mod table;
pub mod text;
#[cfg(feature = "tokenizers")]
pub mod text_codec;
#[cfg(feature = "tokenizers")]
pub mod translation_batches;
