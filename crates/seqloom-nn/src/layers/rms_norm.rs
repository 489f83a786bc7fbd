//! Normalisation by the root mean square.

use seqloom_graph::{Init, ParamId, Params, Tensor};

/// Each position's channels, scaled to mean square 1, then by learned numbers (Zhang & Sennrich 2019).
///
/// Formula: y = x/√(mean x² + eps)·weight, with the mean over the last axis.
///
/// Shapes: x [.., C] → y [.., C]; parameter `weight` \[C\], 1 initially.
///
/// Errors: an operand whose last axis is not C, or an `eps` that is negative or not finite, poisons the result.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    weight: ParamId,
    eps: f32,
}

impl RmsNorm {
    /// Registers the layer's parameter as `name.weight`. PyTorch's default of `eps` is f32's machine epsilon, 1.19e-7; models
    /// take 1e-6 or 1e-5.
    pub fn new(params: &mut Params, name: &str, channels: usize, eps: f32) -> Self {
        params.scope(name, |params| Self { weight: params.add("weight", &[channels], Init::Ones), eps })
    }

    /// Records the layer: x [.., C] → [.., C].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        x.rms_norm(Some(x.graph().param(self.weight)), self.eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    #[test]
    fn names_follow_pytorch_and_mistakes_name_the_shapes() {
        let mut params = Params::seeded(1);
        let layer = RmsNorm::new(&mut params, "norm", 4, 1e-6);
        let names: Vec<_> = params.iter().map(|p| (p.name.clone(), p.shape.to_vec())).collect();
        assert_eq!(names, [("norm.weight".to_owned(), vec![4])]);
        let g = Graph::inference(&params);
        assert_eq!(layer.forward(g.input("x", &[2, 3, 4], DType::F32)).shape()[..], [2, 3, 4]);
        g.check().unwrap();
        let _ = layer.forward(g.input("y", &[7], DType::F32));
        let message = g.check().unwrap_err().to_string();
        assert!(message.contains("rms_norm") && message.contains("size of the last axis"), "{message}");
    }
}
