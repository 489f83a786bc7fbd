//! The files of helpers that are joined before kernels.

/// A file of helpers that `assemble` joins before a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lib {
    /// Path below `wgsl/`.
    pub name: &'static str,
    /// Text of the file.
    pub source: &'static str,
}

/// What fused code computes with: one element or four.
pub const VALUE: Lib = Lib { name: "lib/value.wgsl", source: include_str!("../wgsl/lib/value.wgsl") };

/// `struct View` and strided reads.
pub const VIEW: Lib = Lib { name: "lib/view.wgsl", source: include_str!("../wgsl/lib/view.wgsl") };

/// `struct Control`: the numbers of a training step.
pub const CONTROL: Lib = Lib { name: "lib/control.wgsl", source: include_str!("../wgsl/lib/control.wgsl") };

/// Counter-based random numbers.
pub const RNG: Lib = Lib { name: "lib/rng.wgsl", source: include_str!("../wgsl/lib/rng.wgsl") };

/// The functions that fused code is made of; needs [`VALUE`] and [`RNG`].
pub const POINTWISE: Lib =
    Lib { name: "lib/pointwise.wgsl", source: include_str!("../wgsl/lib/pointwise.wgsl") };

/// The place of a workgroup's part in a grid that may be folded.
pub const GRID: Lib = Lib { name: "lib/grid.wgsl", source: include_str!("../wgsl/lib/grid.wgsl") };

/// The immediates of the products of GPUs.
pub const PRODUCT: Lib = Lib { name: "lib/product.wgsl", source: include_str!("../wgsl/lib/product.wgsl") };

/// Loads of four values for the tiles of products of GPUs; needs [`PRODUCT`].
pub const PRODUCT_WIDE: Lib =
    Lib { name: "lib/product_wide.wgsl", source: include_str!("../wgsl/lib/product_wide.wgsl") };

/// The immediates of the matrix products of CPU adapters.
pub const PRODUCT_CPU: Lib =
    Lib { name: "lib/product_cpu.wgsl", source: include_str!("../wgsl/lib/product_cpu.wgsl") };

/// Sums of a tile in the registers of one subgroup, by eight rows; needs the constant ROWS.
pub const OCTETS: Lib = Lib { name: "lib/octets.wgsl", source: include_str!("../wgsl/lib/octets.wgsl") };

/// A product tile in the registers of one subgroup, by loads of four values; needs [`OCTETS`] and the constant LANES.
pub const WIDE_TILE: Lib =
    Lib { name: "lib/wide_tile.wgsl", source: include_str!("../wgsl/lib/wide_tile.wgsl") };

/// Where appended rows stand, with the immediates that say so; needs the binding `first` of a kernel that appends, and [`VIEW`].
pub const APPEND: Lib = Lib { name: "lib/append.wgsl", source: include_str!("../wgsl/lib/append.wgsl") };

/// A sum over a workgroup; needs the constant WORKGROUP.
pub const ROW_SUM: Lib = Lib { name: "lib/row_sum.wgsl", source: include_str!("../wgsl/lib/row_sum.wgsl") };

/// A row's normalisation from its mean; needs [`VALUE`], the constant CENTRED and a forward norm kernel's bindings.
pub const NORM_ROW: Lib =
    Lib { name: "lib/norm_row.wgsl", source: include_str!("../wgsl/lib/norm_row.wgsl") };

/// Steps and rows of a batch of sequences; needs the binding `steps`.
pub const RECURRENT: Lib =
    Lib { name: "lib/recurrent.wgsl", source: include_str!("../wgsl/lib/recurrent.wgsl") };

/// What the recurrent cells share on the way forward; needs [`RECURRENT`].
pub const RECURRENT_FORWARD: Lib =
    Lib { name: "lib/recurrent_forward.wgsl", source: include_str!("../wgsl/lib/recurrent_forward.wgsl") };

/// What the recurrent cells share on the way back; needs [`RECURRENT`].
pub const RECURRENT_BACKWARD: Lib =
    Lib { name: "lib/recurrent_backward.wgsl", source: include_str!("../wgsl/lib/recurrent_backward.wgsl") };

/// How a recurrent step forward reads its operands: one value at a time.
pub const RECURRENT_FORWARD_ONE: Lib = Lib {
    name: "lib/recurrent_forward_one.wgsl",
    source: include_str!("../wgsl/lib/recurrent_forward_one.wgsl"),
};

