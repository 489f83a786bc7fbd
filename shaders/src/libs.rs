//! The files of helpers that are joined before kernels.
//!
//! `wgsl/lib/` holds what every family speaks, `wgsl/<family>/lib/` the words of one family; another family may join those too, as
//! attention and recurrent layers join the register tiles of matrix products. A kernel's file names in its header what is joined
//! before it.

/// A file of helpers that `assemble` joins before a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lib {
    /// Path below `wgsl/`.
    pub name: &'static str,
    /// Text of the file.
    pub source: &'static str,
}

impl Lib {
    /// The file's name without folder and ending; no two libs share one.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        let file = self.name.rsplit_once('/').map_or(self.name, |(_, file)| file);
        file.strip_suffix(".wgsl").unwrap_or(file)
    }
}

/// Declares the libs and lists them, each after those that it needs.
macro_rules! libs {
    ($($(#[$doc:meta])* $name:ident: $file:literal,)*) => {
        $(
            $(#[$doc])*
            pub const $name: Lib = Lib { name: $file, source: include_str!(concat!("../wgsl/", $file)) };
        )*

        /// Every file of helpers, each after those that it needs.
        pub fn libs() -> &'static [&'static Lib] {
            &[$(&$name),*]
        }
    };
}

libs! {
    /// What fused code computes with: one element or four.
    VALUE: "lib/value.wgsl",
    /// `struct View` and strided reads.
    VIEW: "lib/view.wgsl",
    /// `struct Control`: the numbers of a training step.
    CONTROL: "lib/control.wgsl",
    /// Counter-based random numbers.
    RNG: "lib/rng.wgsl",
    /// The functions that fused code is made of; needs [`VALUE`] and [`RNG`].
    POINTWISE: "lib/pointwise.wgsl",
    /// The activations of fused code; needs [`POINTWISE`].
    ACTIVATION: "lib/activation.wgsl",
    /// Where appended rows stand, with the immediates that say so; needs the binding `first` of a kernel that appends, and [`VIEW`].
    APPEND: "view/lib/append.wgsl",
    /// The reduction tree over a workgroup; needs the constant WORKGROUP, and [`TREE_F32`] or a Node of the kernel's own.
    TREE: "lib/tree.wgsl",
    /// Sums and maxima of numbers by [`TREE`].
    TREE_F32: "lib/tree_f32.wgsl",
    /// Immediates and bindings of the forward kernels of norms; needs [`VALUE`].
    NORM_FORWARD: "norm/lib/norm_forward.wgsl",
    /// Immediates and bindings of the forward kernels of norms with a fused head; needs [`VALUE`] and [`VIEW`].
    NORM_RESIDUAL: "norm/lib/norm_residual.wgsl",
    /// Immediates and bindings of the backward kernels of norms; needs [`VALUE`] and [`VIEW`].
    NORM_BACKWARD: "norm/lib/norm_backward.wgsl",
    /// A row's normalisation from its mean; needs [`VALUE`], the constant CENTRED and a forward norm kernel's bindings.
    NORM_ROW: "norm/lib/norm_row.wgsl",
    /// The place of a workgroup's part in a grid that may be folded.
    GRID: "lib/grid.wgsl",
    /// The immediates of the products of GPUs.
    PRODUCT: "matmul/lib/product.wgsl",
    /// Loads of four values for the tiles of products of GPUs; needs [`PRODUCT`].
    PRODUCT_WIDE: "matmul/lib/product_wide.wgsl",
    /// The immediates of the matrix products of CPU adapters.
    PRODUCT_CPU: "matmul/lib/product_cpu.wgsl",
    /// Sums of a tile in the registers of one subgroup, by eight rows; needs the constant ROWS.
    OCTETS: "matmul/lib/octets.wgsl",
    /// A product tile in the registers of one subgroup, by loads of four values; needs [`OCTETS`] and the constant LANES.
    WIDE_TILE: "matmul/lib/wide_tile.wgsl",
    /// A product tile in the registers of one subgroup whose halves hold two rows; needs [`OCTETS`] and the constant STEP.
    PAIRED_TILE: "matmul/lib/paired_tile.wgsl",
    /// Steps and rows of a batch of sequences; needs the binding `steps`.
    RECURRENT: "recurrent/lib/recurrent.wgsl",
    /// What the recurrent cells share on the way forward; needs [`RECURRENT`].
    RECURRENT_FORWARD: "recurrent/lib/recurrent_forward.wgsl",
    /// What the recurrent cells share on the way back; needs [`RECURRENT`].
    RECURRENT_BACKWARD: "recurrent/lib/recurrent_backward.wgsl",
    /// How a recurrent step forward reads its operands: one value at a time.
    RECURRENT_FORWARD_ONE: "recurrent/lib/recurrent_forward_one.wgsl",
    /// How a recurrent step forward reads its operands: four values at a time.
    RECURRENT_FORWARD_FOUR: "recurrent/lib/recurrent_forward_four.wgsl",
    /// How a recurrent step backward reads its operands: one value at a time.
    RECURRENT_BACKWARD_ONE: "recurrent/lib/recurrent_backward_one.wgsl",
    /// How a recurrent step backward reads its operands: four values at a time.
    RECURRENT_BACKWARD_FOUR: "recurrent/lib/recurrent_backward_four.wgsl",
    /// A recurrent step by single subgroups; needs a cell, its direction by four values, and [`WIDE_TILE`].
    RECURRENT_CPU: "recurrent/lib/recurrent_cpu.wgsl",
    /// A recurrent step by workgroup tiles; needs a cell and its direction by one value.
    RECURRENT_STEP: "recurrent/lib/recurrent_step.wgsl",
    /// A walk over many recurrent steps; needs a cell and its direction by one value.
    RECURRENT_LOOP: "recurrent/lib/recurrent_loop.wgsl",
    /// The rules of attention: who attends to whom, and what is added to a score; needs [`CONTROL`] and [`RNG`].
    ATTENTION: "attention/lib/attention.wgsl",
    /// A tile of scores in the registers of one subgroup; needs [`OCTETS`].
    ATTENTION_TILE: "attention/lib/attention_tile.wgsl",
    /// Scores and weights of such a tile; needs [`ATTENTION`] and [`ATTENTION_TILE`].
    ATTENTION_SCORES: "attention/lib/attention_scores.wgsl",
    /// Gradients of such a tile; needs [`ATTENTION_SCORES`].
    ATTENTION_GRADIENT: "attention/lib/attention_gradient.wgsl",
    /// A tile of scores shared out in a workgroup; needs [`ATTENTION`].
    ATTENTION_WORKGROUP: "attention/lib/attention_workgroup.wgsl",
    /// How a reduction combines two elements; needs [`VALUE`] and the constant OP.
    COMBINE: "reduce/lib/combine.wgsl",
    /// Which of two elements is the more extreme one; needs the constant LEAST.
    BEYOND: "reduce/lib/beyond.wgsl",
    /// States and chances of connectionist temporal classification; needs the binding `targets`.
    CTC: "ctc/lib/ctc.wgsl",
}

/// What `assemble` joins, besides a kernel's own helpers, where fused code is given.
pub const FUSED_LIBS: &[&Lib] = &[&VALUE, &VIEW, &CONTROL, &RNG, &POINTWISE, &ACTIVATION];
