//! The affine layer, with or without its bias.
//!
//! The weight is stored [out, in] as PyTorch stores it: checkpoints cross over without a transpose, and the matrix product
//! reads either order equally well.

use seqloom_graph::{Init, ParamId, Params, Tensor};

/// Affine map of the last axis.
///
/// Formula: y = x·Wᵀ + b; without a bias y = x·Wᵀ.
///
/// Shapes: x [.., in] → y [.., out]; parameters `weight` [out, in] and, if there is one, `bias` \[out\], both uniform in ±1/√in
/// initially.
///
/// Errors: an operand whose last axis is not `in` poisons the result.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear {
    /// Registers the layer's parameters as `name.weight` and `name.bias`.
    pub fn new(params: &mut Params, name: &str, input: usize, output: usize) -> Self {
        let start = Init::Uniform(1.0 / (input.max(1) as f32).sqrt());
        Self::with(params, name, input, output, start.clone(), Some(start))
    }

    /// The linear map alone, PyTorch's `bias=False`: registers only `name.weight`.
    pub fn without_bias(params: &mut Params, name: &str, input: usize, output: usize) -> Self {
        let start = Init::Uniform(1.0 / (input.max(1) as f32).sqrt());
        Self::with(params, name, input, output, start, None)
    }

    /// As [`Self::new`], with other initial values of weight and bias; with `None`, without a bias.
    pub fn with(
        params: &mut Params,
        name: &str,
        input: usize,
        output: usize,
        weight: Init,
        bias: Option<Init>,
    ) -> Self {
        params.scope(name, |params| Self {
            weight: params.add("weight", &[output, input], weight),
            bias: bias.map(|bias| params.add("bias", &[output], bias)),
        })
    }

    /// Records the layer: x [.., in] → [.., out].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let g = x.graph();
        let y = x.matmul_t(g.param(self.weight));
        self.bias.map_or(y, |bias| y + g.param(bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    #[test]
    fn shapes_follow_the_last_axis_and_names_follow_pytorch() {
        let mut params = Params::seeded(1);
        let layer = Linear::new(&mut params, "head", 3, 5);
        let names: Vec<_> = params.iter().map(|p| (p.name.clone(), p.shape.to_vec())).collect();
        assert_eq!(names, [("head.weight".to_owned(), vec![5, 3]), ("head.bias".to_owned(), vec![5])]);
        let g = Graph::inference(&params);
        assert_eq!(layer.forward(g.input("x", &[2, 4, 3], DType::F32)).shape()[..], [2, 4, 5]);
        g.check().unwrap();
        let _ = layer.forward(g.input("y", &[2, 4], DType::F32));
        assert!(g.check().unwrap_err().to_string().contains("linear.rs"), "the error names this file");
    }

    #[test]
    fn without_a_bias_there_is_only_a_weight() {
        let mut params = Params::seeded(1);
        let layer = Linear::without_bias(&mut params, "head", 3, 5);
        let names: Vec<_> = params.iter().map(|p| (p.name.clone(), p.shape.to_vec())).collect();
        assert_eq!(names, [("head.weight".to_owned(), vec![5, 3])]);
        let g = Graph::inference(&params);
        assert_eq!(layer.forward(g.input("x", &[2, 3], DType::F32)).shape()[..], [2, 5]);
        g.check().unwrap();
    }
}
