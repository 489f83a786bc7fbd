//! Convolution along time, as a layer.
//!
//! The k steps that a result sees are laid side by side, so one matrix product does the whole convolution, forward and
//! backward, with existing operations. The cost is the copy of k·C channels per step. A kernel that reads windows in
//! place would pay off for wide kernels, but language models' are narrow.

use seqloom_graph::{Init, ParamId, Params, Tensor};

/// How many results a sequence of T steps has, and where it is padded with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Padding {
    /// No zeros: T − (k−1)·dilation results, the first of which sees the first steps.
    Valid,
    /// T results, each in the middle of what it sees; with an odd number of zeros the larger half is at the end, as in
    /// PyTorch.
    Same,
    /// T results, none of which sees a step after its own.
    Causal,
}

/// Sizes of a [`Conv1d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv1dConfig {
    /// Channels of the operand.
    pub input: usize,
    /// Channels of the result.
    pub output: usize,
    /// Steps that a result sees, k; at least 1 (0 is taken as 1).
    pub kernel: usize,
    /// Distance of those steps from each other; at least 1 (0 is taken as 1).
    pub dilation: usize,
    /// What is beyond the ends.
    pub padding: Padding,
}

impl Conv1dConfig {
    /// A config with these sizes, without dilation and padding.
    #[must_use]
    pub fn new(input: usize, output: usize, kernel: usize) -> Self {
        Self { input, output, kernel, dilation: 1, padding: Padding::Valid }
    }
}

/// Convolution along time with stride 1.
///
/// Formula: y\[b, t, o\] = bias\[o\] + Σ_j Σ_c weight[o, c, j]·x\[b, t + j·dilation − before, c\], where x is 0 beyond its ends and
/// `before` is 0, ⌊(k−1)·dilation/2⌋ or (k−1)·dilation by [`Padding`]. (A cross-correlation, as in PyTorch.)
///
/// Shapes: x [B, T, in] → [B, T', out], T' by [`Padding`]; parameters, as PyTorch's `nn.Conv1d`: `weight` [out, in, k]
/// and `bias` \[out\], both uniform in ±1/√(in·k) initially. PyTorch has channels before time in operand and result;
/// here time comes first.
///
/// Errors: an operand of other channels, or without padding of fewer than (k−1)·dilation + 1 steps, poisons the result.
///
/// ```
/// # use seqloom_graph::{DType, Graph, Params};
/// # use seqloom_nn::{Conv1d, Conv1dConfig, Padding};
/// let mut params = Params::seeded(1);
/// let config = Conv1dConfig { input: 3, output: 4, kernel: 5, dilation: 2, padding: Padding::Causal };
/// let layer = Conv1d::new(&mut params, "conv", config);
/// let g = Graph::inference(&params);
/// assert_eq!(layer.forward(g.input("x", &[2, 6, 3], DType::F32)).shape()[..], [2, 6, 4]);
/// assert_eq!(layer.reach(), 8);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Conv1d {
    weight: ParamId,
    bias: ParamId,
    config: Conv1dConfig,
}

impl Conv1d {
    /// Registers the layer's parameters as `name.weight` and `name.bias`.
    pub fn new(params: &mut Params, name: &str, config: Conv1dConfig) -> Self {
        let config =
            Conv1dConfig { kernel: config.kernel.max(1), dilation: config.dilation.max(1), ..config };
        let Conv1dConfig { input, output, kernel, .. } = config;
        let start = Init::Uniform(1.0 / (input.saturating_mul(kernel).max(1) as f32).sqrt());
        params.scope(name, |params| Self {
            weight: params.add("weight", &[output, input, kernel], start.clone()),
            bias: params.add("bias", &[output], start),
            config,
        })
    }

    /// Distance of the farthest two steps that a result sees, (k−1)·dilation.
    #[must_use]
    pub fn reach(&self) -> usize {
        (self.config.kernel - 1).saturating_mul(self.config.dilation)
    }

    /// Records the layer: x [B, T, in] → [B, T', out].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let g = x.graph();
        let Conv1dConfig { dilation, padding, .. } = self.config;
        conv1d(x, g.param(self.weight), dilation, padding) + g.param(self.bias)
    }
}

/// Records a convolution along time by [`Conv1d`]'s formula, without its bias: x [B, T, in] and weight [out, in, k] →
/// [B, T', out].
#[track_caller]
#[must_use]
pub fn conv1d<'g>(x: Tensor<'g>, weight: Tensor<'g>, dilation: usize, padding: Padding) -> Tensor<'g> {
    let (&[_, time, channels], &[output, input, kernel]) = (&x.shape()[..], &weight.shape()[..]) else {
        return x.refused("conv1d", &format!("x {:?}, weight {:?}", x.shape(), weight.shape()));
    };
    if channels != input {
        return x.refused("conv1d", &format!("{channels} channels for a weight of {input}"));
    }
    let reach = kernel.saturating_sub(1).saturating_mul(dilation);
    let before = match padding {
        Padding::Valid => 0,
        Padding::Same => reach / 2,
        Padding::Causal => reach,
    };
    let padded = if padding == Padding::Valid || reach == 0 { x } else { x.pad(1, before, reach - before) };
    let results = padded.dim(1).saturating_sub(reach);
    if results == 0 {
        return x.refused("conv1d", &format!("{time} steps are fewer than the {} it sees", reach + 1));
    }
    // Part j holds what weight[.., .., j] is for, of all results.
    let parts: Vec<_> = (0..kernel).map(|j| padded.slice(1, j * dilation, results)).collect();
    let windows = parts.split_first().map_or(padded, |(first, rest)| Tensor::concat(*first, rest, 2));
    windows.matmul_t(weight.transpose(1, 2).reshape(&[output, kernel * input]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    fn shape(config: Conv1dConfig, x: &[usize]) -> Result<Vec<usize>, String> {
        let mut params = Params::seeded(1);
        let layer = Conv1d::new(&mut params, "conv", config);
        let g = Graph::inference(&params);
        let y = layer.forward(g.input("x", x, DType::F32));
        g.check().map(|()| y.shape().to_vec()).map_err(|e| e.to_string())
    }

    const CONFIG: Conv1dConfig =
        Conv1dConfig { input: 3, output: 5, kernel: 4, dilation: 2, padding: Padding::Valid };

    #[test]
    fn results_follow_the_padding() {
        assert_eq!(shape(CONFIG, &[2, 7, 3]), Ok(vec![2, 1, 5]));
        for padding in [Padding::Same, Padding::Causal] {
            assert_eq!(shape(Conv1dConfig { padding, ..CONFIG }, &[2, 3, 3]), Ok(vec![2, 3, 5]));
        }
        let least = Conv1dConfig { kernel: 0, dilation: 0, padding: Padding::Same, ..CONFIG };
        assert_eq!(shape(least, &[2, 3, 3]), Ok(vec![2, 3, 5]));
    }

    #[test]
    fn names_and_shapes_are_those_of_pytorch() {
        let mut params = Params::seeded(1);
        let _ = Conv1d::new(&mut params, "conv", CONFIG);
        let names: Vec<_> = params.iter().map(|p| (p.name.clone(), p.shape.to_vec())).collect();
        assert_eq!(names, [("conv.weight".to_owned(), vec![5, 3, 4]), ("conv.bias".to_owned(), vec![5])]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let short = shape(CONFIG, &[2, 6, 3]).unwrap_err();
        assert!(short.contains("6 steps are fewer than the 7 it sees"), "{short}");
        let wide = shape(CONFIG, &[2, 9, 4]).unwrap_err();
        assert!(wide.contains("4 channels for a weight of 3"), "{wide}");
    }
}
