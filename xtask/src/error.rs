//! What can go wrong in a command; each kind is named so that a reader knows what to do next.
//!
//! One enum serves all commands: they share most failures (a file, a process, the device), and `main` only prints one
//! and chooses the exit status. Failed *checks* become an error only at the end: a command collects all of them first
//! and then returns [`XtaskError::Failed`].

use std::path::{Path, PathBuf};

/// Result of a command.
pub type Result<T, E = XtaskError> = std::result::Result<T, E>;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum XtaskError {
    /// No adapter here can run Seqloom, and this process may not install one.
    #[error("no suitable adapter: {why}\n\n{advice}")]
    NoAdapter {
        /// What was found, or that nothing was.
        why: String,
        /// What to do: on Debian and Ubuntu the exact command.
        advice: String,
    },
    /// The driver was installed, yet no adapter appeared.
    #[error("the software driver was installed, but still no suitable adapter is found: {why}")]
    StillNoAdapter {
        /// What was found, or that nothing was.
        why: String,
    },
    /// A program that a command needs is not installed.
    #[error("`{program}` is not found: {advice}")]
    Missing {
        /// The program.
        program: &'static str,
        /// What to install.
        advice: String,
    },
    /// A program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed: {status}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Checks failed; each failure was printed at once.
    #[error("{count} of {of} checks failed: {names}")]
    Failed {
        /// How many failed.
        count: usize,
        /// How many ran.
        of: usize,
        /// Their names, with commas.
        names: String,
    },
    /// House rules are broken; each place was printed.
    #[error("tidy: {0} findings")]
    Untidy(usize),
    /// Shader variants failed their check; each was printed.
    #[error("{failed} of {of} shader variants failed")]
    Shaders {
        /// How many failed.
        failed: usize,
        /// How many there are.
        of: usize,
    },
    /// A case in half precision on an adapter without correct cooperative matrices.
    #[error("{adapter} does not multiply in half precision: it has no cooperative matrices that are right")]
    NoHalf {
        /// The adapter.
        adapter: String,
    },
    /// The command line asks for something that does not exist.
    #[error("{what} `{asked}` is unknown; there are: {known}")]
    Unknown {
        /// The kind of thing asked for.
        what: &'static str,
        /// What was asked for.
        asked: String,
        /// What there is.
        known: String,
    },
    /// No peer is present.
    #[error("none of the peers is here: {asked} (bench/peers/README.md says how to build them)")]
    NoPeer {
        /// Those that were looked for.
        asked: String,
    },
    /// The workspace root was not found above the current folder.
    #[error("no Seqloom workspace at or above {}", .0.display())]
    NoWorkspace(PathBuf),
    /// A child process answered with something that cannot be understood.
    #[error("unexpected answer of `{command}`: {answer}")]
    Answer {
        /// The command line.
        command: String,
        /// What it wrote.
        answer: String,
    },
    /// A kernel family.
    #[error(transparent)]
    Kernel(#[from] seqloom_kernels::KernelError),
    /// Tuning that ended early.
    #[error(transparent)]
    Tune(#[from] seqloom_kernels::tune::TuneError),
    /// The device.
    #[error(transparent)]
    Device(#[from] seqloom_device::DeviceError),
    /// Training, data, checkpoints.
    #[error(transparent)]
    Seqloom(#[from] seqloom::Error),
    /// JSON could not be written or read.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Turns an `io::Error` about `path` into [`XtaskError::File`].
pub fn at(path: &Path) -> impl FnOnce(std::io::Error) -> XtaskError + '_ {
    move |source| XtaskError::File { path: path.to_owned(), source }
}
