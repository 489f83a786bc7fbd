//! What can be wrong with a file: the part of [`crate::Error`] that says why, for each kind of file.
//!
//! These types are not beside the readers, because the error type names them all and every reader names the error type.

use std::path::PathBuf;

/// Why two files are not a parallel text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParallelFault {
    /// One file has lines without a partner.
    #[error(
        "'{}' has {source_lines} lines and '{}' has {target_lines}: line {} of the {}, the longer one, has no partner",
        source_file.display(), target_file.display(), source_lines.min(target_lines) + 1,
        if source_lines > target_lines { "first" } else { "second" }
    )]
    LineCounts {
        /// The file of source sentences.
        source_file: PathBuf,
        /// Its lines.
        source_lines: usize,
        /// The file of target sentences.
        target_file: PathBuf,
        /// Its lines.
        target_lines: usize,
    },
}

/// Where a row of a table stands in its file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablePlace {
    /// The line of a text in which it begins.
    Line(u64),
    /// Its number, in a file without lines.
    Row(u64),
}

impl std::fmt::Display for TablePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Why a table could not be read, or a column not be used as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableFault {
    /// A file that is not of its kind.
    #[error("{detail}")]
    Format {
        /// What its reader said.
        detail: String,
    },
    /// A table without columns.
    #[error("it has no columns")]
    NoColumns,
    /// A name that does not tell columns apart.
    #[error("two columns have the name '{name}'")]
    TwoColumns {
        /// The name.
        name: String,
    },
    /// A row with more or fewer cells than columns.
    #[error("{place} has {has} cells, there are {needs} columns")]
    Cells {
        /// The row.
        place: TablePlace,
        /// Its cells.
        has: usize,
        /// Columns of the table.
        needs: usize,
    },
    /// A line of JSON Lines that is no object.
    #[error("{place} is no JSON object: {detail}")]
    NoObject {
        /// The line.
        place: TablePlace,
        /// What its reader said.
        detail: String,
    },
    /// A column that the table does not have.
    #[error("there is no column '{name}', only {has:?}")]
    NoColumn {
        /// The name asked for.
        name: String,
        /// The names there are.
        has: Vec<String>,
    },
    /// A cell without the number that is needed.
    #[error("{place}, column '{column}': the number is missing")]
    Missing {
        /// The row.
        place: TablePlace,
        /// The column.
        column: String,
    },
    /// A cell that holds something else than what is needed.
    #[error("{place}, column '{column}': {cell} is not {needs}")]
    Cell {
        /// The row.
        place: TablePlace,
        /// The column.
        column: String,
        /// What it holds.
        cell: String,
        /// What was asked for.
        needs: &'static str,
    },
}

/// Why a codec could not be made or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecFault {
    /// A vocabulary with no room for single bytes and the special ids.
    #[error("a vocabulary of {asked} ids has no room for the 256 bytes and 4 special ids, it takes {least}")]
    Small {
        /// Ids asked for.
        asked: usize,
        /// The least there can be.
        least: usize,
    },
    /// No piece is left for a vocabulary.
    #[error("the text holds no piece that occurs at least {min_count} times")]
    NoPieces {
        /// The least count asked for.
        min_count: u64,
    },
    /// A tokenizer without a special token that sentences need.
    #[error("it has no id for {token}")]
    NoSpecial {
        /// Name of the token.
        token: &'static str,
    },
    /// A tokenizer whose ids have gaps, so their number does not give the highest.
    #[error("its {size} ids are not the numbers below {size}: it has id {id}")]
    Gaps {
        /// Number of ids.
        size: usize,
        /// The highest id.
        id: u32,
    },
    /// What the `tokenizers` crate said.
    #[error("{detail}")]
    Tokenizer {
        /// Its message.
        detail: String,
    },
}

