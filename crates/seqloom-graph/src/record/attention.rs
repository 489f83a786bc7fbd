//! Attention: one operation with a kernel family that never stores a matrix of weights.
//!
//! Operands are [batch, time, heads, channels], the shape of a projection to heads·channels after a reshape, so heads
//! need no transpose. Every mask is an option, in any combination.

use seqloom_kernels::attention::FARTHEST;

pub use seqloom_kernels::attention::Start;

use crate::ir::error::{Location, Result};
use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::Attending;
use crate::ir::shape::Shape;
use crate::record::following::Following;
use crate::record::tensor::{Tensor, here};

/// Who attends to whom in [`Tensor::attention`], and what is added to the scores. Query i has position p = i + start
/// among the keys.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOptions<'g> {
    /// A query sees no key after its own position.
    pub causal: bool,
    /// A query sees only keys at most this many positions away.
    pub window: Option<usize>,
    /// Position of query 0. `Start::At(n)` follows n cached keys; `Start::AtEnd` puts the last query at the last key of
    /// its row's length, so a cache may fill at run time.
    pub start: Start,
    /// Keys of each row that count, \[B\] of u32 from 0 to Tk, as [`crate::Lengths::tensor`] gives them if none is 0.
    pub lengths: Option<Tensor<'g>>,
    /// Added to the scores: [H or 1, Tq, Tk] or [B or 1, H or 1, Tq, Tk].
    pub bias: Option<Tensor<'g>>,
    /// ALiBi (Press et al. 2022): −slope·|j − p| is added to the score of key j, \[H\].
    pub slopes: Option<Tensor<'g>>,
    /// Learned terms by distance (Raffel et al. 2020, without buckets): [H, 2R+1]. Column j − p + R is added to the
    /// score of key j, or the first or last column if j is farther than R.
    pub relative: Option<Tensor<'g>>,
    /// Probability to drop a weight, in training.
    pub dropout: f32,
    /// Factor of the products; 1/√D if `None`.
    pub scale: Option<f32>,
}

impl Default for AttentionOptions<'_> {
    /// Every query sees every key.
    fn default() -> Self {
        Self {
            causal: false,
            window: None,
            start: Start::At(0),
            lengths: None,
            bias: None,
            slopes: None,
            relative: None,
            dropout: 0.0,
            scale: None,
        }
    }
}

impl<'g> AttentionOptions<'g> {
    /// Each query is one of these steps and sees the keys of a cache as far as its row has come: for
    /// keys and values that were just appended ([`Tensor::append`]).
    #[must_use]
    pub fn after(steps: Following<'g>) -> Self {
        Self { start: Start::AtEnd, lengths: Some(steps.ends()), ..Self::default() }
    }
}

impl<'g> Tensor<'g> {
    /// Scaled dot-product attention of every head (Vaswani et al. 2017), softmax(q·kᵀ·scale + terms)·v, in memory that grows
    /// with T and not with T².
    ///
    /// `self` is the queries [B, Tq, H, D], `key` [B, Tk, Hkv, D], `value` [B, Tk, Hkv, Dv] → [B, Tq, H, Dv]. Hkv
    /// divides H, and key head h serves the query heads from h·H/Hkv on. A query that sees no key, or only scores of
    /// −∞, gives 0 and has no gradient. `options` say who sees whom; their tensors may be trained, slopes too.
    #[track_caller]
    #[must_use]
    pub fn attention(self, key: Self, value: Self, options: AttentionOptions<'g>) -> Self {
        let at = here();
        let name = "attention";
        let (bias, table) = match self.attending(name, key, Some(value), &options, at) {
            Ok(both) => both,
            Err(poisoned) => return poisoned,
        };
        let graph = self.graph;
        let dropped = options.dropout > 0.0 && graph.is_training();
        let attending = Attending {
            causal: options.causal,
            window: options.window,
            start: options.start,
            lengths: options.lengths.is_some(),
            bias: bias.is_some(),
            slopes: options.slopes.is_some(),
            relative: options.relative.is_some(),
            dropout: dropped.then(|| ((1.0 - options.dropout).to_bits(), graph.next_stream())),
            scale: self.scale(&options).to_bits(),
        };
        let mut operands = vec![self, key, value];
        operands.extend([options.lengths, bias, table].into_iter().flatten());
        let result = self.shape().with(3, value.dim(3));
        let outputs = [(result, DType::F32), (self.rows_of_heads(), DType::F32)];
        graph.push_outputs(Op::Attention(attending), &operands, &outputs, at)[0]
    }

