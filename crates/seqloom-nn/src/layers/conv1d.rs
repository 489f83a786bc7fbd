//! Convolution along time, as a layer.
//!
//! The k steps that a result sees are laid side by side, so one matrix product does the whole convolution, forward and
//! backward, with existing operations. The cost is the copy of k·C channels per step, written once. Groups are a batch of such
//! products. A kernel that reads windows in place would pay off for wide kernels, but language models' are narrow.
//!
//! A depthwise convolution (groups = C) has sums of k terms only, too short for a product. Up to 8 terms it is a sum of slices: k
//! kernels, each of them cheap. Longer ones are a reduction over the windows where they lie: one kernel for any k, but its
//! gradient writes k·C channels per step (`docs/rejected.md` has the figures).

use seqloom_graph::{Init, ParamId, Params, Tensor};

/// Terms up to which a depthwise convolution is a sum of slices.
const FEW: usize = 8;

/// What lies beyond the ends of a sequence: how many zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Padding {
    /// No zeros: the first result sees the first steps.
    Valid,
    /// T results, each in the middle of what it sees; with an odd number of zeros the larger half is at the end, as in
    /// PyTorch. A stride is refused, as in PyTorch: libraries differ in what it would mean.
    Same,
    /// (k−1)·dilation zeros in front: result i sees no step after i·stride. With stride 1 there are T results; with another,
    /// ⌈T/stride⌉, which are every stride-th of those, from the first.
    Causal,
    /// As many zeros as are named. PyTorch's `padding=p` has p on both sides.
    Explicit {
        /// Zeros in front of the first step.
        before: usize,
        /// Zeros behind the last step.
        after: usize,
    },
}

/// How a convolution moves over its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv1dOptions {
    /// Distance of the steps that a result sees from each other; at least 1.
    pub dilation: usize,
    /// Distance of a result's steps from those of the next result; at least 1.
    pub stride: usize,
    /// Parts that channels are cut into; results of a part see only the operand's channels of that part. At least 1, and a
    /// divisor of both numbers of channels. As many as channels make a depthwise convolution.
    pub groups: usize,
    /// Zeros beyond the ends.
    pub padding: Padding,
}

impl Default for Conv1dOptions {
    /// Dilation, stride and groups of 1, without padding.
    fn default() -> Self {
        Self { dilation: 1, stride: 1, groups: 1, padding: Padding::Valid }
    }
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
    /// As [`Conv1dOptions::dilation`]; 0 is taken as 1.
    pub dilation: usize,
    /// As [`Conv1dOptions::stride`].
    pub stride: usize,
    /// As [`Conv1dOptions::groups`].
    pub groups: usize,
    /// What is beyond the ends.
    pub padding: Padding,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv1dConfig {
    /// A config with these sizes and a bias, without dilation, stride, groups and padding.
    #[must_use]
    pub fn new(input: usize, output: usize, kernel: usize) -> Self {
        let Conv1dOptions { dilation, stride, groups, padding } = Conv1dOptions::default();
        Self { input, output, kernel, dilation, stride, groups, padding, bias: true }
    }
}

/// Convolution along time (PyTorch's `nn.Conv1d`).
///
/// Formula: y\[b, t, o\] = bias\[o\] + Σ_j Σ_c weight[o, c, j]·x\[b, t·stride + j·dilation − before, first + c\], where x is 0
/// beyond its ends, c counts the in/groups channels of o's group, and `first` is the group's first. (A cross-correlation, as in
/// PyTorch.)
///
/// Shapes: x [B, T, in] → [B, T', out] with T' = ⌊(T + before + after − dilation·(k−1) − 1)/stride⌋ + 1. `before` and `after`
/// follow from [`Padding`]: 0 and 0; ⌊r/2⌋ and ⌈r/2⌉ of r = dilation·(k−1); r and 0; or those that are named. Parameters, as
/// PyTorch's: `weight` [out, in/groups, k] and, if there is one, `bias` \[out\], both uniform in ±1/√(in/groups·k) initially.
/// PyTorch has channels before time in operand and result; here time comes first.
///
/// Errors: these poison the result: an operand of other channels; one that is, with its zeros, shorter than the
/// dilation·(k−1) + 1 steps that a result sees; a stride of 0; groups of 0, or that do not divide both numbers of channels;
/// [`Padding::Same`] with a stride above 1.
///
/// ```
/// # use seqloom_graph::{DType, Graph, Params};
/// # use seqloom_nn::{Conv1d, Conv1dConfig, Padding};
/// let mut params = Params::seeded(1);
/// let causal = Conv1dConfig { dilation: 2, padding: Padding::Causal, ..Conv1dConfig::new(3, 4, 5) };
/// let causal = Conv1d::new(&mut params, "causal", causal);
/// let halves = Padding::Explicit { before: 1, after: 1 };
/// let halves = Conv1dConfig { stride: 2, groups: 4, padding: halves, bias: false, ..Conv1dConfig::new(4, 8, 3) };
/// let halves = Conv1d::new(&mut params, "halves", halves);
/// let g = Graph::inference(&params);
/// let y = causal.forward(g.input("x", &[2, 6, 3], DType::F32));
/// assert_eq!(y.shape()[..], [2, 6, 4]);
/// assert_eq!(halves.forward(y).shape()[..], [2, 3, 8]);
/// assert_eq!(causal.reach(), 8);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Conv1d {
    weight: ParamId,
    bias: Option<ParamId>,
    config: Conv1dConfig,
}

