//! Everything that can go wrong with a device, as one typed error.
//!
//! Each variant names the thing concerned (adapter, buffer, kernel, file). If a limit is the cause, it holds the value
//! asked for and the limit. The error is `Clone`, because a failed device reports the same loss to every caller; the
//! one source that is not `Clone` (`std::io::Error`) is in an `Arc`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What calls of this crate return.
pub type Result<T> = std::result::Result<T, DeviceError>;

/// Something required that an adapter lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// The limit or feature.
    pub what: &'static str,
    /// What the adapter has; for a feature 0.
    pub has: u64,
    /// What is needed; for a feature 1.
    pub needs: u64,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: has {}, needs {}", self.what, self.has, self.needs)
    }
}

/// What can go wrong with a device. Bytes are bytes, not elements.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The machine offers no adapter at all.
    #[error(
        "no graphics adapter was found: install a Vulkan driver (on Debian and Ubuntu the package \
         mesa-vulkan-drivers has one that runs on the CPU)"
    )]
    NoAdapter,
    /// No adapter has the name or the index that was asked for.
    #[error("no adapter matches {asked}; there are: {}", available.join(", "))]
    AdapterNotFound {
        /// The name part or the index that was asked for.
        asked: String,
        /// `index: name (backend)` of each adapter.
        available: Vec<String>,
    },
    /// The adapter lacks something that every program needs.
    #[error("adapter {adapter} does not suffice: {}", list(missing))]
    Unsuitable {
        /// Name of the adapter.
        adapter: String,
        /// What it lacks.
        missing: Vec<Missing>,
    },
    /// The driver refused to open the adapter.
    #[error("adapter {adapter} could not be opened: {message}")]
    Open {
        /// Name of the adapter.
        adapter: String,
        /// The driver's words.
        message: String,
    },
    /// The adapter's memory is exhausted.
    #[error("out of device memory: {label}{} (the adapter's largest buffer is {limit} bytes)", needs(*bytes))]
    OutOfMemory {
        /// Label of the buffer, or the call.
        label: String,
        /// Bytes asked for; 0 if the driver needed them for itself and did not say.
        bytes: u64,
        /// The adapter's largest buffer, in bytes.
        limit: u64,
    },
    /// A buffer, or the part of it that a kernel binds, is larger than the adapter allows.
    #[error("{label} needs {bytes} bytes, the adapter allows {limit}")]
    TooLarge {
        /// Label of the buffer, or of the dispatch and its binding.
        label: String,
        /// Bytes asked for.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A kernel does not compile.
    #[error("kernel {label} does not compile: {message}")]
    Shader {
        /// Label of the kernel.
        label: String,
        /// The compiler's words, with the place in the source.
        message: String,
    },
    /// A call breaks a rule: a range outside its buffer, a misaligned offset, a wrong number of bindings.
    #[error("{what}: {message}")]
    Validation {
        /// The call and the thing concerned.
        what: String,
        /// The rule that was broken.
        message: String,
    },
    /// Something was asked for that the adapter does not have.
    #[error("adapter {adapter} has no {what}")]
    Unsupported {
        /// Name of the adapter.
        adapter: String,
        /// What is absent.
        what: String,
    },
    /// The device is gone: destroyed, or its driver failed. Every later call on it returns this too.
    #[error("the device is lost: {reason}")]
    Lost {
        /// Why, as far as is known.
        reason: String,
    },
    /// The device did not finish in time.
    #[error("the device did not finish {what} within {limit:?}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A file of the cache could not be written.
    #[error("cache file {}: {source}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Arc<std::io::Error>,
    },
}

impl DeviceError {
    /// A broken rule.
    pub(crate) fn validation(what: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Validation { what: what.into(), message: message.into() }
    }
}

/// Joins what is missing for a message.
fn list(missing: &[Missing]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Says how many bytes were needed, if that is known.
fn needs(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!(" needs {bytes} bytes") }
}
