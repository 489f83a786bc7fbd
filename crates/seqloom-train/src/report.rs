//! What a run tells: a bar while it goes, pictures afterwards, and figures over a test set.
//!
//! | module | subject |
//! |---|---|
//! | [`progress`] | a bar that hears of finished steps |
//! | [`plot`], [`mod@bar_chart`] | curves and charts as SVG |
//! | [`mod@attention_map`] | what a model looked at, as a picture |
//! | [`bleu`], [`perplexity`] | figures over a test set |

pub mod attention_map;
pub mod bar_chart;
pub mod bleu;
pub mod perplexity;
pub mod plot;
pub mod progress;