impl Conv1d {
    /// Registers the layer's parameters as `name.weight` and, if it has one, `name.bias`.
    pub fn new(params: &mut Params, name: &str, config: Conv1dConfig) -> Self {
        let config =
            Conv1dConfig { kernel: config.kernel.max(1), dilation: config.dilation.max(1), ..config };
        let Conv1dConfig { input, output, kernel, groups, bias, .. } = config;
        // Groups that do not divide the channels are refused where the layer is recorded.
        let seen = input / groups.max(1);
        let start = Init::Uniform(1.0 / (seen.saturating_mul(kernel).max(1) as f32).sqrt());
        params.scope(name, |params| Self {
            weight: params.add("weight", &[output, seen, kernel], start.clone()),
            bias: bias.then(|| params.add("bias", &[output], start)),
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
        let Conv1dConfig { dilation, stride, groups, padding, .. } = self.config;
        let options = Conv1dOptions { dilation, stride, groups, padding };
        let y = conv1d(x, g.param(self.weight), options);
        self.bias.map_or(y, |bias| y + g.param(bias))
    }
}

/// Records a convolution along time by [`Conv1d`]'s formula, without its bias: x [B, T, in] and weight [out, in/groups, k] →
/// [B, T', out]. A dilation of 0 poisons the result too.
#[track_caller]
#[must_use]
pub fn conv1d<'g>(x: Tensor<'g>, weight: Tensor<'g>, options: Conv1dOptions) -> Tensor<'g> {
    let Conv1dOptions { dilation, stride, groups, padding } = options;
    let name = "conv1d";
    let (&[batch, time, channels], &[output, seen, kernel]) = (&x.shape()[..], &weight.shape()[..]) else {
        return x.refused(name, &format!("x {:?}, weight {:?}", x.shape(), weight.shape()));
    };
    if kernel == 0 || dilation == 0 || stride == 0 {
        let detail =
            format!("a kernel of {kernel}, dilation of {dilation}, stride of {stride}; at least 1 each");
        return x.refused(name, &detail);
    }
    if groups == 0 || !channels.is_multiple_of(groups) || !output.is_multiple_of(groups) {
        let detail = format!("{groups} groups do not divide {channels} channels and {output} of the result");
        return x.refused(name, &detail);
    }
    if channels / groups != seen {
        let detail = format!("{channels} channels in {groups} groups for a weight of {seen}");
        return x.refused(name, &detail);
    }
    if padding == Padding::Same && stride > 1 {
        let detail = format!("a stride of {stride} with Padding::Same; name the zeros by Padding::Explicit");
        return x.refused(name, &detail);
    }
    let reach = (kernel - 1).saturating_mul(dilation);
    let (before, after) = match padding {
        Padding::Valid => (0, 0),
        Padding::Same => (reach / 2, reach - reach / 2),
        Padding::Causal => (reach, 0),
        Padding::Explicit { before, after } => (before, after),
    };
    let padded = if before == 0 && after == 0 { x } else { x.pad(1, before, after) };
    let firsts = padded.dim(1).saturating_sub(reach);
    if padded.is_poisoned() {
        return padded;
    }
    if firsts == 0 {
        let zeros = before + after;
        let detail = format!("{time} steps and {zeros} zeros are fewer than the {} it sees", reach + 1);
        return x.refused(name, &detail);
    }
    if seen == 1 && kernel <= FEW {
        return depthwise(padded, weight, options);
    }
    // [B, T', groups, in/groups, k]: all that each result sees.
    let grouped = padded.reshape(&[batch, padded.dim(1), groups, seen]);
    let windows = grouped.windows(1, kernel, stride, dilation);
    let (results, each) = (windows.dim(1), output / groups);
    if seen == 1 {
        let sums = (windows * weight.reshape(&[groups, each, kernel])).sum(-1);
        return sums.reshape(&[batch, results, output]);
    }
    let terms = seen * kernel;
    if groups == 1 {
        return windows.reshape(&[batch, results, terms]).matmul_t(weight.reshape(&[output, terms]));
    }
    let windows = windows.permute(&[2, 0, 1, 3, 4]).reshape(&[groups, batch * results, terms]);
    let products = windows.matmul_t(weight.reshape(&[groups, each, terms]));
    products.transpose(0, 1).reshape(&[batch, results, output])
}

/// A depthwise convolution as a sum of slices: x [B, T, C], zeros included, and weight [C·m, 1, k] → [B, T', C·m].
#[track_caller]
fn depthwise<'g>(x: Tensor<'g>, weight: Tensor<'g>, options: Conv1dOptions) -> Tensor<'g> {
    let Conv1dOptions { dilation, stride, groups: channels, .. } = options;
    let [batch, time, output, kernel] = [x.dim(0), x.dim(1), weight.dim(0), weight.dim(2)];
    let results = (time - (kernel - 1) * dilation).div_ceil(stride);
    let each = output / channels;
    let weight = weight.reshape(&[channels, each, kernel]).transpose(0, 2).transpose(1, 2);
    // [B, T, C] beside [k, C]; of several results for a channel [B, T, C, 1] beside [k, C, m].
    let (x, weight) = match each {
        1 => (x, weight.reshape(&[kernel, channels])),
        _ => (x.reshape(&[batch, time, channels, 1]), weight),
    };
    let step = isize::try_from(stride).unwrap_or(isize::MAX);
    let term = |j| x.slice_step(1, j * dilation, results, step) * weight.slice(0, j, 1);
    (1..kernel).fold(term(0), |sum, j| sum + term(j)).reshape(&[batch, results, output])
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

    fn config() -> Conv1dConfig {
        Conv1dConfig { dilation: 2, ..Conv1dConfig::new(3, 5, 4) }
    }

    #[test]
    fn results_follow_the_padding() {
        assert_eq!(shape(config(), &[2, 7, 3]), Ok(vec![2, 1, 5]));
        for padding in [Padding::Same, Padding::Causal] {
            assert_eq!(shape(Conv1dConfig { padding, ..config() }, &[2, 3, 3]), Ok(vec![2, 3, 5]));
        }
        let least = Conv1dConfig { kernel: 0, dilation: 0, padding: Padding::Same, ..config() };
        assert_eq!(shape(least, &[2, 3, 3]), Ok(vec![2, 3, 5]));
    }

    #[test]
    fn lengths_are_those_of_the_formula() {
        for time in 1..12 {
            for (before, after) in [(0, 0), (2, 0), (1, 3)] {
                for (stride, dilation, kernel) in [(1, 1, 1), (2, 1, 3), (3, 2, 3), (5, 1, 2), (40, 1, 2)] {
                    let padding = Padding::Explicit { before, after };
                    let config =
                        Conv1dConfig { stride, dilation, padding, ..Conv1dConfig::new(1, 2, kernel) };
                    let over = (time + before + after) as isize - (dilation * (kernel - 1)) as isize - 1;
                    let told = shape(config, &[2, time, 1]);
                    match usize::try_from(over) {
                        Ok(over) => assert_eq!(told, Ok(vec![2, over / stride + 1, 2])),
                        Err(_) => assert!(told.unwrap_err().contains("are fewer than")),
                    }
                }
                let causal = Conv1dConfig { stride: 3, padding: Padding::Causal, ..config() };
                assert_eq!(shape(causal, &[2, time, 3]), Ok(vec![2, time.div_ceil(3), 5]));
            }
        }
    }

    #[test]
    fn names_and_shapes_are_those_of_pytorch() {
        let named = |config| {
            let mut params = Params::seeded(1);
            let _ = Conv1d::new(&mut params, "conv", config);
            params.iter().map(|p| (p.name.clone(), p.shape.to_vec())).collect::<Vec<_>>()
        };
        let [weight, bias] = ["conv.weight", "conv.bias"].map(str::to_owned);
        assert_eq!(named(config()), [(weight.clone(), vec![5, 3, 4]), (bias, vec![5])]);
        let grouped = Conv1dConfig { groups: 2, bias: false, ..Conv1dConfig::new(6, 4, 3) };
        assert_eq!(named(grouped), [(weight, vec![4, 3, 3])]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let refused = |config: Conv1dConfig, x: &[usize], with: &str| {
            let error = shape(config, x).unwrap_err();
            assert!(error.contains("conv1d") && error.contains(with), "{error}");
        };
        refused(config(), &[2, 6, 3], "6 steps and 0 zeros are fewer than the 7 it sees");
        refused(config(), &[2, 9, 4], "4 channels in 1 groups for a weight of 3");
        refused(config(), &[9, 3], "x [9, 3]");
        refused(Conv1dConfig { stride: 0, ..config() }, &[2, 9, 3], "stride of 0");
        refused(Conv1dConfig { groups: 0, ..config() }, &[2, 9, 3], "0 groups do not divide");
        refused(
            Conv1dConfig { groups: 3, ..config() },
            &[2, 9, 3],
            "3 groups do not divide 3 channels and 5",
        );
        refused(
            Conv1dConfig { groups: 5, ..config() },
            &[2, 9, 3],
            "5 groups do not divide 3 channels and 5",
        );
        let same = Conv1dConfig { stride: 2, padding: Padding::Same, ..config() };
        refused(same, &[2, 9, 3], "a stride of 2 with Padding::Same");
        let huge = Padding::Explicit { before: usize::MAX, after: 1 };
        let error = shape(Conv1dConfig { padding: huge, ..config() }, &[2, 9, 3]).unwrap_err();
        assert!(error.contains("pad") && error.contains("2^32-1 elements"), "{error}");
    }
}
