//! A stack of Transformer blocks: an encoder, or a decoder that attends to an encoder's outputs.

use seqloom_graph::{AttentionOptions, Params, Tensor};

use crate::attention::multi_head::KeyValues;
use crate::attention::positions::Place;
use crate::attention::transformer_block::{BlockConfig, CrossAttended, TransformerBlock};
use crate::layers::norm::Norm;
use crate::state::StateShape;

/// A stack of L blocks with an optional last normalisation: PyTorch's `nn.TransformerEncoder` or
/// `nn.TransformerDecoder`. Under a causal mask the encoder is a decoder-only model.
///
/// Shapes: x [B, T, C] → [B, T, C].
///
/// Parameters: `layers.{l}.*` as [`TransformerBlock`] names them, `norm.*` if there is one.
#[derive(Clone, Debug)]
pub struct TransformerStack {
    blocks: Vec<TransformerBlock>,
    norm: Option<Norm>,
}

/// What the blocks of a decoder attend to.
#[derive(Clone, Copy, Debug)]
pub struct StackMemory<'a, 'g> {
    /// The encoder's outputs, projected by each block ([`TransformerStack::memory`]).
    pub blocks: &'a [KeyValues<'g>],
    /// Which of them each query sees.
    pub mask: AttentionOptions<'g>,
}

impl TransformerStack {
    /// Registers `layers` blocks under `name`, for sequences of up to `max_positions` steps, and a last normalisation if `normed`.
    pub fn encoder(
        params: &mut Params,
        name: &str,
        config: &BlockConfig,
        layers: usize,
        max_positions: usize,
        normed: bool,
    ) -> Self {
        Self::new(params, name, config, layers, max_positions, normed, false)
    }

    /// As [`Self::encoder`], with blocks that also attend to a memory.
    pub fn decoder(
        params: &mut Params,
        name: &str,
        config: &BlockConfig,
        layers: usize,
        max_positions: usize,
        normed: bool,
    ) -> Self {
        Self::new(params, name, config, layers, max_positions, normed, true)
    }

    fn new(
        params: &mut Params,
        name: &str,
        config: &BlockConfig,
        layers: usize,
        max_positions: usize,
        normed: bool,
        cross: bool,
    ) -> Self {
        params.scope(name, |params| {
            let mut block = |l| {
                TransformerBlock::new(params, &format!("layers.{l}"), config, layers, max_positions, cross)
            };
            let blocks = (0..layers).map(&mut block).collect();
            let norm = normed.then(|| {
                Norm::new(params, "norm", config.norm, config.channels, config.norm_eps, config.bias)
            });
            Self { blocks, norm }
        })
    }

