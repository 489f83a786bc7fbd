//! Lengths of a batch's rows, and the moves between padded and packed sequences.
//!
//! Padded sequences are [B, T, ..]. Packed ones hold the true steps of all rows, [N, ..], in the order that
//! `run/host/packing.rs` describes. All tables for the moves and the recurrent kernels follow from the lengths, so the
//! host derives them when it writes those. Each move undoes the other and is the other's gradient. Both are gathers of
//! rows, without sorting or adding.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::{Derivation, Table};
use crate::ir::shape::Shape;
use crate::record::graph::Graph;
use crate::record::tensor::{Tensor, here};

/// Number of true steps of each row of a batch: a `Copy` handle, made by [`Graph::lengths`] or [`Lengths::of`].
///
/// Every length is from 1 to T; together they are at most N, the packed rows it was recorded for. The host checks both
/// before each run that packs, and the first in each run if they come from [`Graph::lengths`].
#[derive(Clone, Copy, Debug)]
pub struct Lengths<'g> {
    tensor: Tensor<'g>,
    batch: usize,
    time: usize,
    rows: usize,
}

impl Graph {
    /// Input of row lengths \[B\], each from 1 to `time`; checked on the host before each run. Any lengths fit: there
    /// are as many packed rows as padded steps, unless [`Lengths::within`] sets fewer.
    #[track_caller]
    pub fn lengths(&self, name: &str, batch: usize, time: usize) -> Lengths<'_> {
        let longest = u32::try_from(time).unwrap_or(u32::MAX);
        let tensor = self.ranged_input(name, &[batch], DType::U32, Some(1..=longest));
        Lengths { tensor, batch, time, rows: batch.saturating_mul(time) }
    }
}

impl<'g> Lengths<'g> {
    /// Lengths \[B\] of u32, each from 1 to `time`.
    #[track_caller]
    #[must_use]
    pub fn of(tensor: Tensor<'g>, time: usize) -> Self {
        let at = here();
        let tensor = match tensor.refuse("lengths", &[(tensor, DType::U32)], at) {
            Some(poisoned) => poisoned,
            None if tensor.rank() != 1 => tensor.shape_error("lengths", &[], "lengths are [B]", at),
            None => tensor,
        };
        Self { tensor, batch: tensor.dim(0), time, rows: tensor.dim(0).saturating_mul(time) }
    }

    /// The same lengths with a sum of at most `rows`. A run with a larger sum is an error.
    ///
    /// Fewer rows are less work, but each number of rows is a separate program: [`packed_rows`] chooses.
    #[track_caller]
    #[must_use]
    pub fn within(self, rows: usize) -> Self {
        let most = self.batch.saturating_mul(self.time);
        if rows < self.batch || rows > most {
            let (batch, time) = (self.batch, self.time);
            let detail = format!("{rows} packed rows for {batch} rows of 1 to {time} steps");
            return Self { tensor: self.tensor.argument_error("lengths", detail, here()), ..self };
        }
        Self { rows, ..self }
    }

