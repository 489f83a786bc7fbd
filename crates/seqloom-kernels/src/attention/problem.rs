//! The attention problem: its sizes, masks and terms, and which result is computed.

use crate::error::KernelError;

/// The operation's name in messages.
pub(super) const OP: &str = "attention";

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

/// The position of query 0 among the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// At this key.
    At(usize),
    /// The last query is at the last key of its row's length; needs lengths.
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
    /// The stream of random numbers that decides; a weight uses its element ((b·H + h)·Tq + i)·Tk + j.
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
    /// The attention of these sizes, B, H, Hkv, Tq, Tk, D and Dv, with the usual scale 1/√D, in the time-first layout,
    /// without masks, terms and dropout.
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

impl Problem {
    /// Columns of `distance`.
    #[must_use]
    pub fn columns(&self) -> usize {
        usize::from(self.slopes) + self.radius.map_or(0, |radius| radius.saturating_mul(2).saturating_add(1))
    }

    /// Pairs of a query and a key that the masks leave for a head, without regard to lengths.
    pub(super) fn pairs(&self) -> u64 {
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

    /// Refuses contradicting sizes and options, and sizes that no kernel can number.
    pub(super) fn check(&self, pass: Pass) -> Result<(), KernelError> {
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
