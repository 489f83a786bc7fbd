//! The feed-forward half of a Transformer's block: two affine maps with a function between them, applied to each step. With a
//! gate there are three maps.

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
    /// A gate silu(W·x + b) times a second map of x (Shazeer 2020); Llama's.
    SwiGlu,
    /// A gate gelu(W·x + b), exact, times a second map of x (Shazeer 2020).
    GeGlu,
}

impl FeedForwardActivation {
    /// Whether it is a gate, with a third map beside it.
    #[must_use]
    pub fn is_gated(self) -> bool {
        matches!(self, Self::SwiGlu | Self::GeGlu)
    }

    /// Records only the function; of a gate that of the gated half.
    #[track_caller]
    pub(crate) fn apply(self, x: Tensor<'_>) -> Tensor<'_> {
        match self {
            Self::Relu => x.relu(),
            Self::Gelu | Self::GeGlu => x.gelu(),
            Self::GeluTanh => x.gelu_tanh(),
            Self::Silu | Self::SwiGlu => x.silu(),
        }
    }
}

/// Names of a [`FeedForward`]'s maps in a `state_dict`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeedForwardNames {
    /// `linear1` into the function and `linear2` out, as PyTorch's Transformer layers; `linear3` beside a gate.
    #[default]
    Torch,
    /// Those of Llama's `mlp`: `gate_proj` into the gate, `up_proj` beside it, and `down_proj` out. Without a gate, `up_proj`
    /// leads into the function.
    Llama,
}

/// Sizes of a [`FeedForward`].
#[derive(Clone, Debug, PartialEq)]
pub struct FeedForwardConfig {
    /// Channels of operand and result, C.
    pub channels: usize,
    /// Channels between the maps, F.
    pub between: usize,
    /// The function between the maps.
    pub activation: FeedForwardActivation,
    /// Probability of dropout between the maps while training.
    pub dropout: f32,
    /// Whether the maps have biases.
    pub bias: bool,
    /// What the maps are called.
    pub names: FeedForwardNames,
    /// Initial values of the weights for what enters and for what leaves, with biases of 0; where `None`, PyTorch's of weights and biases.
    pub init: Option<[Init; 2]>,
}

impl FeedForwardConfig {
    /// Maps with biases under PyTorch's names and with its initial values, without dropout.
    #[must_use]
    pub fn new(channels: usize, between: usize, activation: FeedForwardActivation) -> Self {
        let names = FeedForwardNames::Torch;
        Self { channels, between, activation, dropout: 0.0, bias: true, names, init: None }
    }

    /// Llama's: SwiGLU without biases, under Llama's names.
    #[must_use]
    pub fn llama(channels: usize, between: usize) -> Self {
        let names = FeedForwardNames::Llama;
        Self { bias: false, names, ..Self::new(channels, between, FeedForwardActivation::SwiGlu) }
    }
}

/// Two affine maps with a function between them.
///
/// Formula: y = W₂·dropout(f(W₁·x + b₁)) + b₂; with a gate y = W₂·dropout(f(W₁·x + b₁) ⊙ (W₃·x + b₃)) + b₂. Without biases they
/// are left out.
///
/// Shapes: x [.., C] → [.., C], F channels between.
///
/// Parameters, in the layer's own scope, under the names of [`FeedForwardNames`]:
///
/// | | shapes of `weight`, `bias` | `Torch` | `Llama`, with a gate | `Llama`, without |
/// |---|---|---|---|---|
/// | W₁, b₁ | [F, C], \[F\] | `linear1` | `gate_proj` | `up_proj` |
/// | W₃, b₃ | [F, C], \[F\] | `linear3` | `up_proj` | |
/// | W₂, b₂ | [C, F], \[C\] | `linear2` | `down_proj` | `down_proj` |
///
/// ```
/// # use seqloom_graph::{DType, Graph, Params};
/// # use seqloom_nn::{FeedForward, FeedForwardConfig};
/// let mut params = Params::seeded(1);
/// let layer = params.scope("mlp", |params| FeedForward::new(params, FeedForwardConfig::llama(4, 11)));
/// let names: Vec<_> = params.iter().map(|spec| spec.name.as_str()).collect();
/// assert_eq!(names, ["mlp.gate_proj.weight", "mlp.down_proj.weight", "mlp.up_proj.weight"]);
/// let g = Graph::inference(&params);
/// assert_eq!(layer.forward(g.input("x", &[2, 3, 4], DType::F32)).shape()[..], [2, 3, 4]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FeedForward {
    first: Linear,
    second: Linear,
    gate: Option<Linear>,
    activation: FeedForwardActivation,
    dropout: Dropout,
}

impl FeedForward {
    /// Registers the maps in the scope that `params` is in.
    pub fn new(params: &mut Params, config: FeedForwardConfig) -> Self {
        let FeedForwardConfig { channels, between, activation, dropout, bias, names, init } = config;
        let mut linear = |name: &str, input: usize, output: usize, weight: Option<Init>| match (weight, bias)
        {
            (Some(weight), _) => {
                Linear::with(params, name, input, output, weight, bias.then_some(Init::Zeros))
            }
            (None, true) => Linear::new(params, name, input, output),
            (None, false) => Linear::without_bias(params, name, input, output),
        };
        let (enter, leave) = init.map_or((None, None), |[enter, leave]| (Some(enter), Some(leave)));
        let gated = activation.is_gated();
        let [first, second, beside] = match names {
            FeedForwardNames::Torch => ["linear1", "linear2", "linear3"],
            FeedForwardNames::Llama if gated => ["gate_proj", "down_proj", "up_proj"],
            FeedForwardNames::Llama => ["up_proj", "down_proj", ""],
        };
        Self {
            first: linear(first, channels, between, enter.clone()),
            second: linear(second, between, channels, leave),
            gate: gated.then(|| linear(beside, channels, between, enter)),
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
            Some(beside) if self.activation == FeedForwardActivation::SwiGlu => {
                inner.swiglu(beside.forward(x))
            }
            Some(beside) => self.activation.apply(inner) * beside.forward(x),
            None => self.activation.apply(inner),
        };
        self.second.forward(self.dropout.forward(inner))
    }
}