    /// Records each block's projection of an encoder's outputs [B, S, C], once for all steps of a decoder. None for an
    /// encoder.
    #[track_caller]
    #[must_use]
    pub fn memory<'g>(&self, encoded: Tensor<'g>) -> Vec<KeyValues<'g>> {
        self.blocks.iter().filter_map(|block| block.memory(encoded)).collect()
    }

    /// Records the stack over whole sequences: x [B, T, C], who sees whom, and for a decoder its memory → [B, T, C].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(
        &self,
        x: Tensor<'g>,
        mask: AttentionOptions<'g>,
        memory: Option<StackMemory<'_, 'g>>,
    ) -> Tensor<'g> {
        self.forward_with(x, Place::From(0), mask, memory, |_, own| own)
    }

    /// As [`Self::forward`], for steps at these positions, which in block l attend to what `remember(l, ..)` returns
    /// for their keys and values.
    #[track_caller]
    #[must_use]
    pub fn forward_with<'g>(
        &self,
        x: Tensor<'g>,
        place: Place<'g>,
        mask: AttentionOptions<'g>,
        memory: Option<StackMemory<'_, 'g>>,
        remember: impl FnMut(usize, KeyValues<'g>) -> KeyValues<'g>,
    ) -> Tensor<'g> {
        self.forward_watched(x, place, mask, memory, remember, None)
    }

    /// As [`Self::forward_with`]; `watch` receives the weights of the last block's attention to the memory, the mean
    /// over heads [B, T, S].
    #[track_caller]
    pub(crate) fn forward_watched<'g>(
        &self,
        x: Tensor<'g>,
        place: Place<'g>,
        mask: AttentionOptions<'g>,
        memory: Option<StackMemory<'_, 'g>>,
        mut remember: impl FnMut(usize, KeyValues<'g>) -> KeyValues<'g>,
        mut watch: Option<&mut dyn FnMut(Tensor<'g>)>,
    ) -> Tensor<'g> {
        let mut x = x;
        for (l, block) in self.blocks.iter().enumerate() {
            let cross =
                memory.and_then(|m| m.blocks.get(l).map(|&memory| CrossAttended { memory, mask: m.mask }));
            let watch = if l + 1 == self.blocks.len() { watch.take() } else { None };
            x = block.forward_watched(x, place, mask, cross, |own| remember(l, own), watch);
        }
        self.norm.map_or(x, |norm| norm.forward(x))
    }

    /// Shapes of the blocks' caches for `rows` sequences of up to `max_positions` steps: keys and values of each, [B,
    /// max_positions, Hkv, D].
    #[must_use]
    pub fn cache_shapes(&self, rows: usize, max_positions: usize) -> Vec<StateShape> {
        let shape = |block: &TransformerBlock| {
            StateShape::cache(&block.self_attention().cache_shape(rows, max_positions))
        };
        self.blocks.iter().flat_map(|block| [shape(block), shape(block)]).collect()
    }

    /// Its blocks.
    #[must_use]
    pub fn blocks(&self) -> &[TransformerBlock] {
        &self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::transformer_dropout::TransformerDropout;
    use seqloom_graph::{DType, Graph};

    fn error(decoder: bool, remembers: usize, channels: usize) -> String {
        let mut params = Params::seeded(1);
        let make = if decoder { TransformerStack::decoder } else { TransformerStack::encoder };
        let stack = make(&mut params, "stack", &BlockConfig::new(8, 2), 2, 4, true);
        let other =
            TransformerStack::decoder(&mut params, "other", &BlockConfig::new(8, 2), remembers, 4, true);
        let g = Graph::inference(&params);
        let blocks = other.memory(g.input("memory", &[1, 3, 8], DType::F32));
        let memory = StackMemory { blocks: &blocks, mask: AttentionOptions::default() };
        let memory = (remembers > 0).then_some(memory);
        let _ =
            stack.forward(g.input("x", &[1, 2, channels], DType::F32), AttentionOptions::default(), memory);
        g.check().map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn a_memory_goes_to_those_that_attend_to_one() {
        assert_eq!(error(false, 0, 8), "");
        assert_eq!(error(true, 2, 8), "");
        assert!(error(true, 0, 8).contains("attention to a memory needs one"));
        assert!(error(true, 1, 8).contains("attention to a memory needs one"), "of two blocks, one has none");
        assert!(error(false, 2, 8).contains("has no attention to a memory"));
        assert!(error(false, 0, 7).contains("[1, 2, 7]"), "another width than the model's");
    }

    /// Places of dropout that a stack of two blocks records, or what is refused.
    fn places(decoder: bool, dropout: TransformerDropout) -> Result<u32, String> {
        let mut params = Params::seeded(1);
        let make = if decoder { TransformerStack::decoder } else { TransformerStack::encoder };
        let config = BlockConfig { dropout, ..BlockConfig::new(8, 2) };
        let stack = make(&mut params, "stack", &config, 2, 4, true);
        let g = Graph::training(&params);
        let blocks = stack.memory(g.input("memory", &[1, 3, 8], DType::F32));
        let memory = StackMemory { blocks: &blocks, mask: AttentionOptions::default() };
        let x = g.input("x", &[1, 2, 8], DType::F32);
        let _ = stack.forward(x, AttentionOptions::default(), decoder.then_some(memory));
        g.check().map(|()| g.dropout_calls()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_place_of_dropout_has_its_own_probability() {
        // PyTorch's encoder layer has `self_attn`, `dropout`, `dropout1`, `dropout2`; its decoder layer two more.
        assert_eq!(places(false, TransformerDropout::all(0.1)), Ok(2 * 4));
        assert_eq!(places(true, TransformerDropout::all(0.1)), Ok(2 * 6));
        let none = TransformerDropout::default();
        for (alone, [encoder, decoder]) in [
            (none, [0, 0]),
            (TransformerDropout { embedding: 0.1, ..none }, [0, 0]),
            (TransformerDropout { attention: 0.1, ..none }, [1, 2]),
            (TransformerDropout { attention_result: 0.1, ..none }, [1, 2]),
            (TransformerDropout { inner: 0.1, ..none }, [1, 1]),
            (TransformerDropout { feed_forward_result: 0.1, ..none }, [1, 1]),
        ] {
            assert_eq!(places(false, alone), Ok(2 * encoder), "{alone:?}");
            assert_eq!(places(true, alone), Ok(2 * decoder), "{alone:?}");
        }
    }

    #[test]
    fn what_is_no_probability_is_refused_at_every_place() {
        let none = TransformerDropout::default();
        for p in [1.0, -0.1, f32::NAN] {
            for (name, wrong) in [
                ("embedding", TransformerDropout { embedding: p, ..none }),
                ("attention", TransformerDropout { attention: p, ..none }),
                ("attention_result", TransformerDropout { attention_result: p, ..none }),
                ("inner", TransformerDropout { inner: p, ..none }),
                ("feed_forward_result", TransformerDropout { feed_forward_result: p, ..none }),
            ] {
                let error = places(false, wrong).unwrap_err();
                assert!(error.contains(&format!("dropout.{name} = ")), "{error}");
            }
        }
    }
}
