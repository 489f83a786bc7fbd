//! Layer normalisation.

use seqloom_graph::{Init, ParamId, Params, Tensor};

/// Each position's channels, moved and scaled to mean 0 and variance 1, then by learned numbers (Ba, Kiros & Hinton 2016).
///
/// Formula: y = (x − m)/√(v + eps)·weight + bias, with the mean m and the variance v = mean (x − m)² of the last axis.
///
/// Shapes: x [.., C] → y [.., C]; parameters `weight` \[C\], 1 initially, and, if there is one, `bias` \[C\], 0 initially.
///
/// Errors: an operand whose last axis is not C, or an `eps` that is negative or not finite, poisons the result.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    weight: Option<ParamId>,
    bias: Option<ParamId>,
    eps: f32,
}

impl LayerNorm {
    /// Registers the layer's parameters as `name.weight` and `name.bias`. PyTorch's default of `eps` is 1e-5.
    pub fn new(params: &mut Params, name: &str, channels: usize, eps: f32) -> Self {
        let layer = Self::without_bias(params, name, channels, eps);
        let bias = params.scope(name, |params| params.add("bias", &[channels], Init::Zeros));
        Self { bias: Some(bias), ..layer }
    }

    /// The layer that only scales, PyTorch's `bias=False`: registers only `name.weight`.
    pub fn without_bias(params: &mut Params, name: &str, channels: usize, eps: f32) -> Self {
        let weight = params.scope(name, |params| params.add("weight", &[channels], Init::Ones));
        Self { weight: Some(weight), bias: None, eps }
    }

    /// The layer without parameters, over any number of channels: PyTorch's `elementwise_affine=False`.
    #[must_use]
    pub fn plain(eps: f32) -> Self {
        Self { weight: None, bias: None, eps }
    }

    /// Records the layer: x [.., C] → [.., C].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let of = |id: ParamId| x.graph().param(id);
        x.layer_norm(self.weight.map(of), self.bias.map(of), self.eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    #[test]
    fn names_follow_pytorch_and_mistakes_name_the_shapes() {
        let mut params = Params::seeded(1);
        let layer = LayerNorm::new(&mut params, "norm", 4, 1e-5);
        let names: Vec<_> = params.iter().map(|p| (p.name.clone(), p.shape.to_vec())).collect();
        assert_eq!(names, [("norm.weight".to_owned(), vec![4]), ("norm.bias".to_owned(), vec![4])]);
        let g = Graph::inference(&params);
        let x = g.input("x", &[2, 3, 4], DType::F32);
        assert_eq!(layer.forward(x).shape()[..], [2, 3, 4]);
        assert_eq!(LayerNorm::plain(1e-5).forward(g.input("y", &[7], DType::F32)).shape()[..], [7]);
        g.check().unwrap();
        let _ = layer.forward(g.input("y", &[7], DType::F32));
        let message = g.check().unwrap_err().to_string();
        assert!(message.contains("layer_norm") && message.contains("size of the last axis"), "{message}");
    }

    #[test]
    fn an_impossible_eps_is_refused() {
        for eps in [-1.0, f32::NAN, f32::INFINITY] {
            let g = Graph::inference(&Params::seeded(1));
            let _ = LayerNorm::plain(eps).forward(g.input("x", &[3], DType::F32));
            let message = g.check().unwrap_err().to_string();
            assert!(message.contains("eps"), "{message}");
        }
    }
}
