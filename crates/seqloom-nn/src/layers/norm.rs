//! The normalisation that a Transformer's block is configured with.

use seqloom_graph::{Params, Tensor};

use crate::layers::layer_norm::LayerNorm;
use crate::layers::rms_norm::RmsNorm;

/// Which normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NormKind {
    /// [`LayerNorm`].
    Layer,
    /// [`RmsNorm`].
    Rms,
}

/// A normalisation of the last axis: x [.., C] → [.., C].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Norm {
    /// To mean 0 and variance 1.
    Layer(LayerNorm),
    /// To a root mean square of 1.
    Rms(RmsNorm),
}

impl Norm {
    /// Registers the normalisation's parameters; `bias` tells whether a [`LayerNorm`] has one.
    pub fn new(
        params: &mut Params,
        name: &str,
        kind: NormKind,
        channels: usize,
        eps: f32,
        bias: bool,
    ) -> Self {
        match kind {
            NormKind::Layer if bias => Self::Layer(LayerNorm::new(params, name, channels, eps)),
            NormKind::Layer => Self::Layer(LayerNorm::without_bias(params, name, channels, eps)),
            NormKind::Rms => Self::Rms(RmsNorm::new(params, name, channels, eps)),
        }
    }

    /// Records the layer.
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        match self {
            Self::Layer(norm) => norm.forward(x),
            Self::Rms(norm) => norm.forward(x),
        }
    }
}
