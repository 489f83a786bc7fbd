//! The operations a graph can hold.
//!
//! The set is small on purpose. What users call (`gelu`, `mean`, `tile`, a layer) is composed of these at recording,
//! so gradients, fusion and lowering know a few primitives, and the fuser turns the composition back into one kernel.
//! Floats are kept as bits, so operations can be compared and hashed for common subexpressions.

use std::sync::Arc;

use super::joined::Joined;
use super::payload::{Alignment, Attending, Cut, Derivation, GradientOf, Number, Recurrence};
use super::shape::MAX_RANK;
use super::specs::ParamId;

pub(crate) use super::pointwise::{Binary, Ternary, Unary};

/// Every operation a user can call on tensors that computes something, by method name. Each has an f64 oracle, a
/// gradient check and a golden case of this name in the tests; `cargo xtask tidy` compares the lists.
pub const OPERATIONS: &[&str] = &listed::<{ count(ALL) }>(ALL);

/// The rows of the pointwise tables, and everything that is no row of one.
const ALL: &[&[&str]] = &[Unary::OPERATIONS, Binary::OPERATIONS, Ternary::OPERATIONS, OTHERS];

/// Operations with a kernel of their own, views, and those that are composed where they are recorded.
const OTHERS: &[&str] = &[
    "selu",
    "swiglu",
    "matmul",
    "matmul_t",
    "t_matmul",
    "sum",
    "mean",
    "max",
    "min",
    "prod",
    "logsumexp",
    "argmax",
    "argmin",
    "cumsum",
    "reshape",
    "transpose",
    "permute",
    "slice",
    "slice_step",
    "flip",
    "windows",
    "pad",
    "pad_with",
    "tile",
    "concat",
    "broadcast_to",
    "softmax",
    "log_softmax",
    "layer_norm",
    "rms_norm",
    "cross_entropy",
    "ctc",
    "gather_rows",
    "gather",
    "one_hot",
    "append",
    "pack",
    "unpack",
    "dropout",
    "rnn",
    "lstm",
    "gru",
    "attention",
    "attention_weights",
];

const fn count(lists: &[&[&str]]) -> usize {
    let (mut total, mut list) = (0, 0);
    while list < lists.len() {
        total += lists[list].len();
        list += 1;
    }
    total
}

/// The lists one behind the other.
const fn listed<const N: usize>(lists: &[&[&'static str]]) -> [&'static str; N] {
    let (mut all, mut at, mut list) = ([""; N], 0, 0);
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            all[at] = lists[list][i];
            at += 1;
            i += 1;
        }
        list += 1;
    }
    all
}

/// How a reduction combines elements.
pub(crate) use seqloom_kernels::reduce::ReduceOp;

