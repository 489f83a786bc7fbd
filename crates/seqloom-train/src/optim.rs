//! The optimizers, the learning rate over time, and what follows a measured value.

pub mod adam;
pub mod schedule;
pub(crate) mod settings;
pub mod watch;
