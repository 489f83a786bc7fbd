//! Data in memory as named columns, and the batches gathered from them.
//!
//! Every column becomes the input of the same name. Windows over one series are read from it when a batch is made: stored, windows
//! of T steps would take T times the memory.

use std::ops::Range;

use seqloom_nn::{Batch, Inputs, NnError, padded_time};

use crate::data::dataset::{Dataset, LoadError, Samples};
use crate::error::Result;

/// Columns of N rows each.
///
/// ```
/// # use seqloom_nn::Batch;
/// # use seqloom_train::Columns;
/// let data = Columns::new()
///     .sequences("words", "lengths", vec![vec![3, 1, 4], vec![1, 5], vec![9]])
///     .ids("class", &[], vec![0, 1, 0])
///     .samples()
///     .unwrap();
/// let batch = data.batches(2).next().unwrap();
/// assert_eq!((batch.dim("words", 0), batch.dim("lengths", 0), batch.dim("class", 0)), (2, 2, 2));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Columns {
    columns: Vec<Column>,
    fault: Option<String>,
}

#[derive(Clone, Debug)]
struct Column {
    name: &'static str,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// Rows of this shape, one after the other.
    Floats {
        shape: Vec<usize>,
        values: Vec<f32>,
    },
    Ids {
        shape: Vec<usize>,
        values: Vec<u32>,
    },
    /// Row n holds the steps n + `at` of a series of `channels` channels.
    Windows {
        channels: usize,
        at: Range<usize>,
        series: Vec<f32>,
    },
    Sequences {
        lengths: &'static str,
        rows: Vec<Vec<u32>>,
    },
}

impl Content {
    /// Its rows, and whether another column may have fewer.
    fn rows(&self) -> (usize, bool) {
        match self {
            Self::Floats { shape, values } => (values.len() / size(shape), false),
            Self::Ids { shape, values } => (values.len() / size(shape), false),
            Self::Windows { channels, at, series } => {
                ((series.len() / (*channels).max(1) + 1).saturating_sub(at.end), true)
            }
            Self::Sequences { rows, .. } => (rows.len(), false),
        }
    }
}

/// Elements of a row; 1 for rows without any, which are refused.
fn size(shape: &[usize]) -> usize {
    shape.iter().product::<usize>().max(1)
}

impl Columns {
    /// No columns yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same columns and one of floats, each row of this shape (`&[]` for single numbers): an input [B, ..].
    #[must_use]
    pub fn floats(self, name: &'static str, shape: &[usize], values: Vec<f32>) -> Self {
        let fault = odd(shape, values.len());
        self.with(name, Content::Floats { shape: shape.to_vec(), values }, fault)
    }

    /// The same columns and one of ids, each row of this shape: an input [B, ..].
    #[must_use]
    pub fn ids(self, name: &'static str, shape: &[usize], values: Vec<u32>) -> Self {
        let fault = odd(shape, values.len());
        self.with(name, Content::Ids { shape: shape.to_vec(), values }, fault)
    }

    /// The same columns and windows over a series [N, C]: row n is steps n + `at`.start up to n + `at`.end, an input
    /// [B, T, C] with T the length of `at`. With `0..24` for what is read and `24..25` for what comes next, a model
    /// forecasts one step from 24. There are as many rows as all windows fit.
    #[must_use]
    pub fn windows(self, name: &'static str, channels: usize, at: Range<usize>, series: Vec<f32>) -> Self {
        let fault = if at.is_empty() { Some(format!("windows of no steps ({at:?})")) } else { None };
        let fault = fault.or_else(|| odd(&[channels], series.len()));
        self.with(name, Content::Windows { channels, at, series }, fault)
    }

    /// The same columns and one of sequences of ids, each of its own length: an input [B, T], T = [`padded_time`] of the
    /// longest, 0 on padded steps, and the input `lengths` of true steps \[B\].
    #[must_use]
    pub fn sequences(self, name: &'static str, lengths: &'static str, rows: Vec<Vec<u32>>) -> Self {
        let fault = rows.iter().position(Vec::is_empty).map(|row| format!("row {row} is empty"));
        self.with(name, Content::Sequences { lengths, rows }, fault)
    }

    fn with(mut self, name: &'static str, content: Content, fault: Option<String>) -> Self {
        if let (None, Some(fault)) = (&self.fault, fault) {
            self.fault = Some(format!("column '{name}': {fault}"));
        }
        self.columns.push(Column { name, content });
        self
    }

    /// The rows, to be split and cut into batches.
    ///
    /// # Errors
    /// [`NnError::Batch`] names the first column with values that do not fill its rows, with an empty sequence, with
    /// another number of rows than the others, or with a name that is taken.
    pub fn samples(self) -> Result<Samples<Self>> {
        self.check()?;
        Ok(Samples::new(self))
    }