/// One node's operation. Operands are described in the order they are recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// A failed operation, and everything computed from it.
    Poison,
    /// The program's input of this index.
    Input(usize),
    /// A parameter or a constant of the model.
    Param(ParamId),
    /// The graph's carried state of this index.
    State(usize),
    /// The scale of the loss, read from the control buffer when the step runs.
    LossScale,
    /// A number of the step that the update reads from the statistics.
    Number(Number),
    /// A scalar known when recorded, as bits of an f32.
    Constant(u32),
    /// A tensor known when recorded, as bits.
    Literal(Arc<[u32]>),
    /// A pointwise function of one operand.
    Unary(Unary),
    /// A pointwise function of two operands of one shape.
    Binary(Binary),
    /// A pointwise function of three operands of one shape.
    Ternary(Ternary),
    /// Keeps an element with probability `keep` (bits of an f32) and scales it by 1/keep; `stream` tells calls apart.
    Dropout {
        /// Probability to keep, as bits.
        keep: u32,
        /// Number of this call within the graph.
        stream: u32,
    },
    /// u32 to f32; numbers from `below` on are a mistake.
    ToF32 {
        /// `None` where any will do.
        below: Option<usize>,
    },
    /// The same elements under another shape.
    Reshape,
    /// Stretches dimensions of 1 and adds leading ones.
    Broadcast,
    /// Reorders dimensions: output axis i is operand axis `[i]`.
    Permute([u8; MAX_RANK]),
    /// Some indices of each axis, at even distances, forward or backward.
    Slice(Cut),
    /// Windows of `axis`, which overlap if they are longer than `step`: y[.., w, .., k] = x[.., w·step + k·dilation, ..] with k as
    /// a new last axis.
    Windows {
        /// Axis that windows lie on.
        axis: usize,
        /// Elements from the begin of one window to that of the next.
        step: usize,
        /// Elements from one of a window to its next.
        dilation: usize,
    },
    /// y[.., j, .., k] = x[.., j + (K−1−k)·by, .., k], j along `axis` and k along the last one, of size K: the elements of all windows
    /// that hold the same element side by side, which the gradient of [`Op::Windows`] adds up.
    Skew {
        /// Axis that moves.
        axis: usize,
        /// How far, for each step along the last axis.
        by: usize,
    },
    /// Along `axis`, `take` indices of the operand from `start`, put at `before` of a result that holds one number elsewhere: a
    /// slice, a pad, or both. The result's size follows from its shape. Simplification makes those that only cut slices.
    Window {
        /// Axis cut or grown.
        axis: usize,
        /// First index taken.
        start: usize,
        /// Number of indices taken.
        take: usize,
        /// Where they begin in the result.
        before: usize,
        /// What stands elsewhere, as bits.
        fill: u32,
    },
    /// Operands of equal shape except for one axis, one behind the other along that axis.
    Concat(Joined),
    /// Combines the elements of `axis`, which disappears.
    Reduce {
        /// How.
        op: ReduceOp,
        /// Axis reduced.
        axis: usize,
    },
    /// Index of the first greatest element of `axis`, which disappears; u32.
    Arg {
        /// The least instead.
        least: bool,
        /// Axis searched.
        axis: usize,
    },
    /// Running sums along `axis`.
    Scan {
        /// Axis along which elements are added.
        axis: usize,
        /// From its end to its begin.
        reverse: bool,
    },
    /// Product of the last two dimensions; leading ones are a batch of equal size.
    MatMul {
        /// The first operand is stored [K, M].
        trans_a: bool,
        /// The second operand is stored [N, K].
        trans_b: bool,
    },
    /// Softmax over the last axis, or its logarithm.
    Softmax {
        /// Give the logarithm.
        log: bool,
    },
    /// x [N, C], weight \[C\], and where centred bias \[C\] → y [N, C], first elements \[N\], mean less those \[N\],
    /// 1/deviation \[N\]: operands and outputs are the kernel family's (`seqloom_kernels::norm`).
    Norm {
        /// Take the mean off first.
        centred: bool,
        /// Added to the variance, as bits.
        eps: u32,
    },
    /// x, dy, weight, mean less the first elements, 1/deviation → gradient of x [N, C].
    NormGrad {
        /// Whether the mean was taken off.
        centred: bool,
    },
    /// logits [N, V], targets \[N\] → losses \[N\], tops \[N\], totals \[N\]: operands and outputs are the kernel family's
    /// (`seqloom_kernels::cross_entropy`).
    CrossEntropy {
        /// Target that does not count.
        ignore_index: Option<u32>,
        /// Share of the target's weight that all classes divide among them, as bits.
        smoothing: u32,
    },
    /// logits, targets, tops, totals, gradients of the losses → gradient of the logits [N, V].
    CrossEntropyGrad {
        /// Target that does not count.
        ignore_index: Option<u32>,
        /// As forward.
        smoothing: u32,
    },
    /// log_probs [B, T, V], targets [B, S], input lengths \[B\], target lengths \[B\] → losses \[B\], alphas [B, T, 2S+1]: operands and
    /// outputs are the kernel family's (`seqloom_kernels::ctc`).
    Ctc(Alignment),
    /// Those operands, alphas and the gradients of the losses → gradient of log_probs [B, T, V].
    CtcGrad(Alignment),
    /// table [V, C], ids \[N\] → rows [N, C].
    Gather,
    /// dy [N, C], order \[N\], starts [V+1] → gradient of the table [V, C].
    GatherGrad,
    /// x [O, L, I], index [O, K, I] → x[o, index\[o, k, i\], i], [O, K, I].
    Pick,
    /// dy [O, K, I], order \[M\], starts [M+1], places \[M\] → gradient of x [O, L, I].
    PickGrad,
    /// x [R, C], from \[M\], back \[R\] → [M, C]: row m is x[from\[m\]], or 0 where `from[m]` is no row of x. No row is taken
    /// twice, and `back` is the inverse.
    Rearrange,
    /// cache [B, S, ..], rows [B, T, ..], first \[B\] → the cache with `rows[b]` at `first[b]` and behind it.
    Append,
    /// value, state → the state, which holds the value after the run. Added when a program is compiled.
    Keep,
    /// What the host computes of u32 tensors and writes with the inputs.
    Host(Derivation),
    /// A recurrent layer over whole sequences, rows [N, ·] and steps [T, 2] of u32: operands and outputs are the kernel
    /// family's (`seqloom_kernels::recurrent::lower_forward`).
    Recurrent(Recurrence),
    /// Its back-propagation through time (`seqloom_kernels::recurrent::lower_backward`).
    RecurrentGrad(Recurrence),
    /// q, k, v, then lengths, bias and table by distance where there are such → y, lse: operands and outputs are the kernel
    /// family's (`seqloom_kernels::attention::lower`).
    Attention(Attending),
    /// The gradients of some of its operands, from those of `Attention` with dy, lse and delta behind v.
    AttentionGrad(Attending, GradientOf),
    /// Output of this index of an operation that has several.
    Output(usize),
}
