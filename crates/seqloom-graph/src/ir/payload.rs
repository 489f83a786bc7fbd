//! Payloads of operations: numbers and switches that are known at recording.
//!
//! They are here and not beside the methods that record them, because gradients, compiling and the host read them too.

use seqloom_kernels::attention::Start;
use seqloom_kernels::optimizer::stat;
use seqloom_kernels::recurrent::Cell;

use super::shape::{MAX_RANK, Shape};
use super::steps::View;

/// What a recorded attention needs to know besides its operands' shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attending {
    pub causal: bool,
    pub window: Option<usize>,
    pub start: Start,
    pub lengths: bool,
    pub bias: bool,
    pub slopes: bool,
    pub relative: bool,
    /// Probability to keep a weight, as bits, and the number of this call within the graph.
    pub dropout: Option<(u32, u32)>,
    /// As bits.
    pub scale: u32,
}

/// Which indices of each axis a slice takes: from `starts` on, each `steps` behind the one before. How many says its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cut {
    pub starts: [u32; MAX_RANK],
    /// Never 0; a negative one goes back.
    pub steps: [i32; MAX_RANK],
}

/// Which gradients an operation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GradientOf {
    /// Of the queries, and of the table by distance if `learned`.
    Query {
        /// Whether the table's gradient is an output too.
        learned: bool,
    },
    /// Of keys and values.
    Key,
    /// Of the bias.
    Bias,
}

/// A number of a training step that an update reads. The device computes it for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Number {
    /// The factor of the gradients.
    Scale,
    /// The learning rate.
    Lr,
    /// One of a parameter's own: the two corrections, then how many updates it has had.
    OfParam { param: usize, which: usize },
}

impl Number {
    /// Where the statistics hold it.
    pub(crate) fn place(self) -> usize {
        match self {
            Number::Scale => stat::SCALE,
            Number::Lr => stat::LR,
            Number::OfParam { param, which } => stat::of_param(param, which),
        }
    }

    /// Its name in the kernel that updates many parameters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Number::Scale => "scale",
            Number::Lr => "lr",
            Number::OfParam { which: 0, .. } => "correction1",
            Number::OfParam { which: 1, .. } => "correction2",
            Number::OfParam { .. } => "count",
        }
    }
}

/// How a target is aligned with steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Alignment {
    /// The class between labels.
    pub blank: u32,
    /// Whether an infinite loss counts as 0.
    pub zero_infinity: bool,
    /// Most steps and labels that lengths may count: T and S, or 0 where the operands were given one for the kernels' sake.
    pub most: [usize; 2],
}

/// Which recurrence, and how its rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Recurrence {
    pub cell: Cell,
    pub packed: bool,
    pub reverse: bool,
}

/// A function of u32 tensors that the host computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Derivation {
    /// ids \[N\] → order \[N\], starts [V+1]: positions sorted by id.
    Segments {
        /// V.
        vocab: usize,
    },
    /// index [O, K, I] → order \[M\], starts [M+1], places \[M\]: all M picks of [O, L, I] sorted by the element that they take, and
    /// each such element once.
    Picks {
        /// K.
        count: usize,
        /// L.
        len: usize,
        /// I.
        inner: usize,
    },
    /// lengths \[B\] → one table of the packing of B rows of up to `time` steps into `rows` rows.
    Packing {
        /// T.
        time: usize,
        /// N.
        rows: usize,
        /// Which.
        table: Table,
    },
    /// ids [B, T], lengths \[B\] → ids \[N\] in packed order, `fill` on surplus rows.
    PackIds {
        /// T.
        time: usize,
        /// N.
        rows: usize,
        /// What stands on surplus rows.
        fill: u32,
    },
    /// x → the view of it ([`crate::Tensor::transpose`], `slice`, `flip`, `windows`, `pad`, `broadcast_to`).
    View(View),
    /// Any number of tensors → their elements joined, `outer` times a stretch of each.
    Join {
        /// Product of the dimensions before the joined one.
        outer: usize,
    },
    /// table [V, C], ids \[N\] → rows [N, C].
    Pick {
        /// C.
        channels: usize,
    },
    /// first \[B\] → first\[b\] + t + b·stride [B, T], first\[b\] + T \[B\].
    Following {
        /// T.
        time: usize,
        /// Added for each row before: 0 for positions, the rows of a sequence for places among those of all.
        stride: usize,
    },
}

/// A table of the packing of B rows with up to T steps into N packed rows. Where a row has no counterpart its entry is the
/// number of rows on the other side, one past the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Table {
    /// [T, 2]: first packed row of a step, and how many rows of the batch reach it.
    Steps,
    /// \[N\]: row b·T + t of the padded sequences that a packed row holds.
    Pack,
    /// [B·T]: its inverse.
    Unpack,
    /// \[B\]: the row of the batch that has a rank.
    Order,
    /// \[B\]: its inverse.
    Rank,
}

impl Cut {
    /// All that is there.
    pub(crate) const WHOLE: Self = Self { starts: [0; MAX_RANK], steps: [1; MAX_RANK] };

    /// Indices of one axis from `start`, each `step` behind the one before.
    pub(crate) fn along(axis: usize, start: u32, step: i32) -> Self {
        let mut cut = Self::WHOLE;
        (cut.starts[axis], cut.steps[axis]) = (start, step);
        cut
    }

    /// The first index and the step of `axis`, if all others are taken whole and in order. Of those that are, the shapes of
    /// operand and result agree.
    pub(crate) fn of_one_axis(self, axis: usize, from: Shape, to: Shape) -> Option<(u32, i32)> {
        let others = (0..to.rank()).filter(|&other| other != axis);
        let whole = |at: usize| (self.starts[at], self.steps[at]) == (0, 1) && from[at] == to[at];
        others.into_iter().all(whole).then(|| (self.starts[axis], self.steps[axis]))
    }

    /// This cut of what `inner` has cut; none where a number leaves what can be counted.
    pub(crate) fn after(self, inner: Self) -> Option<Self> {
        let mut cut = inner;
        for axis in 0..MAX_RANK {
            let first =
                i64::from(inner.starts[axis]) + i64::from(self.starts[axis]) * i64::from(inner.steps[axis]);
            cut.starts[axis] = u32::try_from(first).ok()?;
            cut.steps[axis] = inner.steps[axis].checked_mul(self.steps[axis])?;
        }
        Some(cut)
    }
}

impl Attending {
    /// The index of the operand with lengths, of those that forward operations have.
    pub(crate) fn lengths_at(self) -> Option<usize> {
        self.lengths.then_some(3)
    }
}

impl Recurrence {
    /// The method that records it.
    pub(crate) fn name(self) -> &'static str {
        match self.cell {
            Cell::Rnn(_) => "rnn",
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }
}

impl Derivation {
    /// The method that records it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Derivation::Segments { .. } => "gather_rows",
            Derivation::Picks { .. } => "gather",
            Derivation::Packing { .. } | Derivation::PackIds { .. } => "lengths",
            Derivation::Following { .. } => "following",
            Derivation::View(_) => "view",
            Derivation::Join { .. } => "concat",
            Derivation::Pick { .. } => "gather_rows",
        }
    }
}
