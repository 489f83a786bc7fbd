//! The optimizers, the learning rate over time, and what follows a measured value.

pub mod adafactor;
pub mod adagrad;
pub mod adam;
pub mod groups;
pub mod lion;
pub mod muon;
pub mod rms_prop;
pub mod schedule;
pub(crate) mod settings;
pub mod sgd;
pub mod watch;
pub(crate) mod wrappers;
