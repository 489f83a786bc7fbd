//! What a pass may ask of an operation, in one exhaustive table.
//!
//! Passes ask for traits and not for names, so a new operation is one line here and no pass changes. Properties that
//! depend on a device are not traits: `compile/target.rs` asks the kernels.

use super::op::{Op, ReduceOp};

/// How a node comes to its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It lies in memory before the first kernel runs.
    Given,
    /// Another name for its operand's memory.
    Alias,
    /// One number, written into the code of what uses it.
    Scalar,
    /// Each element depends only on operand elements of the same index.
    Pointwise,
    /// Its operand's elements under other indices, which a kernel reads through strides.
    View,
    /// From elements of its operand along an axis; what computes the operand pointwise runs in the same kernel.
    Reduce,
    /// By a kernel of its own.
    Kernel,
    /// By the host, which writes it with the inputs.
    Host,
    /// One result of an operation that has several.
    Output,
}

/// An operation as passes see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpTraits {
    pub kind: Kind,
    /// What messages call it: the method that records it, where there is one.
    pub name: &'static str,
    /// Its results are the output nodes that follow it; the node itself has no memory.
    pub outputs: bool,
    /// A group can be the tail of its kernel, which then runs where the group's root stands.
    pub takes_tail: bool,
    /// Its kernel can compute its first operand by a group, and write it too.
    pub takes_head: bool,
    /// It reads the control buffer.
    pub reads_control: bool,
    /// The operand that its kernel can write its result over, element by element; a state it always does.
    pub writes_over: Option<usize>,
}

impl OpTraits {
    const fn of(kind: Kind, name: &'static str) -> Self {
        Self {
            kind,
            name,
            outputs: false,
            takes_tail: false,
            takes_head: false,
            reads_control: false,
            writes_over: None,
        }
    }

    const fn outputs(self) -> Self {
        Self { outputs: true, ..self }
    }

    const fn takes_tail(self) -> Self {
        Self { takes_tail: true, ..self }
    }

    const fn takes_head(self) -> Self {
        Self { takes_head: true, ..self }
    }

    const fn reads_control(self) -> Self {
        Self { reads_control: true, ..self }
    }

    const fn writes_over(self, operand: usize) -> Self {
        Self { writes_over: Some(operand), ..self }
    }
}

impl Op {
    /// The table.
    pub(crate) fn traits(&self) -> OpTraits {
        use Kind::{Alias, Given, Host, Kernel, Output, Pointwise, Reduce, Scalar, View};
        let of = OpTraits::of;
        match self {
            Op::Poison => of(Given, "mistake"),
            Op::Input(_) => of(Given, "input"),
            Op::Param(_) => of(Given, "parameter"),
            Op::State(_) => of(Given, "state"),
            Op::Literal(_) => of(Given, "literal"),
            Op::LossScale => of(Scalar, "loss scale").reads_control(),
            Op::Number(_) => of(Scalar, "number of the step").reads_control(),
            Op::Constant(_) => of(Scalar, "constant"),
            Op::Unary(function) => of(Pointwise, function.name()),
            Op::Binary(function) => of(Pointwise, function.name()),
            Op::Ternary(function) => of(Pointwise, function.name()),
            Op::Dropout { .. } => of(Pointwise, "dropout").reads_control(),
            Op::ToF32 { .. } => of(Pointwise, "to_f32"),
            Op::Reshape => of(Alias, "reshape"),
            Op::Broadcast => of(View, "broadcast_to"),
            Op::Permute(_) => of(View, "permute"),
            Op::Slice(_) => of(View, "slice"),
            Op::Windows { .. } | Op::Skew { .. } => of(View, "windows"),
            Op::Window { .. } => of(View, "pad"),
            Op::Concat(_) => of(Kernel, "concat"),
            Op::Reduce { op, .. } => of(Reduce, reduction(*op)),
            Op::Arg { least: false, .. } => of(Reduce, "argmax"),
            Op::Arg { least: true, .. } => of(Reduce, "argmin"),
            Op::Scan { .. } => of(Reduce, "cumsum"),
            Op::MatMul { .. } => of(Kernel, "matmul").takes_tail(),
            Op::Softmax { log: false } => of(Kernel, "softmax"),
            Op::Softmax { log: true } => of(Kernel, "log_softmax"),
            Op::Norm { centred, .. } => of(Kernel, norm(*centred)).outputs().takes_head(),
            Op::NormGrad { centred } => of(Kernel, norm(*centred)).takes_tail(),
            Op::CrossEntropy { .. } => of(Kernel, "cross_entropy").outputs(),
            Op::CrossEntropyGrad { .. } => of(Kernel, "cross_entropy").writes_over(0),
            Op::Ctc(_) => of(Kernel, "ctc").outputs(),
            Op::CtcGrad(_) => of(Kernel, "ctc"),
            Op::Gather => of(Kernel, "gather_rows").takes_tail(),
            Op::GatherGrad => of(Kernel, "gather_rows"),
            Op::Pick | Op::PickGrad => of(Kernel, "gather"),
            Op::Rearrange => of(Kernel, "pack"),
            Op::Append => of(Kernel, "append"),
            Op::Keep => of(Kernel, "keep").writes_over(1),
            Op::Host(derivation) => of(Host, derivation.name()).outputs(),
            Op::Recurrent(recurrence) => of(Kernel, recurrence.name()).outputs(),
            Op::RecurrentGrad(recurrence) => of(Kernel, recurrence.name()).outputs(),
            Op::Attention(_) | Op::AttentionGrad(..) => of(Kernel, "attention").outputs().reads_control(),
            Op::Output(_) => of(Output, "output"),
        }
    }
}

fn norm(centred: bool) -> &'static str {
    if centred { "layer_norm" } else { "rms_norm" }
}

fn reduction(op: ReduceOp) -> &'static str {
    match op {
        ReduceOp::Sum => "sum",
        ReduceOp::Max => "max",
        ReduceOp::Min => "min",
        ReduceOp::Prod => "prod",
    }
}
