//! The optimizer's settings, the learning rate over time, and what follows a measured value.

pub mod optimizer;
pub mod schedule;
pub mod watch;
