//! The optimizer's settings and the learning rate over time.

pub mod optimizer;
pub mod schedule;
