//! Multi-head attention: projections around the attention operation.
//!
//! Queries, keys and values are read in the layout that the projections write, [B, T, H, D], so heads need no
//! transpose. The parts (project queries, project keys and values, attend) can be called separately: generation keeps
//! keys and values from step to step, and a decoder projects the encoder's outputs once for all its steps. One head
//! gives single-head attention. Fewer key heads than heads are grouped queries (Ainslie et al. 2023); one is
//! multi-query attention (Shazeer 2019).

use seqloom_graph::{AttentionOptions, Following, Init, ParamId, Params, Tensor};

use crate::attention::positions::Place;
use crate::attention::relative_positions::{RelativePositions, RelativeTerms};
use crate::layers::linear::Linear;

/// Sizes of a [`MultiHeadAttention`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionConfig {
    /// Channels of queries and results, C.
    pub channels: usize,
    /// Channels of the operand of keys and values; `None` if C, as in self-attention.
    pub memory: Option<usize>,
    /// Heads, H; they divide C into widths D = C/H.
    pub heads: usize,
    /// Heads of keys and values, Hkv; they divide H.
    pub key_heads: usize,
    /// Probability of dropping a weight while training.
    pub dropout: f32,
    /// How heads know distances.
    pub relative: RelativePositions,
    /// Steps of the longest sequence that rotations are prepared for.
    pub max_positions: usize,
    /// Whether the projections have biases, PyTorch's `bias`.
    pub bias: bool,
    /// Initial values of the projections' weights; their biases start at 0.
    pub init: AttentionInit,
}

/// Initial values of the projections' weights.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum AttentionInit {
    /// As PyTorch: the joint projection uniform in ±√(6 / (in + out)) (Glorot & Bengio 2010), the last in ±1/√C.
    Torch,
    /// Normal around 0, with one deviation for the input projections and one for the last.
    Normal {
        /// Deviation of the projections of queries, keys and values.
        spread: f32,
        /// Deviation of the last projection.
        out: f32,
    },
}

impl AttentionConfig {
    /// Self-attention with these channels and heads and with biases, without dropout and relative positions.
    #[must_use]
    pub fn new(channels: usize, heads: usize) -> Self {
        Self {
            channels,
            memory: None,
            heads,
            key_heads: heads,
            dropout: 0.0,
            relative: RelativePositions::None,
            max_positions: usize::MAX,
            bias: true,
            init: AttentionInit::Torch,
        }
    }
}

/// Keys and values that queries attend to.
#[derive(Clone, Copy, Debug)]
pub struct KeyValues<'g> {
    /// [B, S, Hkv, D].
    pub keys: Tensor<'g>,
    /// [B, S, Hkv, D].
    pub values: Tensor<'g>,
}

impl<'g> KeyValues<'g> {
    /// Both padded with zeros to `max_positions` steps: a cache after its first S steps. Longer ones stay as they are.
    #[track_caller]
    #[must_use]
    pub fn padded(self, max_positions: usize) -> [Tensor<'g>; 2] {
        [self.keys, self.values].map(|t| t.pad(1, 0, max_positions.saturating_sub(t.dim(1))))
    }

