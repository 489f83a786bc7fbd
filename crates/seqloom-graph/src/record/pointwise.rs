//! Arithmetic and pointwise functions of tensors, with NumPy's broadcasting.
//!
//! Broadcasting is recorded as a separate node, so gradients sum over broadcast dimensions in one place and the fuser
//! turns it into an index map.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::ir::layout::DType;
use crate::ir::op::{Binary, Op, Ternary, Unary};
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
    pub(crate) fn ternary(self, name: &'static str, function: Ternary, [b, c]: [Self; 2]) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse(name, &[self, b, c].map(|operand| (operand, DType::F32)), at) {
            return poisoned;
        }
        let both = self.shape().broadcast(&b.shape());
        let Some(shape) = both.and_then(|shape| shape.broadcast(&c.shape())) else {
            return self.shape_error(name, &[b, c], "the shapes do not broadcast", at);
        };
        if self.graph.shape(name, &shape, at).is_none() {
            return self.shape_error(name, &[b, c], "too many elements", at);
        }
        let operands = [self, b, c].map(|operand| operand.stretched(shape, at));
        self.graph.push(Op::Ternary(function), &operands, shape, DType::F32, at)
    }

    #[track_caller]
    pub(crate) fn with_scalar(self, name: &'static str, function: Binary, rhs: f32) -> Self {
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

    /// Sine of each element in radians.
    ///
    /// Within 2e-7 for |x| up to 2²⁴, whatever the driver's own sine is worth; beyond, where neighbouring numbers are more than 1
    /// apart, it is the driver's. Drivers that rearrange sums (Metal's fast mathematics may) lose digits of large arguments.
    #[track_caller]
    #[must_use]
    pub fn sin(self) -> Self {
        self.unary("sin", Unary::Sin)
    }

    /// Cosine of each element in radians, as exact as [`Self::sin`].
    #[track_caller]
    #[must_use]
    pub fn cos(self) -> Self {
        self.unary("cos", Unary::Cos)
    }

    /// The error function 2/√π · ∫₀ˣ e^(−t²) dt of each element, within 5e-7 of its value.
    #[track_caller]
    #[must_use]
    pub fn erf(self) -> Self {
        self.unary("erf", Unary::Erf)
    }

    /// The greatest integer that is not above x, for each element; its gradient is 0 everywhere.
    #[track_caller]
    #[must_use]
    pub fn floor(self) -> Self {
        self.unary("floor", Unary::Floor)
    }

    /// The least integer that is not below x, for each element; its gradient is 0 everywhere.
    #[track_caller]
    #[must_use]
    pub fn ceil(self) -> Self {
        self.unary("ceil", Unary::Ceil)
    }

    /// The nearest integer, of two equally near ones the even, for each element; its gradient is 0 everywhere.
    #[track_caller]
    #[must_use]
    pub fn round(self) -> Self {
        self.unary("round", Unary::Round)
    }

    /// −1, 0 or 1 for each element, 0 for a NaN; its gradient is 0 everywhere.
    #[track_caller]
    #[must_use]
    pub fn sign(self) -> Self {
        self.unary("sign", Unary::Sign)
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

    /// self^exponent, element by element, with broadcasting, as in PyTorch: x⁰ is 1 for every x, also 0 and NaN; 1^b is 1 for every b;
    /// a negative base has a result for whole exponents only, else NaN; −∞ then counts as ∞.
    ///
    /// With y = aᵇ the gradients are b·aᵇ⁻¹ of a, 0 where b = 0, and y·ln a of b, 0 where a = 0 and b ≥ 0, and NaN for a negative a. The
    /// error is the driver's; Vulkan allows about 3e-7·(1 + |b| + |b·log₂ a|) of the value.
    #[track_caller]
    #[must_use]
    pub fn pow(self, exponent: Self) -> Self {
        self.binary("pow", Binary::Pow, exponent)
    }

    /// [`Self::pow`] with a number as exponent. The exponents 2, 3, 4, ½, −½ and −1 are computed by products, roots and quotients,
    /// which is faster and exact to some units in the last place.
    #[track_caller]
    #[must_use]
    pub fn powf(self, exponent: f32) -> Self {
        let square = |x: Self| x.unary("pow", Unary::Square);
        match exponent {
            2.0 => square(self),
            3.0 => square(self).binary("pow", Binary::Mul, self),
            4.0 => square(square(self)),
            0.5 => self.unary("pow", Unary::Sqrt),
            -0.5 => self.unary("pow", Unary::Sqrt).unary("pow", Unary::Recip),
            -1.0 => self.unary("pow", Unary::Recip),
            _ => self.with_scalar("pow", Binary::Pow, exponent),
        }
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

    /// 1 where this is greater or equal, else 0; no gradient.
    #[track_caller]
    #[must_use]
    pub fn greater_equal(self, rhs: Self) -> Self {
        self.binary("greater_equal", Binary::GreaterEqual, rhs)
    }

    /// 1 where this is less, else 0; no gradient.
    #[track_caller]
    #[must_use]
    pub fn less(self, rhs: Self) -> Self {
        self.binary("less", Binary::Less, rhs)
    }

    /// 1 where this is less or equal, else 0; no gradient.
    #[track_caller]
    #[must_use]
    pub fn less_equal(self, rhs: Self) -> Self {
        self.binary("less_equal", Binary::LessEqual, rhs)
    }

    /// 1 where both are equal, else 0; no gradient.
    #[track_caller]
    #[must_use]
    pub fn equal(self, rhs: Self) -> Self {
        self.binary("equal", Binary::Equal, rhs)
    }

    /// `yes` where this is not 0, else `no`, with broadcasting of all three: PyTorch's `where`. Comparisons make conditions; a NaN is
    /// not 0.
    ///
    /// What is not taken has no part in the value, even where it is infinite or NaN, and gets a gradient of 0. A function that it was
    /// computed by multiplies that 0 by its derivative, which gives NaN where the derivative is infinite, as in PyTorch: `select` the
    /// function's operand too.
    #[track_caller]
    #[must_use]
    pub fn select(self, yes: Self, no: Self) -> Self {
        self.ternary("select", Ternary::Select, [yes, no])
    }

    /// min(max(x, low), high) of each element. The gradient flows where low < x < high, not at a
    /// bound, as in PyTorch. Infinite bounds bound nothing; where low is
    /// above high, all elements are high, as in PyTorch.
    #[track_caller]
    #[must_use]
    pub fn clamp(self, low: f32, high: f32) -> Self {
        let bounds = [low, high].map(|bound| self.graph.constant(bound, here()));
        self.ternary("clamp", Ternary::Clamp, bounds)
    }

    /// Ids or lengths as numbers, exact up to 2²⁴.
    #[track_caller]
    #[must_use]
    pub fn to_f32(self) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse("to_f32", &[(self, DType::U32)], at) {
            return poisoned;
        }
        self.graph.push(Op::ToF32 { below: None }, &[self], self.shape(), DType::F32, at)
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
