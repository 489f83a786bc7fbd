//! The affine layer.
//!
//! The weight is stored [out, in] as PyTorch stores it: checkpoints cross over without a transpose, and the matrix product
//! reads either order equally well.

use seqloom_graph::{Init, ParamId, Params, Tensor};

/// Affine map of the last axis.
///
/// Formula: y = x·Wᵀ + b.
///
/// Shapes: x [.., in] → y [.., out]; parameters `weight` [out, in] and `bias` \[out\], both uniform in ±1/√in
/// initially.
///
/// Errors: an operand whose last axis is not `in` poisons the result.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    weight: ParamId,
    bias: ParamId,
}

impl Linear {
    /// Registers the layer's parameters as `name.weight` and `name.bias`.
    pub fn new(params: &mut Params, name: &str, input: usize, output: usize) -> Self {
        let start = Init::Uniform(1.0 / (input.max(1) as f32).sqrt());
        Self::with(params, name, input, output, [start.clone(), start])
    }

    /// As [`Self::new`], with other initial values of weight and bias.
    pub fn with(
        params: &mut Params,
        name: &str,
        input: usize,
        output: usize,
        [weight, bias]: [Init; 2],
    ) -> Self {
        params.scope(name, |params| Self {
            weight: params.add("weight", &[output, input], weight),
            bias: params.add("bias", &[output], bias),
        })
    }

    /// Records the layer: x [.., in] → [.., out].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let g = x.graph();
        x.matmul_t(g.param(self.weight)) + g.param(self.bias)
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
}