    /// Both appended to the caches of block l, `caches[2·l]` and `caches[2·l + 1]`, at the positions of `steps`. Where there is no
    /// such cache, they stay as they are.
    #[track_caller]
    #[must_use]
    pub fn appended(self, caches: &[Tensor<'g>], l: usize, steps: Following<'g>) -> Self {
        let append = |at: usize, new: Tensor<'g>| caches.get(at).map_or(new, |c| c.append(new, steps));
        Self { keys: append(2 * l, self.keys), values: append(2 * l + 1, self.values) }
    }
}

/// Attention of several heads (Vaswani et al. 2017).
///
/// ```text
/// q = x·Wqᵀ + bq    k = m·Wkᵀ + bk    v = m·Wvᵀ + bv     each cut into heads of D channels
/// y = attention(q, k, v)                                 [`Tensor::attention`], which says what masks there are
/// result = y·Woᵀ + bo
/// ```
///
/// Shapes: x [B, T, C], m [B, S, M] → [B, T, C].
///
/// Parameters, as PyTorch's `nn.MultiheadAttention`: `in_proj_weight` [C + 2·Hkv·D, C] (queries', keys' and values'
/// rows in this order), or, if M differs from C, `q_proj_weight` [C, C], `k_proj_weight` and `v_proj_weight` [Hkv·D,
/// M]; `in_proj_bias` [C + 2·Hkv·D]; `out_proj.weight` [C, C] and `out_proj.bias` \[C\]; `relative.weight` [H, 2R+1] if
/// distances are learned. Without biases there is neither `in_proj_bias` nor `out_proj.bias`.
///
/// Errors: heads that do not divide the channels, or key heads that do not divide the heads, poison the result, as do masks
/// of wrong shapes.
#[derive(Clone, Copy, Debug)]
pub struct MultiHeadAttention {
    weights: Weights,
    /// Of the three input projections, one after another.
    bias: Option<ParamId>,
    out: Linear,
    relative: RelativeTerms,
    channels: usize,
    heads: usize,
    key_heads: usize,
    dropout: f32,
    max_positions: usize,
}

#[derive(Clone, Copy, Debug)]
enum Weights {
    Joint(ParamId),
    Apart([ParamId; 3]),
}

impl MultiHeadAttention {
    /// Registers the layer's parameters.
    pub fn new(params: &mut Params, name: &str, config: AttentionConfig) -> Self {
        let AttentionConfig { channels, memory, heads, key_heads, dropout, .. } = config;
        let AttentionConfig { relative, max_positions, bias, init, .. } = config;
        let keys = channels / heads.max(1) * key_heads;
        let joint = channels + 2 * keys;
        let begin = |input: usize, output: usize| match init {
            AttentionInit::Torch => Init::Uniform((6.0 / (input + output).max(1) as f32).sqrt()),
            AttentionInit::Normal { spread, .. } => Init::Normal(spread),
        };
        let end = match init {
            AttentionInit::Torch => Init::Uniform(1.0 / (channels.max(1) as f32).sqrt()),
            AttentionInit::Normal { out, .. } => Init::Normal(out),
        };
        params.scope(name, |params| {
            let weights = match memory.filter(|&width| width != channels) {
                None => {
                    Weights::Joint(params.add("in_proj_weight", &[joint, channels], begin(channels, joint)))
                }
                Some(width) => Weights::Apart([
                    params.add("q_proj_weight", &[channels, channels], begin(channels, channels)),
                    params.add("k_proj_weight", &[keys, width], begin(width, keys)),
                    params.add("v_proj_weight", &[keys, width], begin(width, keys)),
                ]),
            };
            let of_out = bias.then_some(Init::Zeros);
            let bias = bias.then(|| params.add("in_proj_bias", &[joint], Init::Zeros));
            let out = Linear::with(params, "out_proj", channels, channels, end, of_out);
            let relative = RelativeTerms::new(params, relative, heads);
            Self { weights, bias, out, relative, channels, heads, key_heads, dropout, max_positions }
        })
    }

    /// Shape of the keys, and of the values, of `rows` rows of `steps` steps: [B, S, Hkv, D].
    #[must_use]
    pub fn cache_shape(&self, rows: usize, steps: usize) -> [usize; 4] {
        [rows, steps, self.key_heads, self.channels / self.heads.max(1)]
    }

    /// Records self-attention: x [B, T, C] → [B, T, C]. `mask` says who sees whom; its dropout is replaced by this
    /// layer's.
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>, mask: AttentionOptions<'g>) -> Tensor<'g> {
        let place = Place::From(0);
        let (query, memory) = self.project(x, place);
        self.attend(query, memory, mask)
    }

