//! Layers that see one step, or a step and its neighbours, and losses.
//!
//! | module | subject |
//! |---|---|
//! | [`linear`], [`embedding`], [`dropout`], [`mod@conv1d`] | products, tables, dropout, convolution over time |
//! | [`layer_norm`], [`rms_norm`], [`norm`] | normalisation, and the choice between its kinds |
//! | [`feed_forward`] | two products with an activation between them |
//! | [`losses`] | losses |

pub mod conv1d;
pub mod dropout;
pub mod embedding;
pub mod feed_forward;
pub mod layer_norm;
pub mod linear;
pub mod losses;
pub mod norm;
pub mod rms_norm;
