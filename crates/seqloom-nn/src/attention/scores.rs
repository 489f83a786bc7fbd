//! Attention of a decoder to an encoder's outputs: the scores of the recurrent encoder–decoders.
//!
//! What depends only on the encoder (projected keys, valid positions) is computed once per sentence and held in a
//! [`Memory`]. A decoder queries it with any number of queries: all steps of a target at once, or one step of every
//! beam. The additive score's sums of all pairs, [B, T, S, A], exist only inside the kernels that reduce them, forward
//! and backward.

use seqloom_graph::{Init, Lengths, ParamId, Params, Tensor};

/// Added to the score of a position that does not exist. It is finite, so the difference of two is not NaN, and its
/// exponential is 0 beside any score of a network.
const EXCLUDED: f32 = 1e30;

/// How a query q is compared with a position's output m.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Score {
    /// q·m (Luong et al. 2015). Both must have the same width.
    Dot,
    /// q·(W·m) (Luong et al. 2015).
    General,
    /// v·tanh(W_q·q + W_m·m), all of the given width A (Bahdanau et al. 2015).
    Additive(usize),
}

/// Attention over an encoder's outputs.
///
/// ```text
/// e_ts = score(q_t, m_s)                        over true positions s
/// a_ts = exp(e_ts) / Σ_s' exp(e_ts')            weights; 0 at positions that do not exist
/// c_t  = Σ_s a_ts·m_s                           context
/// ```
///
/// Shapes: queries [B, T, Q], outputs [B, S, M] → context [B, T, M], weights [B, T, S].
///
/// Parameters: none for [`Score::Dot`]; `key.weight` [Q, M] for [`Score::General`]; `query.weight` [A, Q], `key.weight`
/// [A, M] and `score.weight` [1, A] for [`Score::Additive`]. All are initially uniform in ±1/√(their second dimension),
/// as PyTorch's linear layers without bias.
///
/// Errors: operands of other shapes poison the results; a row without a valid position is a length of 0, which the host
/// finds before the program runs.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    parts: Parts,
}

#[derive(Clone, Copy, Debug)]
enum Parts {
    Dot,
    General { key: ParamId },
    Additive { query: ParamId, key: ParamId, score: ParamId, width: usize },
}

/// An encoder's outputs, ready to be attended to.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'g> {
    /// The values that contexts are means of [B, S, M].
    pub values: Tensor<'g>,
    /// The keys that queries are compared with [B, S, K]: the values, projected if the score does so.
    pub keys: Tensor<'g>,
    /// True positions of each row, from 1 to S; all of S if `None`.
    pub lengths: Option<Lengths<'g>>,
}

/// What [`Attention::forward`] gives.
#[derive(Clone, Copy, Debug)]
pub struct Attended<'g> {
    /// Weighted means of the values [B, T, M].
    pub context: Tensor<'g>,
    /// The weights [B, T, S]; each row sums to 1.
    pub weights: Tensor<'g>,
}

impl Attention {
    /// Registers the score's parameters under `name`, for queries of `query` channels and values of `memory` channels.
    pub fn new(params: &mut Params, name: &str, score: Score, query: usize, memory: usize) -> Self {
        let parts = params.scope(name, |params| {
            let mut linear = |name: &str, output: usize, input: usize| {
                let bound = 1.0 / (input.max(1) as f32).sqrt();
                params.scope(name, |p| p.add("weight", &[output, input], Init::Uniform(bound)))
            };
            match score {
                Score::Dot => Parts::Dot,
                Score::General => Parts::General { key: linear("key", query, memory) },
                Score::Additive(width) => Parts::Additive {
                    query: linear("query", width, query),
                    key: linear("key", width, memory),
                    score: linear("score", 1, width),
                    width,
                },
            }
        });
        Self { parts }
    }