    /// Records the projections of self-attention: x [B, T, C] at these places → queries [B, T, H, D], keys and values.
    ///
    /// Three products with slices of the joint weight: slicing the weight copies far less than slicing the result of
    /// one product, forward and backward. A single row, as in generation, is one product: each part of its result is
    /// contiguous, so it is read in place.
    #[track_caller]
    #[must_use]
    pub fn project<'g>(&self, x: Tensor<'g>, place: Place<'g>) -> (Tensor<'g>, KeyValues<'g>) {
        let x = self.checked(x);
        let [query, keys, values] = match self.weights {
            Weights::Joint(weight) if x.rank() == 3 && x.dim(0) * x.dim(1) == 1 => {
                let joint = x.matmul_t(x.graph().param(weight));
                let joint = self.bias.map_or(joint, |bias| joint + x.graph().param(bias));
                self.parts().map(|(start, size)| joint.slice(-1, start, size))
            }
            _ => [0, 1, 2].map(|index| self.part(x, index)),
        };
        (self.turned_queries(query, place), self.turned(keys, values, place))
    }

    /// Records only the projection of queries: x [B, T, C] → [B, T, H, D].
    #[track_caller]
    #[must_use]
    pub fn queries<'g>(&self, x: Tensor<'g>, place: Place<'g>) -> Tensor<'g> {
        self.turned_queries(self.part(self.checked(x), 0), place)
    }

    /// Records the projection of the memory: m [B, S, M] → keys and values.
    #[track_caller]
    #[must_use]
    pub fn memory<'g>(&self, memory: Tensor<'g>, place: Place<'g>) -> KeyValues<'g> {
        let memory = self.checked(memory);
        self.turned(self.part(memory, 1), self.part(memory, 2), place)
    }