/// How a recurrent step forward reads its operands: four values at a time.
pub const RECURRENT_FORWARD_FOUR: Lib = Lib {
    name: "lib/recurrent_forward_four.wgsl",
    source: include_str!("../wgsl/lib/recurrent_forward_four.wgsl"),
};

/// How a recurrent step backward reads its operands: one value at a time.
pub const RECURRENT_BACKWARD_ONE: Lib = Lib {
    name: "lib/recurrent_backward_one.wgsl",
    source: include_str!("../wgsl/lib/recurrent_backward_one.wgsl"),
};

/// How a recurrent step backward reads its operands: four values at a time.
pub const RECURRENT_BACKWARD_FOUR: Lib = Lib {
    name: "lib/recurrent_backward_four.wgsl",
    source: include_str!("../wgsl/lib/recurrent_backward_four.wgsl"),
};

/// A recurrent step by single subgroups; needs a cell, its direction by four values, and [`WIDE_TILE`].
pub const RECURRENT_CPU: Lib =
    Lib { name: "lib/recurrent_cpu.wgsl", source: include_str!("../wgsl/lib/recurrent_cpu.wgsl") };

/// A recurrent step by workgroup tiles; needs a cell and its direction by one value.
pub const RECURRENT_STEP: Lib =
    Lib { name: "lib/recurrent_step.wgsl", source: include_str!("../wgsl/lib/recurrent_step.wgsl") };

/// A walk over many recurrent steps; needs a cell and its direction by one value.
pub const RECURRENT_LOOP: Lib =
    Lib { name: "lib/recurrent_loop.wgsl", source: include_str!("../wgsl/lib/recurrent_loop.wgsl") };

/// A product tile in the registers of one subgroup whose halves hold two rows; needs [`OCTETS`] and the constant STEP.
pub const PAIRED_TILE: Lib =
    Lib { name: "lib/paired_tile.wgsl", source: include_str!("../wgsl/lib/paired_tile.wgsl") };

/// The rules of attention: who attends to whom, and what is added to a score; needs [`CONTROL`] and [`RNG`].
pub const ATTENTION: Lib =
    Lib { name: "lib/attention.wgsl", source: include_str!("../wgsl/lib/attention.wgsl") };

/// A tile of scores in the registers of one subgroup; needs [`OCTETS`].
pub const ATTENTION_TILE: Lib =
    Lib { name: "lib/attention_tile.wgsl", source: include_str!("../wgsl/lib/attention_tile.wgsl") };

/// Scores and weights of such a tile; needs [`ATTENTION`] and [`ATTENTION_TILE`].
pub const ATTENTION_SCORES: Lib =
    Lib { name: "lib/attention_scores.wgsl", source: include_str!("../wgsl/lib/attention_scores.wgsl") };

/// Gradients of such a tile; needs [`ATTENTION_SCORES`].
pub const ATTENTION_GRADIENT: Lib =
    Lib { name: "lib/attention_gradient.wgsl", source: include_str!("../wgsl/lib/attention_gradient.wgsl") };

/// A tile of scores shared out in a workgroup; needs [`ATTENTION`].
pub const ATTENTION_WORKGROUP: Lib = Lib {
    name: "lib/attention_workgroup.wgsl",
    source: include_str!("../wgsl/lib/attention_workgroup.wgsl"),
};

/// What `assemble` joins, besides a kernel's own helpers, where fused code is given.
pub const FUSED_LIBS: &[&Lib] = &[&VALUE, &VIEW, &CONTROL, &RNG, &POINTWISE];

/// Every file of helpers, each after those that it needs.
pub fn libs() -> &'static [&'static Lib] {
    &[
        &VALUE,
        &VIEW,
        &CONTROL,
        &RNG,
        &POINTWISE,
        &APPEND,
        &ROW_SUM,
        &NORM_ROW,
        &GRID,
        &PRODUCT,
        &PRODUCT_WIDE,
        &PRODUCT_CPU,
        &OCTETS,
        &WIDE_TILE,
        &PAIRED_TILE,
        &RECURRENT,
        &RECURRENT_FORWARD,
        &RECURRENT_BACKWARD,
        &RECURRENT_FORWARD_ONE,
        &RECURRENT_FORWARD_FOUR,
        &RECURRENT_BACKWARD_ONE,
        &RECURRENT_BACKWARD_FOUR,
        &RECURRENT_CPU,
        &RECURRENT_STEP,
        &RECURRENT_LOOP,
        &ATTENTION,
        &ATTENTION_TILE,
        &ATTENTION_SCORES,
        &ATTENTION_GRADIENT,
        &ATTENTION_WORKGROUP,
    ]
}
