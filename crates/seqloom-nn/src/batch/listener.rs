//! Who is told of finished steps.

/// A step that the device has finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finished {
    /// Its number in the run, from 1.
    pub step: u64,
    /// Its loss, as the model defines it, before the update.
    pub loss: f32,
    /// Tokens it predicted.
    pub tokens: u64,
    /// Whether it changed nothing, because its gradient or a carried state was not finite.
    pub skipped: bool,
}

/// Is told of finished steps, in order, a little after they were asked for. A progress bar is one.
pub trait LossListener: Send + Sync {
    /// The device has finished this step.
    fn finished(&self, finished: Finished);
}
