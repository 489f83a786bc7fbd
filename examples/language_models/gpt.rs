//! The Transformer's row: the same number of parameters as the LSTM, and any kind of positions.

use clap::ValueEnum;
use seqloom::prelude::custom::*;

/// Farthest distance with its own learned score term.
const RADIUS: usize = 32;

/// How a Transformer knows a symbol's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Positions {
    /// Alternating sines and cosines, added to the embedding (Vaswani et al. 2017)
    Sinusoidal,
    /// All sines before all cosines, as the same authors' program has them
    Halves,
    /// A trained vector for each position, added to the embedding
    Learned,
    /// Queries and keys rotated by their position (Su et al. 2021)
    Rotary,
    /// A fixed penalty per head that grows with distance (Press et al. 2022)
    Alibi,
    /// A trained term for each head and distance (Raffel et al. 2020)
    Relative,
    /// None: only the causal mask tells what came before
    None,
}

impl Positions {
    /// The positions added to embeddings, and how heads know distances.
    fn kinds(self) -> (AbsolutePositions, RelativePositions) {
        let sinusoidal = |layout| (AbsolutePositions::Sinusoidal(layout), RelativePositions::None);
        let relative = |kind| (AbsolutePositions::None, kind);
        match self {
            Self::Sinusoidal => sinusoidal(SinusoidLayout::Interleaved),
            Self::Halves => sinusoidal(SinusoidLayout::Halves),
            Self::Learned => (AbsolutePositions::Learned, RelativePositions::None),
            Self::Rotary => relative(RelativePositions::Rotary(Rotary::default())),
            Self::Alibi => relative(RelativePositions::Alibi),
            Self::Relative => relative(RelativePositions::Learned { radius: RADIUS }),
            Self::None => relative(RelativePositions::None),
        }
    }
}

/// Heads and blocks of the row, the steps it reads, and its kind of positions.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub heads: usize,
    pub layers: usize,
    pub time: usize,
    pub positions: Positions,
    /// Farthest step back that a block sees; all if `None`.
    pub window: Option<usize>,
}

impl Form {
    /// A model of this form and width.
    fn config(self, vocab: &Vocab, channels: usize) -> GptConfig {
        let Self { heads, layers, time, positions, window } = self;
        let plain = GptConfig::new(vocab.clone(), channels, heads, layers, time);
        let (positions, relative) = positions.kinds();
        GptConfig { positions, window, block: BlockConfig { relative, ..plain.block }, ..plain }
    }

    /// The model of this form whose number of parameters is nearest to `parameters`. Widths of a head are even, as rotations
    /// need them.
    pub fn of_size(self, vocab: &Vocab, parameters: usize) -> GptConfig {
        let count = |channels| {
            let mut params = Params::seeded(0);
            let _ = Gpt::new(&mut params, self.config(vocab, channels));
            params.count()
        };
        let step = 2 * self.heads;
        let mut channels = step;
        while count(channels + step) <= parameters {
            channels += step;
        }
        let (below, above) = (count(channels), count(channels + step));
        let nearest = if above - parameters.min(above) < parameters.saturating_sub(below) {
            channels + step
        } else {
            channels
        };
        self.config(vocab, nearest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test stops at the first surprise.

    use super::*;

    fn count(config: GptConfig) -> usize {
        let mut params = Params::seeded(0);
        let _ = Gpt::new(&mut params, config);
        params.count()
    }

    #[test]
    fn the_width_is_the_one_nearest_in_parameters() {
        let form = Form { heads: 2, layers: 2, time: 16, positions: Positions::Learned, window: None };
        let vocab = Vocab::ids(65);
        for asked in [0, 3_000, 50_000, 111_937] {
            let found = form.of_size(&vocab, asked);
            let off = |channels| count(form.config(&vocab, channels)).abs_diff(asked);
            let channels = found.block.channels;
            assert!(channels.is_multiple_of(4));
            assert!(
                off(channels) <= off(channels + 4) && (channels == 4 || off(channels) <= off(channels - 4))
            );
        }
    }

    #[test]
    fn every_kind_of_positions_makes_a_model() {
        for &positions in Positions::value_variants() {
            let form = Form { heads: 2, layers: 1, time: 8, positions, window: Some(4) };
            let mut params = Params::seeded(0);
            let model = Gpt::new(&mut params, form.config(&Vocab::ids(9), 8));
            let g = Graph::inference(&params);
            let _ = model.features(g.ids("tokens", &[1, 8], 9));
            g.check().unwrap();
        }
    }
}
