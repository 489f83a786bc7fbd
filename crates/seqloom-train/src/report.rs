//! Reports of a run: a progress bar, pictures afterwards, and scores over a test set.
//!
//! | module | subject |
//! |---|---|
//! | [`progress`] | a bar that is told of finished steps |
//! | [`plot`], [`mod@bar_chart`] | curves and charts as SVG |
//! | [`mod@attention_map`] | what a model attended to, as a picture |
//! | [`bleu`], [`perplexity`] | scores over a test set |

#[cfg(feature = "plots")]
pub mod attention_map;
#[cfg(feature = "plots")]
pub mod bar_chart;
pub mod bleu;
pub mod perplexity;
#[cfg(feature = "plots")]
pub mod plot;
pub mod progress;
