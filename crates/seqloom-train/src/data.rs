//! Texts as ids, and the batches cut from them.
//!
//! | module | subject |
//! |---|---|
//! | [`course`] | which batch comes when, for every kind of data |
//! | [`text`] | how text is read: one rule for all readers |
//! | [`corpus`], [`batches`] | text, and the batches made of it |
//! | [`parallel_text`], [`text_codec`], [`parallel_corpus`], [`translation_batches`] | two texts for translation, as ids, in batches of similar lengths |
//! | [`mod@dates`] | a generated translation task |

pub mod batches;
pub mod corpus;
pub mod course;
pub mod dates;
pub mod parallel_corpus;
pub mod parallel_text;
pub mod text;
pub mod text_codec;
pub mod translation_batches;