    /// Records the attention of projected queries [B, T, H, D] and the last projection → [B, T, C].
    #[track_caller]
    #[must_use]
    pub fn attend<'g>(
        &self,
        query: Tensor<'g>,
        memory: KeyValues<'g>,
        mask: AttentionOptions<'g>,
    ) -> Tensor<'g> {
        let mask = AttentionOptions { dropout: self.dropout, ..self.relative.within(query, mask) };
        let attended = query.attention(memory.keys, memory.values, mask);
        self.out.forward(attended.reshape(&[query.dim(0), query.dim(1), self.channels]))
    }

    /// Records the weights themselves, for pictures: projected queries and keys → [B, H, T, S].
    #[track_caller]
    #[must_use]
    pub fn weights<'g>(
        &self,
        query: Tensor<'g>,
        memory: KeyValues<'g>,
        mask: AttentionOptions<'g>,
    ) -> Tensor<'g> {
        query.attention_weights(memory.keys, self.relative.within(query, mask))
    }

    /// First row and number of rows of the queries', keys' and values' part of the joint projection.
    fn parts(&self) -> [(usize, usize); 3] {
        let keys = self.channels / self.heads.max(1) * self.key_heads;
        [(0, self.channels), (self.channels, keys), (self.channels + keys, keys)]
    }

    /// One of the three projections of x [B, T, ..].
    #[track_caller]
    fn part<'g>(&self, x: Tensor<'g>, index: usize) -> Tensor<'g> {
        let g = x.graph();
        let (start, size) = self.parts()[index];
        let weight = match self.weights {
            Weights::Joint(weight) => g.param(weight).slice(0, start, size),
            Weights::Apart(weights) => g.param(weights[index]),
        };
        let y = x.matmul_t(weight);
        self.bias.map_or(y, |bias| y + g.param(bias).slice(0, start, size))
    }

    /// Projected queries [B, T, C] split into heads, at their positions.
    #[track_caller]
    fn turned_queries<'g>(&self, query: Tensor<'g>, place: Place<'g>) -> Tensor<'g> {
        self.relative.turned(self.split(query, self.heads), place, self.max_positions)
    }

    /// Projected keys and values [B, S, Hkv·D] split into heads, the keys at their positions.
    #[track_caller]
    fn turned<'g>(&self, keys: Tensor<'g>, values: Tensor<'g>, place: Place<'g>) -> KeyValues<'g> {
        let keys = self.relative.turned(self.split(keys, self.key_heads), place, self.max_positions);
        KeyValues { keys, values: self.split(values, self.key_heads) }
    }

    /// [B, T, heads·D] → [B, T, heads, D].
    #[track_caller]
    fn split<'g>(&self, x: Tensor<'g>, heads: usize) -> Tensor<'g> {
        x.reshape(&[x.dim(0), x.dim(1), heads, self.channels / self.heads.max(1)])
    }

    /// The operand, if the sizes make sense and it is a batch of sequences.
    #[track_caller]
    fn checked<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let Self { channels, heads, key_heads, .. } = *self;
        let name = "multi_head_attention";
        if heads == 0 || !channels.is_multiple_of(heads) {
            return x.refused(name, &format!("{heads} heads do not divide a width of {channels}"));
        }
        if key_heads == 0 || !heads.is_multiple_of(key_heads) {
            return x.refused(name, &format!("{key_heads} key heads do not divide {heads} heads"));
        }
        if x.rank() != 3 {
            return x.refused(name, "operands are [B, T, C]");
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    fn error(config: AttentionConfig) -> String {
        let mut params = Params::seeded(1);
        let layer = MultiHeadAttention::new(&mut params, "attention", config);
        let g = Graph::inference(&params);
        let _ = layer.forward(g.input("x", &[2, 5, 12], DType::F32), AttentionOptions::default());
        g.check().map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn heads_that_do_not_divide_the_width_are_refused() {
        assert_eq!(error(AttentionConfig::new(12, 4)), "");
        assert!(error(AttentionConfig::new(12, 5)).contains("5 heads do not divide a width of 12"));
        assert!(error(AttentionConfig::new(12, 0)).contains("0 heads"));
        let grouped = AttentionConfig { key_heads: 3, ..AttentionConfig::new(12, 4) };
        assert!(error(grouped).contains("3 key heads do not divide 4"));
        assert!(error(AttentionConfig::new(8, 4)).contains("matmul"), "another width than the operand's");
    }

    #[test]
    fn names_and_shapes_are_those_of_pytorch() {
        let shapes = |config| {
            let mut params = Params::seeded(1);
            MultiHeadAttention::new(&mut params, "a", config);
            params.iter().map(|p| (p.name.clone(), p.shape.to_vec())).collect::<Vec<_>>()
        };
        let named = |names: &[(&str, &[usize])]| {
            names.iter().map(|(name, shape)| (format!("a.{name}"), shape.to_vec())).collect::<Vec<_>>()
        };
        let out: [(&str, &[usize]); 2] = [("out_proj.weight", &[12, 12]), ("out_proj.bias", &[12])];
        let joint: [(&str, &[usize]); 2] = [("in_proj_weight", &[36, 12]), ("in_proj_bias", &[36])];
        assert_eq!(shapes(AttentionConfig::new(12, 4)), named(&[joint, out].concat()));
        let grouped = AttentionConfig { key_heads: 1, ..AttentionConfig::new(12, 4) };
        assert_eq!(shapes(grouped)[0].1, [18, 12]);
        let without = AttentionConfig { bias: false, ..AttentionConfig::new(12, 4) };
        assert_eq!(shapes(without), named(&[joint[0], out[0]]));
        let cross = AttentionConfig { memory: Some(7), ..AttentionConfig::new(12, 4) };
        assert_eq!(
            shapes(cross)[..4],
            named(&[
                ("q_proj_weight", &[12, 12]),
                ("k_proj_weight", &[12, 7]),
                ("v_proj_weight", &[12, 7]),
                ("in_proj_bias", &[36]),
            ])
        );
    }
}