    /// The lengths themselves, \[B\] of u32.
    #[must_use]
    pub fn tensor(self) -> Tensor<'g> {
        self.tensor
    }

    /// B.
    #[must_use]
    pub fn batch(self) -> usize {
        self.batch
    }

    /// T, the steps of padded rows.
    #[must_use]
    pub fn time(self) -> usize {
        self.time
    }

    /// N, the rows set aside for packed sequences.
    #[must_use]
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Padded sequences [B, T, ..] of f32 → packed [N, C], C the product of the other dimensions; 0 on surplus rows.
    /// Padded steps are not read, and get no gradient.
    #[track_caller]
    #[must_use]
    pub fn pack(self, x: Tensor<'g>) -> Tensor<'g> {
        let at = here();
        if let Some(poisoned) = self.refuse("pack", x) {
            return poisoned;
        }
        let shape = x.shape();
        if shape.get(..2) != Some(&[self.batch, self.time]) {
            let detail = format!("needs sequences [{}, {}, ..]", self.batch, self.time);
            return x.shape_error("pack", &[], &detail, at);
        }
        let flat = x.reshape(&[self.batch * self.time, shape[2..].iter().product()]);
        self.moved(flat, Table::Pack, Table::Unpack)
    }

    /// Packed sequences [N, C] → padded [B, T, C]; 0 on padded steps. Surplus rows are not read, and get no gradient.
    #[track_caller]
    #[must_use]
    pub fn unpack(self, x: Tensor<'g>) -> Tensor<'g> {
        let at = here();
        if let Some(poisoned) = self.refuse("unpack", x) {
            return poisoned;
        }
        if x.rank() != 2 || x.dim(0) != self.rows {
            let detail = format!("needs packed sequences [{}, C]", self.rows);
            return x.shape_error("unpack", &[], &detail, at);
        }
        self.moved(x, Table::Unpack, Table::Pack).reshape(&[self.batch, self.time, x.dim(1)])
    }

    /// Padded ids [B, T] of u32 → packed \[N\], `fill` on surplus rows.
    #[track_caller]
    #[must_use]
    pub fn pack_ids(self, ids: Tensor<'g>, fill: u32) -> Tensor<'g> {
        let at = here();
        let operands = [(self.tensor, DType::U32), (ids, DType::U32)];
        if let Some(poisoned) = ids.refuse("pack_ids", &operands, at) {
            return poisoned;
        }
        if ids.shape()[..] != [self.batch, self.time] {
            let detail = format!("needs ids [{}, {}]", self.batch, self.time);
            return ids.shape_error("pack_ids", &[], &detail, at);
        }
        let what = Derivation::PackIds { time: self.time, rows: self.rows, fill };
        let ids = ids.reshape(&[self.batch * self.time]);
        self.derived(what, &[ids, self.tensor], &[self.rows])
    }

    /// A table that the host derives from the lengths.
    pub(crate) fn table(self, table: Table) -> Tensor<'g> {
        let Self { batch, time, rows, .. } = self;
        let shape = match table {
            Table::Steps => vec![time, 2],
            Table::Pack => vec![rows],
            Table::Unpack => vec![batch * time],
            Table::Order | Table::Rank => vec![batch],
        };
        self.derived(Derivation::Packing { time, rows, table }, &[self.tensor], &shape)
    }

    /// Rows of `x` [R, C] in another order: row m is row `from[m]`, or 0 if there is no such row; `back` is the
    /// inverse.
    pub(crate) fn moved(self, x: Tensor<'g>, from: Table, back: Table) -> Tensor<'g> {
        x.rearranged(self.table(from), self.table(back), x.node().at)
    }

    fn derived(self, what: Derivation, sources: &[Tensor<'g>], shape: &[usize]) -> Tensor<'g> {
        let shape = Shape::new(shape).unwrap_or_default();
        self.tensor.derived(what, sources, shape, self.tensor.node().at)
    }

    /// A poisoned tensor if the lengths or `x` are, or `x` is of another graph or type.
    #[track_caller]
    pub(crate) fn refuse(self, op: &'static str, x: Tensor<'g>) -> Option<Tensor<'g>> {
        x.refuse(op, &[(x, DType::F32), (self.tensor, DType::U32)], here())
    }
}

impl<'g> Tensor<'g> {
    /// [`Op::Rearrange`]: `self` [R, C], `from` \[M\] → [M, C].
    pub(crate) fn rearranged(self, from: Self, back: Self, at: crate::ir::error::Location) -> Self {
        let shape = self.shape().with(0, from.dim(0));
        self.graph.push(Op::Rearrange, &[self, from, back], shape, DType::F32, at)
    }
}

/// Packed rows to set aside for these lengths of up to `time` steps: their sum, rounded up to a multiple of 1/32 of the
/// padded steps, so batches of one padded shape need few programs. Pass it to [`Lengths::within`].
///
/// ```
/// # use seqloom_graph::packed_rows;
/// assert_eq!(packed_rows(&[10, 3, 4], 10), 17);  // of 30; a 32nd is 1 step
/// assert_eq!(packed_rows(&[1, 1], 100), 7);
/// ```
#[must_use]
pub fn packed_rows(lengths: &[u32], time: usize) -> usize {
    let padded = lengths.len().saturating_mul(time);
    let sum = lengths.iter().map(|&length| length as usize).fold(0, usize::saturating_add);
    let step = padded.div_ceil(32).max(1);
    sum.div_ceil(step).saturating_mul(step).clamp(lengths.len().min(padded), padded)
}