/// Why a checkpoint cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// The file ends before its contents do.
    #[error("the file is truncated: it has {has} bytes{}", needs.map(|n| format!(" of {n}")).unwrap_or_default())]
    Truncated {
        /// Bytes in the file.
        has: u64,
        /// Bytes its header announces, if the header is whole.
        needs: Option<u64>,
    },
    /// The file is not a safetensors file, or its header contradicts itself.
    #[error("the file is damaged: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// A format of another release.
    #[error("its format version is {has}, this release reads 1 to {newest}")]
    Version {
        /// The file's version.
        has: u32,
        /// The newest version that this release reads.
        newest: u32,
    },
    /// The file has parameters but no training state.
    #[error(
        "it holds no training state (step, seed, states of an optimizer); its parameters alone can be restored"
    )]
    NoState,
    /// The file is another model's; lists all differences.
    #[error("it is of another model: {}", differences(missing, extra, misshapen))]
    Mismatch {
        /// Tensors that the model needs and the file lacks.
        missing: Vec<String>,
        /// Tensors that the file has and the model does not know.
        extra: Vec<String>,
        /// Tensors of other shapes.
        misshapen: Vec<Misshapen>,
    },
    /// States of another optimizer than the one that is to go on.
    #[error(
        "it has the states of the optimizer '{has}', not those of '{needs}'; its parameters alone can be restored"
    )]
    Optimizer {
        /// The file's optimizer.
        has: String,
        /// The trainer's.
        needs: String,
    },
    /// A tensor that is not of 32-bit floats.
    #[error("tensor '{name}' is of type {has}, only F32 can be read")]
    DType {
        /// The tensor.
        name: String,
        /// Type in the file.
        has: String,
    },
    /// A tensor with a NaN or an infinity.
    #[error("tensor '{name}' has {value} at element {index}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A vocabulary that is not the model's.
    #[error("its vocabulary of {has} characters is not the model's of {needs}")]
    Vocab {
        /// Characters in the file's.
        has: usize,
        /// Symbols in the model's.
        needs: usize,
    },
}

/// Why parameters cannot be grouped so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupFault {
    /// No parameter that is trained belongs to it.
    #[error("the group '{group}' takes no parameter")]
    Empty {
        /// The group.
        group: String,
    },
    /// A parameter that belongs to two groups.
    #[error("the parameter '{name}' is in two groups, '{first}' and '{second}'")]
    Claimed {
        /// The parameter.
        name: String,
        /// The group that comes first.
        first: String,
        /// The other one.
        second: String,
    },
    /// Groups, or an average, for a trainer that has trained already.
    #[error("groups and averages must be set before the first step")]
    Late,
}

/// A tensor that is in a file and in a model, in different shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// The tensor.
    pub name: String,
    /// Shape in the file.
    pub has: Vec<usize>,
    /// Shape in the model.
    pub needs: Vec<usize>,
}

/// A mismatch in words.
fn differences(missing: &[String], extra: &[String], misshapen: &[Misshapen]) -> String {
    let shape =
        |m: &Misshapen| format!("tensor '{}' has shape {:?}, the model needs {:?}", m.name, m.has, m.needs);
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("missing {missing:?}"));
    }
    if !extra.is_empty() {
        parts.push(format!("not in the model {extra:?}"));
    }
    parts.extend(misshapen.iter().map(shape));
    parts.join("; ")
}

/// Why the description of a foreign model cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigFault {
    /// The file is not a JSON object.
    #[error("it is damaged: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// A setting that is absent, of another type, or asks for something that does not exist here.
    #[error("'{setting}' is {value}, it must be {needs}")]
    Setting {
        /// Its name.
        setting: String,
        /// Its value as JSON, or "absent".
        value: String,
        /// What it may be.
        needs: String,
    },
    /// Settings that are not known here.
    #[error(
        "it has settings that are not known and may change what the model computes: {settings:?}; remove those that do not"
    )]
    Unknown {
        /// Their names.
        settings: Vec<String>,
    },
}
