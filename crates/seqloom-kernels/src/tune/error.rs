//! Why tuning ends early: only a failing device ends it; a variant that fails is reported.

use seqloom_device::DeviceError;

/// Why tuning ended before its time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("tuning {bucket} ended with {candidate}: {source}")]
#[non_exhaustive]
pub struct TuneError {
    /// What was tuned.
    pub bucket: String,
    /// The variant that ran.
    pub candidate: String,
    /// What the device said.
    pub source: DeviceError,
}