    /// The bias with four dimensions, and the table of distance terms, if everything fits together.
    pub(super) fn attending(
        self,
        name: &'static str,
        key: Self,
        value: Option<Self>,
        options: &AttentionOptions<'g>,
        at: Location,
    ) -> Result<(Option<Self>, Option<Self>), Self> {
        let floats = [Some(key), value, options.bias, options.slopes, options.relative];
        let mut operands = vec![(self, DType::F32)];
        operands.extend(floats.into_iter().flatten().map(|tensor| (tensor, DType::F32)));
        operands.extend(options.lengths.map(|lengths| (lengths, DType::U32)));
        if let Some(poisoned) = self.refuse(name, &operands, at) {
            return Err(poisoned);
        }
        let others: Vec<_> = operands[1..].iter().map(|(tensor, _)| *tensor).collect();
        let fault = |detail: &str| Err(self.shape_error(name, &others, detail, at));
        let value = value.unwrap_or(key);
        // Batch, queries or keys may be empty, but heads and channels must exist.
        let odd = |tensor: &Self| tensor.rank() != 4 || tensor.shape()[2..].contains(&0);
        if [self, key, value].iter().any(odd) {
            return fault("queries, keys and values are [B, T, H, D] with H and D of 1 or more");
        }
        let [batch, queries, heads, width] = [0, 1, 2, 3].map(|axis| self.dim(axis));
        let (keys, key_heads) = (key.dim(1), key.dim(2));
        if key.dim(0) != batch || key.dim(3) != width || value.shape()[..3] != key.shape()[..3] {
            return fault("keys need the queries' B and D, values the keys' B, T and H");
        }
        if !heads.is_multiple_of(key_heads) {
            return fault(&format!("{heads} query heads cannot share {key_heads} key heads"));
        }
        if options.lengths.is_some_and(|lengths| lengths.shape()[..] != [batch]) {
            return fault(&format!("lengths are [{batch}]"));
        }
        if options.slopes.is_some_and(|slopes| slopes.shape()[..] != [heads]) {
            return fault(&format!("slopes are [{heads}]"));
        }
        let odd = |table: Self| table.rank() == 2 && table.dim(0) == heads && table.dim(1) % 2 == 1;
        if options.relative.is_some_and(|table| !odd(table)) {
            return fault(&format!("relative terms are [{heads}, 2R+1]"));
        }
        let bias = options.bias.map(|bias| match bias.rank() {
            3 => bias.reshape(&[1, bias.dim(0), bias.dim(1), bias.dim(2)]),
            _ => bias,
        });
        let fits = |bias: Self| {
            let one_of = |axis: usize, extent: usize| bias.dim(axis) == 1 || bias.dim(axis) == extent;
            bias.rank() == 4 && one_of(0, batch) && one_of(1, heads) && bias.shape()[2..] == [queries, keys]
        };
        if bias.is_some_and(|bias| !fits(bias)) {
            return fault(&format!("a bias is [{batch} or 1, {heads} or 1, {queries}, {keys}]"));
        }
        let wrong = |detail: String| Err(self.argument_error(name, detail, at));
        if options.start == Start::AtEnd && options.lengths.is_none() {
            return wrong("queries at the end of their rows need lengths".to_owned());
        }
        if let Start::At(start) = options.start
            && start > FARTHEST
        {
            return wrong(format!("start = {start} is beyond {FARTHEST}"));
        }
        if !(0.0..1.0).contains(&options.dropout) {
            return wrong(format!("dropout = {} is not in 0 <= p < 1", options.dropout));
        }
        if !self.scale(options).is_finite() {
            return wrong(format!("scale = {} is not finite", self.scale(options)));
        }
        let slopes = options.slopes.map(|slopes| slopes.reshape(&[heads, 1]));
        let table = match (slopes, options.relative) {
            (Some(slopes), Some(relative)) => Some(Self::concat(slopes, &[relative], 1)),
            (slopes, relative) => slopes.or(relative),
        };
        Ok((bias, table))
    }

    /// Factor of the products.
    pub(super) fn scale(self, options: &AttentionOptions<'g>) -> f32 {
        options.scale.unwrap_or_else(|| 1.0 / (self.dim(3) as f32).sqrt())
    }

    /// [B, T, H] of [B, T, H, C].
    fn rows_of_heads(self) -> Shape {
        self.shape().without(3)
    }
}
