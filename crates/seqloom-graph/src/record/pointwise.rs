//! Arithmetic and pointwise functions of tensors, with NumPy's broadcasting.
//!
//! Broadcasting is recorded as a separate node, so gradients sum over broadcast dimensions in one place and the fuser
//! turns it into an index map.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::ir::layout::DType;
use crate::ir::op::{Binary, Op, Unary};
use crate::record::tensor::{Tensor, here};

impl<'g> Tensor<'g> {
    #[track_caller]
    pub(crate) fn unary(self, name: &'static str, function: Unary) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32)], at) {
            return poisoned;
        }
        self.unary_node(Op::Unary(function), self.shape(), at)
    }

    #[track_caller]
    pub(crate) fn binary(self, name: &'static str, function: Binary, rhs: Self) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32), (rhs, DType::F32)], at) {
            return poisoned;
        }
        let Some(shape) = self.shape().broadcast(&rhs.shape()) else {
            return self.shape_error(name, &[rhs], "the shapes do not broadcast", at);
        };
        if self.graph.shape(name, &shape, at).is_none() {
            return self.shape_error(name, &[rhs], "too many elements", at);
        }
        let (a, b) = (self.stretched(shape, at), rhs.stretched(shape, at));
        self.graph.push(Op::Binary(function), &[a, b], shape, DType::F32, at)
    }

    #[track_caller]
    fn with_scalar(self, name: &'static str, function: Binary, rhs: f32) -> Self {
        self.binary(name, function, self.graph.constant(rhs, here()))
    }

    /// eˣ of each element.
    #[track_caller]
    #[must_use]
    pub fn exp(self) -> Self {
        self.unary("exp", Unary::Exp)
    }

    /// Natural logarithm of each element.
    #[track_caller]
    #[must_use]
    pub fn ln(self) -> Self {
        self.unary("ln", Unary::Ln)
    }

    /// √x of each element.
    #[track_caller]
    #[must_use]
    pub fn sqrt(self) -> Self {
        self.unary("sqrt", Unary::Sqrt)
    }

    /// 1/x of each element.
    #[track_caller]
    #[must_use]
    pub fn recip(self) -> Self {
        self.unary("recip", Unary::Recip)
    }

    /// tanh of each element.
    #[track_caller]
    #[must_use]
    pub fn tanh(self) -> Self {
        self.unary("tanh", Unary::Tanh)
    }

    /// 1/(1+e⁻ˣ) of each element.
    #[track_caller]
    #[must_use]
    pub fn sigmoid(self) -> Self {
        self.unary("sigmoid", Unary::Sigmoid)
    }

    /// max(x, 0) of each element; its gradient at 0 is 0.
    #[track_caller]
    #[must_use]
    pub fn relu(self) -> Self {
        self.unary("relu", Unary::Relu)
    }

    /// x·Φ(x) with the exact normal distribution function Φ (Hendrycks & Gimpel 2016).
    #[track_caller]
    #[must_use]
    pub fn gelu(self) -> Self {
        self.unary("gelu", Unary::Gelu)
    }

    /// x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), the approximation of [`Self::gelu`] that GPT-2 was trained with (Hendrycks &
    /// Gimpel 2016).
    #[track_caller]
    #[must_use]
    pub fn gelu_tanh(self) -> Self {
        self.unary("gelu_tanh", Unary::GeluTanh)
    }

    /// x·sigmoid(x) (Hendrycks & Gimpel 2016).
    #[track_caller]
    #[must_use]
    pub fn silu(self) -> Self {
        self.unary("silu", Unary::Silu)
    }

    /// silu(self)·rhs with broadcasting, the gated unit of LLaMA's feed-forward layers, where both are products of one operand
    /// (Shazeer 2020). Composed of the two, which the fuser makes one pass or a product's epilogue.
    #[track_caller]
    #[must_use]
    pub fn swiglu(self, rhs: Self) -> Self {
        self.unary("swiglu", Unary::Silu).binary("swiglu", Binary::Mul, rhs)
    }

    /// x² of each element.
    #[track_caller]
    #[must_use]
    pub fn square(self) -> Self {
        self.unary("square", Unary::Square)
    }

    /// |x| of each element; its gradient at 0 is 0.
    #[track_caller]
    #[must_use]
    pub fn abs(self) -> Self {
        self.unary("abs", Unary::Abs)
    }

    /// The greater of the two, element by element; equal elements share the gradient.
    #[track_caller]
    #[must_use]
    pub fn maximum(self, rhs: Self) -> Self {
        self.binary("maximum", Binary::Max, rhs)
    }

    /// The lesser of the two, element by element; equal elements share the gradient.
    #[track_caller]
    #[must_use]
    pub fn minimum(self, rhs: Self) -> Self {
        self.binary("minimum", Binary::Min, rhs)
    }

    /// 1 where this is greater, else 0; no gradient.
    #[track_caller]
    #[must_use]
    pub fn greater(self, rhs: Self) -> Self {
        self.binary("greater", Binary::Greater, rhs)
    }

    /// 1 where this is less, else 0; no gradient.
    #[track_caller]
    #[must_use]
    pub fn less(self, rhs: Self) -> Self {
        self.binary("less", Binary::Less, rhs)
    }

    /// 1 where both are equal, else 0; no gradient.
    #[track_caller]
    #[must_use]
    pub fn equal(self, rhs: Self) -> Self {
        self.binary("equal", Binary::Equal, rhs)
    }

    /// Ids or lengths as numbers, exact up to 2²⁴.
    #[track_caller]
    #[must_use]
    pub fn to_f32(self) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse("to_f32", &[(self, DType::U32)], at) {
            return poisoned;
        }
        self.graph.push(Op::ToF32, &[self], self.shape(), DType::F32, at)
    }

    /// Sets each element to 0 with probability `p` and scales the others by 1/(1−p); in an inference graph, and for
    /// p = 0, the tensor itself. Which elements depends on the step's seed, this call's number in the graph and the
    /// element's index alone, so the backward pass recomputes it (Srivastava et al. 2014).
    ///
    /// A `p` outside 0 ≤ p < 1 poisons the result.
    #[track_caller]
    #[must_use]
    pub fn dropout(self, p: f32) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse("dropout", &[(self, DType::F32)], at) {
            return poisoned;
        }
        if !(0.0..1.0).contains(&p) {
            return self.argument_error("dropout", format!("p = {p} is not in 0 <= p < 1"), at);
        }
        if p == 0.0 || !self.graph.is_training() {
            return self;
        }
        let stream = self.graph.next_stream();
        self.unary_node(Op::Dropout { keep: (1.0 - p).to_bits(), stream }, self.shape(), at)
    }
}

macro_rules! operator {
    ($Trait:ident, $method:ident, $function:ident, $name:literal) => {
        impl<'g> $Trait for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, rhs: Self) -> Self {
                self.binary($name, Binary::$function, rhs)
            }
        }
        impl<'g> $Trait<f32> for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, rhs: f32) -> Self {
                self.with_scalar($name, Binary::$function, rhs)
            }
        }
        impl<'g> $Trait<Tensor<'g>> for f32 {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, rhs: Tensor<'g>) -> Tensor<'g> {
                rhs.graph.constant(self, here()).binary($name, Binary::$function, rhs)
            }
        }
    };
}

operator!(Add, add, Add, "add");
operator!(Sub, sub, Sub, "sub");
operator!(Mul, mul, Mul, "mul");
operator!(Div, div, Div, "div");

impl Neg for Tensor<'_> {
    type Output = Self;
    #[track_caller]
    fn neg(self) -> Self {
        self.unary("neg", Unary::Neg)
    }
}
