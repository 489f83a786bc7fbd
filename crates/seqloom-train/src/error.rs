//! The error type that a user of Seqloom sees; every other crate's errors convert into it.

use std::path::{Path, PathBuf};

use seqloom_device::DeviceError;
use seqloom_graph::{BadSetting, GraphError};
use seqloom_nn::NnError;

use crate::fault::{CheckpointFault, CodecFault, ConfigFault, GroupFault, ParallelFault, TableFault};

/// Result of Seqloom's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in training, from opening the device to writing the checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device is missing, unsuitable or failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A model was recorded wrongly, or got inputs that it cannot take.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A batch, a vocabulary or a generator refused what it was given.
    #[error(transparent)]
    Model(#[from] NnError),
    /// A file could not be read or written. An earlier file is intact.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A text without a character.
    #[error("{} is empty", name(path))]
    EmptyText {
        /// The file, if it came from one.
        path: Option<PathBuf>,
    },
    /// A text that is not UTF-8.
    #[error(
        "'{}', line {line}: not UTF-8, byte {byte} of the line (byte {position} of the file) begins no valid character",
        path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte in the file, from 0.
        position: usize,
        /// The line that it is in, from 1.
        line: usize,
        /// Its offset in the line, from 0.
        byte: usize,
    },
    /// A text that cannot be split so that both parts hold a window.
    #[error("cannot hold out a fraction of {fraction} of {chars} characters: both parts need at least 2")]
    Split {
        /// Fraction asked for.
        fraction: f64,
        /// Characters in the text.
        chars: usize,
    },
    /// Rows that cannot be split so that both parts have one.
    #[error("cannot hold out a fraction of {fraction} of {rows} rows: both parts need at least 1")]
    HoldOut {
        /// Fraction asked for.
        fraction: f64,
        /// Rows in the data.
        rows: usize,
    },
    /// A parameter that is NaN or infinite before training begins.
    #[error("the parameter '{name}' begins with {value} at element {index}")]
    NotFinite {
        /// The parameter.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// What it is.
        value: f32,
    },
    /// Parameters that cannot be grouped so.
    #[error(transparent)]
    Group(#[from] GroupFault),
    /// Two files that are not a parallel text.
    #[error(transparent)]
    Parallel(#[from] ParallelFault),
    /// A table that could not be read, or a column that cannot be used as asked.
    #[error("{}: {fault}", path.as_ref().map_or_else(|| "table".to_owned(), |p| format!("table '{}'", p.display())))]
    Table {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong with it.
        fault: TableFault,
    },
    /// A parallel text without a usable line.
    #[error(
        "none of the {lines} lines of the parallel text can be used: {empty} are empty and {long} too long"
    )]
    NothingLeft {
        /// Lines of the text.
        lines: usize,
        /// Lines with an empty side.
        empty: usize,
        /// Lines with a side of more tokens than allowed.
        long: usize,
    },
    /// A tokenizer that could not be made, read or used.
    #[error("{}: {fault}", path.as_ref().map_or_else(|| "tokenizer".to_owned(), |p| format!("tokenizer '{}'", p.display())))]
    Codec {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong with it.
        fault: CodecFault,
    },
    /// Translations that cannot be scored against their references.
    #[error("{hypotheses} translations and {references} references: BLEU needs as many, and at least 1")]
    Bleu {
        /// Translations given.
        hypotheses: usize,
        /// References given.
        references: usize,
    },
    /// A setting outside its range.
    #[error("{setting} is {value}, it must be {needs}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// The value given.
        value: f64,
        /// What it may be.
        needs: &'static str,
    },
    /// Something was asked of a trainer that exists only after a step.
    #[error("there is no {what} before the first step")]
    NoStep {
        /// What was asked for.
        what: &'static str,
    },
    /// The limit of consecutive skipped steps ([`crate::SkipPolicy::StopAfter`]) was reached: their gradient or a
    /// carried state was not finite, and they changed nothing.
    #[error(
        "the last {in_a_row} steps up to step {step} were skipped: a gradient or a carried state was not finite; parameters are those \
         before them"
    )]
    Skipped {
        /// Steps in a row.
        in_a_row: u64,
        /// Number of the last of them.
        step: u64,
    },
    /// A checkpoint that cannot be used. Nothing on the device was changed.
    #[error("checkpoint '{}': {fault}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: CheckpointFault,
    },
    /// A description of a foreign model that cannot be used.
    #[error("configuration '{}': {fault}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: ConfigFault,
    },
    /// A plot that could not be drawn.
    #[error("cannot plot '{}': {detail}", path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

impl Error {
    /// A function for `map_err` that makes an [`Error::Io`].
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn name(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(|| "the text".to_owned(), |p| format!("'{}'", p.display()))
}

impl From<BadSetting> for Error {
    fn from(BadSetting { setting, value, needs }: BadSetting) -> Self {
        Error::Setting { setting, value, needs }
    }
}
