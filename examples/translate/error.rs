//! What can go wrong, and what to do about it.

use std::path::{Path, PathBuf};

use seqloom::device::DeviceError;

/// Result of the example's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no translation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Data, model, device.
    #[error(transparent)]
    Seqloom(#[from] seqloom::Error),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// A saved model whose settings cannot be understood.
    #[error("{}: these are no settings of a saved model: {source}", path.display())]
    Settings { path: PathBuf, source: serde_json::Error },
    /// Nothing is left to train on once the test's lines are taken away.
    #[error("a text of {lines} line holds nothing out: name other files by --test-source and --test-target")]
    NoTest { lines: usize },
    /// An option that the chosen model does not have.
    #[error("{option} is an option of --model {model}")]
    OtherModel { option: &'static str, model: &'static str },
    /// JSON could not be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl From<seqloom::nn::NnError> for Error {
    fn from(error: seqloom::nn::NnError) -> Self {
        Self::Seqloom(error.into())
    }
}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        Self::Seqloom(error.into())
    }
}

impl Error {
    /// A line of advice, if there is any.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Seqloom(seqloom::Error::NothingLeft { .. }) => Some("--longest allows longer sentences"),
            Self::Seqloom(error) => seqloom_examples::advice(error),
            _ => None,
        }
    }
}

/// Turns an `io::Error` about `path` into [`Error::File`].
pub fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::File { path: path.to_owned(), source }
}
