//! Activations: the functions that stand between the layers of a network.
//!
//! Each is one pointwise function, or composed of them where it is recorded; the fuser makes one pass or a product's epilogue of
//! either.

use crate::ir::op::{Binary, Unary};
use crate::record::tensor::Tensor;

impl Tensor<'_> {
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

    /// x·tanh(softplus(x)) (Misra 2019).
    #[track_caller]
    #[must_use]
    pub fn mish(self) -> Self {
        self.unary("mish", Unary::Mish)
    }

    /// ln(1 + eˣ) for every x, with its small values left of 0; PyTorch's, with `beta` 1 (Dugas et al. 2001).
    #[track_caller]
    #[must_use]
    pub fn softplus(self) -> Self {
        self.unary("softplus", Unary::Softplus)
    }

    /// x where it is above 0, else slope·x, for each element; its gradient at 0 is the slope (Maas et al. 2013).
    #[track_caller]
    #[must_use]
    pub fn leaky_relu(self, slope: f32) -> Self {
        self.with_scalar("leaky_relu", Binary::LeakyRelu, slope)
    }

    /// x where it is above 0, else alpha·(eˣ − 1), for each element (Clevert et al. 2015).
    #[track_caller]
    #[must_use]
    pub fn elu(self, alpha: f32) -> Self {
        self.with_scalar("elu", Binary::Elu, alpha)
    }

    /// λ·elu(x, α) with the λ and α that keep mean 0 and variance 1 from layer to layer (Klambauer et al. 2017).
    #[track_caller]
    #[must_use]
    pub fn selu(self) -> Self {
        self.with_scalar("selu", Binary::Elu, 1.673_263_2).with_scalar("selu", Binary::Mul, 1.050_701)
    }

    /// x·min(max(x + 3, 0), 6)/6; its gradient is 0 at −3 and 1 at 3 (Howard et al. 2019).
    #[track_caller]
    #[must_use]
    pub fn hard_swish(self) -> Self {
        self.unary("hard_swish", Unary::HardSwish)
    }

    /// silu(self)·rhs with broadcasting, the gated unit of LLaMA's feed-forward layers, where both are products of one operand
    /// (Shazeer 2020). Composed of the two, which the fuser makes one pass or a product's epilogue.
    #[track_caller]
    #[must_use]
    pub fn swiglu(self, rhs: Self) -> Self {
        self.unary("swiglu", Unary::Silu).binary("swiglu", Binary::Mul, rhs)
    }
}
