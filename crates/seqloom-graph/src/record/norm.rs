//! Normalisation over the last axis: layer normalisation, and by the root mean square.
//!
//! It is one operation with its own kernel, because every element of a row needs the row's statistics. Forward keeps
//! each row's first element, mean minus that element, and 1/deviation; backward recomputes the normalised row from
//! these instead of storing it. The operand's gradient is a kernel too. The gradients of weight and bias are sums over
//! rows, with the normalised row computed in the reduction's head, and are dropped as dead code if nobody trains them.

use crate::ir::layout::DType;
use crate::ir::op::{Binary, Op};
use crate::ir::shape::Shape;
use crate::record::tensor::{Tensor, here};

impl<'g> Tensor<'g> {
    /// y = (x − m)/√(v + eps)·weight + bias over the last axis, with its mean m and variance v = mean (x − m)²: x [.., C],
    /// weight \[C\] and bias \[C\] → [.., C] (Ba, Kiros & Hinton 2016; PyTorch's `layer_norm`). Without a weight, or without a
    /// bias, the result is not scaled, or not moved.
    ///
    /// A weight or bias of another shape, or an `eps` that is negative or not finite, poisons the result.
    #[track_caller]
    #[must_use]
    pub fn layer_norm(self, weight: Option<Self>, bias: Option<Self>, eps: f32) -> Self {
        self.norm(true, weight, bias, eps)
    }

    /// y = x/√(mean x² + eps)·weight over the last axis: x [.., C], weight \[C\] → [.., C] (Zhang & Sennrich 2019; PyTorch's
    /// `rms_norm`). Without a weight the result is not scaled.
    ///
    /// A weight of another shape, or an `eps` that is negative or not finite, poisons the result.
    #[track_caller]
    #[must_use]
    pub fn rms_norm(self, weight: Option<Self>, eps: f32) -> Self {
        self.norm(false, weight, None, eps)
    }

    #[track_caller]
    fn norm(self, centred: bool, weight: Option<Self>, bias: Option<Self>, eps: f32) -> Self {
        let what = Op::Norm { centred, eps: eps.to_bits() };
        let (at, name) = (here(), what.traits().name);
        let given = [Some(self), weight, bias];
        let operands: Vec<_> = given.into_iter().flatten().map(|t| (t, DType::F32)).collect();
        if let Some(poisoned) = self.refuse(name, &operands, at) {
            return poisoned;
        }
        let rows = match self.rows(name, at) {
            Ok(rows) => rows,
            Err(poisoned) => return poisoned,
        };
        let channels = [rows.dim(1)];
        if let Some(odd) = [weight, bias].into_iter().flatten().find(|t| t.shape()[..] != channels) {
            return self.shape_error(name, &[odd], "weight and bias have the size of the last axis", at);
        }
        if !(eps >= 0.0 && eps.is_finite()) {
            return self.argument_error(name, format!("eps = {eps} is not a finite number of 0 or more"), at);
        }
        if channels == [0] {
            // Nothing to normalise; the result is empty but still depends on weight and bias.
            let scaled = weight.map_or(self, |weight| self.binary(name, Binary::Mul, weight));
            return bias.map_or(scaled, |bias| scaled.binary(name, Binary::Add, bias));
        }
        let or = |given: Option<Self>, value: f32| given.unwrap_or_else(|| self.graph.full(&channels, value));
        let mut operands = vec![rows, or(weight, 1.0)];
        if centred {
            operands.push(or(bias, 0.0));
        }
        let each = Shape::new(&[rows.dim(0)]).unwrap_or_default();
        let outputs = [rows.shape(), each, each, each].map(|shape| (shape, DType::F32));
        self.graph.push_outputs(what, &operands, &outputs, at)[0].unary_node(Op::Reshape, self.shape(), at)
    }
}
