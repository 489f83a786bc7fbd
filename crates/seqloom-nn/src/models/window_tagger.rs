//! The word-window model: the label of a word from the words around it.
//!
//! [`crate::models::language::window_lm`] looks only back and predicts the next symbol; this window is centred, so it labels
//! existing text: parts of speech, names. Steps beyond the ends of a row, including padding, are zeros; Collobert et al. train a
//! separate vector for them.

use seqloom_graph::{Lengths, Params, Tensor};

use crate::layers::conv1d::{Conv1d, Conv1dConfig, Padding};
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;

/// Sizes of a [`WindowTagger`].
#[derive(Clone, Debug, PartialEq)]
pub struct WindowTaggerConfig {
    /// Symbols that it reads, V.
    pub vocab: usize,
    /// Number of labels, K.
    pub labels: usize,
    /// Symbols on either side that it sees, r.
    pub radius: usize,
    /// Channels of the embedding, C.
    pub embed: usize,
    /// Width of the hidden layer, H.
    pub hidden: usize,
}

impl WindowTaggerConfig {
    /// A config with these sizes.
    #[must_use]
    pub fn new(vocab: usize, labels: usize, radius: usize, embed: usize, hidden: usize) -> Self {
        Self { vocab, labels, radius, embed, hidden }
    }
}

/// A label for each symbol of a row, from a window around it (Collobert et al. 2011, "Natural Language Processing (Almost)
/// from Scratch", section 3.3.1, with tanh for their hard tanh).
///
/// ```text
/// h_t    = tanh(b_hidden + Σ_{j=-r..r} W_j·e(x_{t+j}))       zeros beyond the row: one affine map of the window
/// logits = W_head·h_t + b_head
/// ```
///
/// Shapes: tokens [B, T] → logits [B, T, K]; parameters `embedding.weight` [V, C], `hidden.weight` [H, C, 2r+1], `hidden.bias`
/// \[H\], `head.weight` [K, H], `head.bias` \[K\].
///
/// Its loss is [`crate::layers::losses::cross_entropy`] of the logits and the labels.
#[derive(Clone, Copy, Debug)]
pub struct WindowTagger {
    embedding: Embedding,
    hidden: Conv1d,
    head: Linear,
}

impl WindowTagger {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: WindowTaggerConfig) -> Self {
        let WindowTaggerConfig { vocab, labels, radius, embed, hidden } = config;
        let kernel = radius.saturating_mul(2).saturating_add(1);
        let window = Conv1dConfig { padding: Padding::Same, ..Conv1dConfig::new(embed, hidden, kernel) };
        Self {
            embedding: Embedding::new(params, "embedding", vocab, embed),
            hidden: Conv1d::new(params, "hidden", window),
            head: Linear::new(params, "head", hidden, labels),
        }
    }

    /// Records the model: tokens [B, T] of u32 and row lengths (all T if `None`) → logits [B, T, K], which mean nothing at
    /// padded steps. No true step sees padding.
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, tokens: Tensor<'g>, lengths: Option<Lengths<'g>>) -> Tensor<'g> {
        let (rows, time) = (tokens.dim(0), tokens.dim(1));
        let embedded = self.embedding.forward(tokens);
        let seen = lengths.map_or(embedded, |lengths| embedded * lengths.mask().reshape(&[rows, time, 1]));
        self.head.forward(self.hidden.forward(seen).tanh())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::Graph;

    #[test]
    fn every_step_has_a_label_whatever_the_window() {
        for radius in [0, 1, 9] {
            let mut params = Params::seeded(1);
            let config = WindowTaggerConfig { vocab: 7, labels: 3, radius, embed: 4, hidden: 5 };
            let model = WindowTagger::new(&mut params, config);
            let g = Graph::inference(&params);
            let logits = model.forward(g.ids("tokens", &[2, 6], 7), Some(g.lengths("lengths", 2, 6)));
            g.check().unwrap();
            assert_eq!(logits.shape()[..], [2, 6, 3]);
            let hidden = params.iter().find(|p| p.name == "hidden.weight").map(|p| p.shape.to_vec());
            assert_eq!(hidden, Some(vec![5, 4, 2 * radius + 1]));
        }
    }
}
