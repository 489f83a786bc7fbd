//! Attention: softmax(q·kᵀ·scale + terms)·v, forward and backward, with memory that grows with T and not with T².
//!
//! Forward walks the keys with a running maximum and sum and keeps, besides the result, one number a query: the logarithm
//! of its sum. From that number any weight can be had again, so backward stores none either. It is three problems of
//! their own, since no kernel can sum over queries and over keys at once without atomics: the queries' gradient (with
//! that of the terms by distance), the keys' and values', and the bias's. All need `delta`, the row sums of dout∘out.
//!
//! Masks are bounds of loops; whole tiles outside them are never visited. A query that attends to nothing gets 0.
//!
//! Two variants, as everywhere: one subgroup with tiles in registers for CPU adapters, tiles in workgroup memory for GPUs.
//! The former reads four channels at a time, so other widths are copied to padded rows first.
//! The former is bounded by what llvmpipe lets one invocation iterate, so long sums are several launches.

mod padded;
mod plan;

use std::fmt;

use seqloom_device::Facts;

use crate::error::KernelError;
use crate::launch::{Lowered, prefers_cpu};
use plan::Plan;

const OP: &str = "attention";

/// The farthest position of a query, and the longest sequence: sums of three such numbers stay within i32.
pub const FARTHEST: usize = 1 << 29;

/// How q, k, v, the result and their gradients lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[B, T, H, D]`, as a projection to H·D channels leaves them.
    TimeFirst,
    /// `[B, H, T, D]`.
    HeadsFirst,
}

/// Where query 0 stands among the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// At this key.
    At(usize),
    /// So that the last query stands at the last key of its row's length; needs lengths.
    AtEnd,
}

/// An additive bias `[B or 1, H or 1, Tq, Tk]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bias {
    /// Every batch row has its own.
    pub batched: bool,
    /// Every head has its own.
    pub per_head: bool,
}

/// Weights that are dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability to keep a weight, above 0 and at most 1.
    pub keep: f32,
    /// Which of the step's random numbers decide: element ((b·H + h)·Tq + i)·Tk + j of this stream.
    pub stream: u32,
}

/// An attention of every head of every batch row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Problem {
    /// B.
    pub batch: usize,
    /// H.
    pub heads: usize,
    /// Hkv, a divisor of H: key head h serves the query heads from h·H/Hkv on.
    pub key_heads: usize,
    /// Tq.
    pub queries: usize,
    /// Tk.
    pub keys: usize,
    /// D, at least 1.
    pub width: usize,
    /// Dv, at least 1.
    pub value_width: usize,
    /// How operands and results lie.
    pub layout: Layout,
    /// Factor of the products q·k.
    pub scale: f32,
    /// Positions of the queries.
    pub start: Start,
    /// A query at position p attends to key j only if j ≥ p − before.
    pub before: Option<usize>,
    /// And only if j ≤ p + after.
    pub after: Option<usize>,
    /// Rows have lengths: only keys below its length count.
    pub lengths: bool,
    /// A bias is added to the scores.
    pub bias: Option<Bias>,
    /// Column 0 of `distance` holds slopes: −slope·|j − p| is added to the scores.
    pub slopes: bool,
    /// R: the last 2R+1 columns of `distance` hold terms to add, that of j − p clamped to −R..=R.
    pub radius: Option<usize>,
    /// Weights are dropped.
    pub dropout: Option<Dropout>,
}

impl Problem {
    /// The attention of those sizes, B, H, Hkv, Tq, Tk, D and Dv, with the usual scale 1/√D, by time first, without masks, terms and
    /// dropout.
    #[must_use]
    pub fn plain([batch, heads, key_heads, queries, keys, width, value_width]: [usize; 7]) -> Self {
        Self {
            batch,
            heads,
            key_heads,
            queries,
            keys,
            width,
            value_width,
            layout: Layout::TimeFirst,
            scale: 1.0 / (width as f32).sqrt(),
            start: Start::At(0),
            before: None,
            after: None,
            lengths: false,
            bias: None,
            slopes: false,
            radius: None,
            dropout: None,
        }
    }
}

/// Keys, or queries, up to which a tile of fewer rows is as good.
const SHORT_WALK: usize = 128;

/// Which kernels attend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// One subgroup per workgroup, no workgroup memory, tiles of so many rows: 8, 16 or 32. Needs a known subgroup size.
    Cpu(u32),
    /// Tiles in workgroup memory.
    Tiled,
}

impl Variant {
    /// The variant that suits problem and device, as far as rules can tell.
    #[must_use]
    pub fn suited(pass: Pass, problem: &Problem, facts: &Facts) -> Self {
        if !prefers_cpu(facts) {
            return Variant::Tiled;
        }
        // Loads are shared by the rows of a tile, so it is as tall as what is walked gives work for; but 32 rows take twice as
        // long to compile as 16, seconds in all, and over a short walk save a tenth of the time.
        let walked = if pass == Pass::Key { problem.queries } else { problem.keys };
        Variant::Cpu(match facts.lanes() {
            Some(8) if walked <= 8 => 8,
            Some(8) if walked <= SHORT_WALK => 16,
            Some(8 | 16) => 32,
            _ => 16,
        })
    }

    /// Every variant that this device may take.
    #[must_use]
    pub fn all(pass: Pass, problem: &Problem, facts: &Facts) -> Vec<Self> {
        match Self::suited(pass, problem, facts) {
            Variant::Cpu(_) if facts.lanes() == Some(8) => [8, 16, 32].map(Variant::Cpu).to_vec(),
            only => vec![only],
        }
    }