    fn check(&self) -> Result<(), NnError> {
        if let Some(detail) = self.fault.clone().or_else(|| self.uneven()) {
            return Err(NnError::Batch { detail });
        }
        // Names and numbers of dimensions are checked by the inputs.
        self.gathered(&[]).fault().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// What is wrong with the numbers of rows.
    fn uneven(&self) -> Option<String> {
        let len = self.len();
        self.columns.iter().find_map(|column| {
            let (rows, fewer) = column.content.rows();
            let fits = if fewer { rows >= len } else { rows == len };
            (!fits).then(|| format!("column '{}' has {rows} rows, others have {len}", column.name))
        })
    }

    /// The batch of these rows, all of which there are.
    fn gathered(&self, rows: &[usize]) -> Inputs {
        let shaped = |shape: &[usize]| [&[rows.len()], shape].concat();
        self.columns.iter().fold(Inputs::new(), |inputs, Column { name, content }| match content {
            Content::Floats { shape, values } => {
                inputs.floats(name, &shaped(shape), gather(values, size(shape), rows))
            }
            Content::Ids { shape, values } => {
                inputs.ids(name, &shaped(shape), gather(values, size(shape), rows))
            }
            Content::Windows { channels, at, series } => {
                let window = |&row: &usize| &series[(row + at.start) * channels..(row + at.end) * channels];
                let values = rows.iter().flat_map(window).copied().collect();
                inputs.floats(name, &shaped(&[at.len(), *channels]), values)
            }
            Content::Sequences { lengths, rows: all } => {
                let time = padded_time(rows.iter().map(|&row| all[row].len()).max().unwrap_or(1));
                let mut ids = vec![0; rows.len() * time];
                for (padded, &row) in ids.chunks_mut(time).zip(rows) {
                    padded[..all[row].len()].copy_from_slice(&all[row]);
                }
                let steps = rows.iter().map(|&row| all[row].len() as u32).collect();
                inputs.ids(name, &shaped(&[time]), ids).lengths(lengths, time, steps)
            }
        })
    }
}

/// What is wrong with values that should fill rows of a shape.
fn odd(shape: &[usize], len: usize) -> Option<String> {
    if shape.contains(&0) {
        return Some(format!("rows of shape {shape:?} hold nothing"));
    }
    (!len.is_multiple_of(size(shape))).then(|| format!("{len} values do not fill rows of shape {shape:?}"))
}

fn gather<T: Copy>(values: &[T], size: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|&row| &values[row * size..][..size]).copied().collect()
}

impl Dataset for Columns {
    type Batch = Inputs;

    /// The fewest rows of its columns; they are equal but for those of windows.
    fn len(&self) -> usize {
        self.columns.iter().map(|column| column.content.rows().0).min().unwrap_or(0)
    }

    fn batch(&self, rows: &[usize], _seed: u64) -> Result<Inputs, LoadError> {
        self.check()?;
        let len = self.len();
        match rows.iter().find(|&&row| row >= len) {
            Some(row) => Err(NnError::Batch { detail: format!("there is no row {row} of {len}") }.into()),
            None => Ok(self.gathered(rows)),
        }
    }

    /// Padded steps of the longest sequence, so that batches by length have few shapes.
    fn steps(&self, row: usize) -> usize {
        let steps = self.columns.iter().map(|column| match &column.content {
            Content::Sequences { rows, .. } => rows.get(row).map_or(1, |row| padded_time(row.len())),
            _ => 1,
        });
        steps.max().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::HostData;

    fn message(columns: Columns) -> String {
        columns.samples().unwrap_err().to_string()
    }

    #[test]
    fn rows_are_gathered_into_inputs_of_the_same_names() {
        let series: Vec<f32> = (0..12).map(|n| n as f32).collect();
        let data = Columns::new()
            .windows("x", 2, 0..3, series.clone())
            .windows("y", 2, 3..4, series)
            .ids("day", &[], vec![7, 8, 9])
            .samples()
            .unwrap();
        assert_eq!(data.len(), 3);
        let batch = data.data().batch(&[2, 0], 0).unwrap();
        let floats = |name: &str| batch.host(name).unwrap().data().clone();
        assert_eq!(
            floats("x"),
            HostData::F32(vec![4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
        );
        assert_eq!(floats("y"), HostData::F32(vec![10.0, 11.0, 6.0, 7.0]));
        assert_eq!(floats("day"), HostData::U32(vec![9, 7]));
        assert_eq!(batch.host("x").unwrap().shape()[..], [2, 3, 2]);
    }

    #[test]
    fn sequences_are_padded_and_have_lengths() {
        let rows = vec![vec![1, 2], vec![3; 9], vec![4]];
        let data = Columns::new().sequences("s", "n", rows).floats("w", &[1], vec![0.5, 1.5, 2.5]);
        let batch = data.batch(&[2, 0], 0).unwrap();
        assert_eq!(batch.host("n").unwrap().data(), &HostData::U32(vec![1, 2]));
        let padded = [&[4][..], &[0; 7], &[1, 2], &[0; 6]].concat();
        assert_eq!(batch.host("s").unwrap().data(), &HostData::U32(padded));
        assert_eq!(batch.host("w").unwrap().shape()[..], [2, 1]);
        assert_eq!((data.steps(0), data.steps(1)), (8, 16));
    }

    #[test]
    fn the_column_at_fault_is_named() {
        let two = || Columns::new().ids("a", &[], vec![0, 1]);
        assert!(message(two().floats("b", &[2], vec![0.0; 5])).contains("column 'b': 5 values do not fill"));
        assert!(
            message(two().floats("b", &[2], vec![0.0; 6])).contains("column 'b' has 3 rows, others have 2")
        );
        assert!(message(two().sequences("b", "n", vec![vec![1], vec![]])).contains("'b': row 1 is empty"));
        assert!(message(two().windows("b", 1, 0..4, vec![0.0; 4])).contains("'a' has 2 rows, others have 1"));
        assert!(message(two().windows("b", 1, 3..3, vec![0.0; 9])).contains("windows of no steps"));
        assert!(message(two().windows("b", 0, 0..1, vec![0.0; 9])).contains("hold nothing"));
        assert!(message(two().ids("a", &[], vec![0, 1])).contains("input 'a': the name is taken"));
    }
}
