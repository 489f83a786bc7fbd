//! The feed-forward half of a Transformer's block: two affine maps with a function between them, applied to each step.

use seqloom_graph::{Init, Params, Tensor};

use crate::layers::dropout::Dropout;
use crate::layers::linear::Linear;

/// The function between the two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeedForwardActivation {
    /// max(x, 0) (Vaswani et al. 2017).
    Relu,
    /// x·Φ(x), exact (Hendrycks & Gimpel 2016); BERT's.
    Gelu,
    /// Its approximation by tanh, [`Tensor::gelu_tanh`]; GPT-2's.
    GeluTanh,
    /// x·σ(x).
    Silu,
    /// silu(x·Wᵀ + b)·(x·Uᵀ + c): a gate beside the first map, with as many channels (Shazeer 2020).
    SwiGlu,
}

impl FeedForwardActivation {
    /// Records only the function; for [`Self::SwiGlu`] that of the gated half.
    #[track_caller]
    pub(crate) fn apply(self, x: Tensor<'_>) -> Tensor<'_> {
        match self {
            Self::Relu => x.relu(),
            Self::Gelu => x.gelu(),
            Self::GeluTanh => x.gelu_tanh(),
            Self::Silu | Self::SwiGlu => x.silu(),
        }
    }
}

/// Two affine maps with a function between them.
///
/// Formula: y = W₂·dropout(f(W₁·x + b₁)) + b₂; with [`FeedForwardActivation::SwiGlu`] f(W₁·x + b₁)·(W₃·x + b₃) in the middle.
///
/// Shapes: x [.., C] → [.., C], F channels between.
///
/// Parameters, as PyTorch's Transformer layers have them, in the layer's own scope: `linear1.{weight,bias}` [F, C],
/// `linear2.{weight,bias}` [C, F], and `linear3.{weight,bias}` [F, C] if there is a gate.
#[derive(Clone, Copy, Debug)]
pub struct FeedForward {
    first: Linear,
    second: Linear,
    gate: Option<Linear>,
    activation: FeedForwardActivation,
    dropout: Dropout,
}

impl FeedForward {
    /// Registers the maps, with initial values of weights and biases for what enters and for what leaves; PyTorch's
    /// where `None`.
    pub fn new(
        params: &mut Params,
        channels: usize,
        between: usize,
        activation: FeedForwardActivation,
        dropout: f32,
        start: Option<[Init; 2]>,
    ) -> Self {
        let linear =
            |params: &mut Params, name: &str, input: usize, output: usize, start: Option<Init>| match start {
                None => Linear::new(params, name, input, output),
                Some(weight) => Linear::with(params, name, input, output, [weight, Init::Zeros]),
            };
        let (enter, leave) = start.map_or((None, None), |[enter, leave]| (Some(enter), Some(leave)));
        let gated = activation == FeedForwardActivation::SwiGlu;
        Self {
            first: linear(params, "linear1", channels, between, enter.clone()),
            second: linear(params, "linear2", between, channels, leave),
            gate: gated.then(|| linear(params, "linear3", channels, between, enter)),
            activation,
            dropout: Dropout::new(dropout),
        }
    }

    /// Records the layer: x [.., C] → [.., C].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let inner = self.first.forward(x);
        let inner = match self.gate {
            Some(gate) => inner.swiglu(gate.forward(x)),
            None => self.activation.apply(inner),
        };
        self.second.forward(self.dropout.forward(inner))
    }
}