    /// An estimate of the time that a walk takes, in no unit: good for telling what is hopeless.
    pub(crate) fn cost(self, pass: Pass, problem: &Problem) -> f64 {
        let walked = if pass == Pass::Key { problem.queries } else { problem.keys };
        match self {
            // For each tile the loads of the columns beside those of the rows and the arithmetic on these.
            Variant::Cpu(rows) => walked.div_ceil(rows as usize) as f64 * f64::from(32 + 5 * rows),
            Variant::Tiled => 1.0,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variant::Cpu(rows) => write!(f, "rows {rows}"),
            Variant::Tiled => f.write_str("tiled"),
        }
    }
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// `Out(0)` out `[B, Tq, H, Dv]` (as the layout says, here and below), `Out(1)` lse `[B, Tq, H]`, the base-2 logarithm
    /// of each query's sum of weights.
    Forward,
    /// `Out(0)` dq; if `learned`, `Out(1)` the gradient of `distance`.
    Query {
        /// The gradient of `distance` is wanted.
        learned: bool,
    },
    /// `Out(0)` dk, `Out(1)` dv.
    Key,
    /// `Out(0)` the gradient of the bias.
    Bias,
}

/// `out = softmax(q·kᵀ·scale + terms)·v` or one of its gradients, by the variant that suits the device.
///
/// Bindings: `In(0)` q `[B, Tq, H, D]`, `In(1)` k `[B, Tk, Hkv, D]`, `In(2)` v `[B, Tk, Hkv, Dv]`; backward `In(3)` dout,
/// `In(4)` lse, `In(5)` delta `[B, Tq, H]`, the sums of dout∘out over channels; then, of those that the problem has:
/// lengths `[B]` u32, bias `[B or 1, H or 1, Tq, Tk]`, distance `[H, columns]`. `Leaf(0)` is the control buffer. Results
/// are [`Pass`]'s.
///
/// # Errors
/// Sizes or options that contradict each other, sizes beyond what a kernel can number or the device's grid can hold, or
/// heads wider than an invocation of a CPU adapter can walk.
pub fn lower(pass: Pass, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_as(Variant::suited(pass, problem, facts), pass, problem, facts)
}

/// [`lower`] by a given variant.
///
/// # Errors
/// As [`lower`], and [`Variant::Cpu`] where the subgroup size is not known or with other rows than it says.
pub fn lower_as(
    variant: Variant,
    pass: Pass,
    problem: &Problem,
    facts: &Facts,
) -> Result<Lowered, KernelError> {
    let plan = Plan::new(pass, problem)?;
    match variant {
        Variant::Cpu(rows @ (8 | 16 | 32)) if padded::needed(problem) => {
            padded::lower(rows, pass, problem, facts)
        }
        Variant::Cpu(rows @ (8 | 16 | 32)) => plan.cpu(rows, facts),
        Variant::Cpu(rows) => Err(KernelError::Problem {
            op: OP,
            detail: format!("there is no kernel with tiles of {rows} rows"),
        }),
        Variant::Tiled => plan.tiled(facts),
    }
}

impl Problem {
    /// Columns of `distance`.
    #[must_use]
    pub fn columns(&self) -> usize {
        usize::from(self.slopes) + self.radius.map_or(0, |radius| radius.saturating_mul(2).saturating_add(1))
    }

    /// Pairs of a query and a key that the masks leave to a head, lengths aside.
    fn pairs(&self) -> u64 {
        let start =
            if let Start::At(start) = self.start { start } else { self.keys.saturating_sub(self.queries) };
        let seen = |query: usize| {
            let position = query + start;
            let first = self.before.map_or(0, |before| position.saturating_sub(before));
            let end = self
                .after
                .map_or(self.keys, |after| self.keys.min(position.saturating_add(after).saturating_add(1)));
            end.saturating_sub(first) as u64
        };
        (0..self.queries).map(seen).sum()
    }

    fn check(&self, pass: Pass) -> Result<(), KernelError> {
        let fault = |detail: String| Err(KernelError::Problem { op: OP, detail });
        if self.width == 0 || self.value_width == 0 {
            return fault(format!(
                "queries of width {} and values of width {}",
                self.width, self.value_width
            ));
        }
        if self.heads == 0 || self.key_heads == 0 || !self.heads.is_multiple_of(self.key_heads) {
            return fault(format!("{} heads cannot share {} key heads", self.heads, self.key_heads));
        }
        if self.start == Start::AtEnd && !self.lengths {
            return fault("queries at the end of their rows need lengths".to_owned());
        }
        let start = if let Start::At(start) = self.start { start } else { 0 };
        let longest =
            [self.queries, self.keys, start, self.radius.unwrap_or(0)].into_iter().max().unwrap_or(0);
        if longest > FARTHEST {
            return fault(format!("position {longest} is beyond {FARTHEST}"));
        }
        if pass == (Pass::Query { learned: true }) && (self.batch == 0 || self.queries == 0) {
            return fault("no queries to learn terms by distance from".to_owned());
        }
        if self.dropout.is_some_and(|dropout| !(dropout.keep > 0.0 && dropout.keep <= 1.0)) {
            return fault(format!("{:?} keeps a share that is not in (0, 1]", self.dropout));
        }
        Ok(())
    }
}
