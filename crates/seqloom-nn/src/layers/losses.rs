//! Losses.
//!
//! A loss is a scalar tensor that [`seqloom_graph::Objective`] differentiates. Means are over what counts, so that a padded
//! batch and the same rows alone have the same loss.
//!
//! | file | losses |
//! |---|---|
//! | `regression` | [`mse`], [`mae`], [`huber`] |
//! | `classification` | [`cross_entropy`], [`cross_entropy_weighted`], [`bce_with_logits`] |
//! | `alignment` | [`ctc_loss`] |
//! | `similarity` | [`cosine_embedding`], [`contrastive`] |

mod alignment;
mod classification;
mod reduction;
mod regression;
mod similarity;

pub use alignment::{CtcLossOptions, ctc_loss};
pub(crate) use classification::packed_cross_entropy;
pub use classification::{BceOptions, ClassOptions, bce_with_logits, cross_entropy, cross_entropy_weighted};
pub use reduction::{LossOptions, Reduction};
pub use regression::{huber, mae, mse};
pub use similarity::{contrastive, cosine_embedding, cosine_similarity};