    /// Records the part that depends only on the encoder: outputs [B, S, M] and their true lengths → [`Memory`].
    #[track_caller]
    #[must_use]
    pub fn memory<'g>(&self, values: Tensor<'g>, lengths: Option<Lengths<'g>>) -> Memory<'g> {
        let keys = match self.parts {
            Parts::Dot => values,
            Parts::General { key } | Parts::Additive { key, .. } => {
                values.matmul_t(values.graph().param(key))
            }
        };
        Memory { values, keys, lengths }
    }

    /// Whether a memory's keys are other tensors than its values.
    #[must_use]
    pub fn projects_keys(&self) -> bool {
        !matches!(self.parts, Parts::Dot)
    }

    /// Channels of a memory's keys, K, for values of `memory` channels and queries of `query` channels.
    #[must_use]
    pub fn key_width(&self, query: usize, memory: usize) -> usize {
        match self.parts {
            Parts::Dot => memory,
            Parts::General { .. } => query,
            Parts::Additive { width, .. } => width,
        }
    }

    /// Records attention of queries [B, T, Q] to a memory.
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, queries: Tensor<'g>, memory: &Memory<'g>) -> Attended<'g> {
        let (rows, steps, positions) = (queries.dim(0), queries.dim(1), memory.keys.dim(1));
        let g = queries.graph();
        let (query, key) = (queries.dim(2), memory.keys.dim(2));
        let scores = match self.parts {
            Parts::Dot if query != key => queries.refused(
                "attention",
                &format!("dot needs one width, queries and values have {query} and {key}"),
            ),
            Parts::Dot | Parts::General { .. } => queries.matmul_t(memory.keys),
            Parts::Additive { query, score, width, .. } => {
                let queries = queries.matmul_t(g.param(query)).reshape(&[rows, steps, 1, width]);
                let keys = memory.keys.reshape(&[rows, 1, positions, width]);
                ((queries + keys).tanh() * g.param(score).reshape(&[width])).sum(-1)
            }
        };
        let scores = match memory.lengths {
            None => scores,
            Some(lengths) => {
                let position = g.literal(&[positions], (0..positions).map(|s| s as f32).collect());
                let exists = position.less(lengths.tensor().to_f32().reshape(&[rows, 1, 1]));
                scores + (exists - 1.0) * EXCLUDED
            }
        };
        let weights = scores.softmax();
        Attended { context: weights.matmul(memory.values), weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    #[test]
    fn shapes_and_names() {
        for (score, names) in [
            (Score::Dot, vec![]),
            (Score::General, vec![("attention.key.weight", vec![5, 5])]),
            (
                Score::Additive(3),
                vec![
                    ("attention.query.weight", vec![3, 5]),
                    ("attention.key.weight", vec![3, 5]),
                    ("attention.score.weight", vec![1, 3]),
                ],
            ),
        ] {
            let mut params = Params::seeded(1);
            let attention = Attention::new(&mut params, "attention", score, 5, 5);
            let all: Vec<_> = params.iter().map(|p| (p.name.as_str(), p.shape.to_vec())).collect();
            assert_eq!(all, names);
            let g = Graph::training(&params);
            let values = g.input("values", &[2, 7, 5], DType::F32);
            let memory = attention.memory(values, Some(g.lengths("lengths", 2, 7)));
            assert_eq!(memory.keys.dim(2), attention.key_width(5, 5));
            let out = attention.forward(g.input("queries", &[2, 4, 5], DType::F32), &memory);
            g.check().unwrap();
            assert_eq!(
                (out.context.shape().to_vec(), out.weights.shape().to_vec()),
                (vec![2, 4, 5], vec![2, 4, 7])
            );
        }
    }

    #[test]
    fn the_dot_of_unequal_widths_is_refused() {
        let mut params = Params::seeded(1);
        let attention = Attention::new(&mut params, "attention", Score::Dot, 5, 6);
        let g = Graph::inference(&params);
        let memory = attention.memory(g.input("values", &[2, 7, 6], DType::F32), None);
        let _ = attention.forward(g.input("queries", &[2, 4, 5], DType::F32), &memory);
        assert!(g.check().unwrap_err().to_string().contains("5 and 6"));
    }
}
