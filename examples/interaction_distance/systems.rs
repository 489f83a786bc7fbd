//! The systems that are compared, and how far they see in theory.

use seqloom::prelude::*;

use crate::Options;

/// A system with its sizes.
#[derive(Clone, Debug)]
pub enum System {
    Window(WindowLmConfig),
    Conv(ConvLmConfig),
    Attention(GptConfig),
    Rnn(RecurrentLmConfig),
    Lstm(RecurrentLmConfig),
}

/// A system's reach and path in theory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theory {
    /// The farthest step back that a result depends on.
    pub reach: usize,
    /// Layers and steps of recurrence between the farthest step seen and the result.
    pub path: usize,
}

/// An action on a model of any kind.
pub trait Visit {
    /// Its result.
    type Output;

    /// Does it.
    fn visit<M: LanguageModel>(self, make: impl FnOnce(&mut Params) -> M) -> Self::Output;
}

impl System {
    /// The systems by name, for texts of `symbols` symbols and sequences of `time` steps.
    pub fn all(options: &Options, symbols: usize, time: usize) -> Vec<(String, Self)> {
        let Options { width, kernel, layers, .. } = *options;
        let vocab = || Vocab::ids(symbols);
        let window = WindowLmConfig { vocab: vocab(), order: kernel, embed: width, hidden: width };
        let conv = ConvLmConfig { vocab: vocab(), channels: width, kernel, layers, growth: 1 };
        let dilated = ConvLmConfig { growth: 2, ..conv.clone() };
        let full = GptConfig::new(vocab(), width, 4, layers, time);
        // Initial values of PyTorch's size make gradients of layers comparable; GPT-2's are for far deeper stacks.
        let full = GptConfig { block: BlockConfig::new(width, 4), ..full };
        let local = GptConfig { window: Some(kernel - 1), ..full.clone() };
        let recurrent =
            || RecurrentLmConfig { vocab: vocab(), embed: width, hidden: width, layers: 1, dropout: 0.0 };
        vec![
            (format!("window of {kernel}"), Self::Window(window)),
            (format!("{layers} convolutions of {kernel}"), Self::Conv(conv)),
            ("the same, dilations doubling".to_owned(), Self::Conv(dilated)),
            (format!("{layers} attentions within {kernel}"), Self::Attention(local)),
            ("RNN".to_owned(), Self::Rnn(recurrent())),
            ("LSTM".to_owned(), Self::Lstm(recurrent())),
            (format!("{layers} full attentions"), Self::Attention(full)),
        ]
    }

    /// The theory for sequences of `time` steps.
    pub fn theory(&self, time: usize) -> Theory {
        let last = time - 1;
        match self {
            Self::Window(c) => Theory { reach: last.min(c.order - 1), path: 1 },
            Self::Conv(c) => {
                let mut params = Params::seeded(0);
                Theory { reach: last.min(ConvLm::new(&mut params, c.clone()).reach()), path: c.layers }
            }
            Self::Attention(c) => match c.window {
                Some(window) => Theory { reach: last.min(c.layers * window), path: c.layers },
                None => Theory { reach: last, path: 1 },
            },
            // Step by step back, and once from the input into the state.
            Self::Rnn(_) | Self::Lstm(_) => Theory { reach: last, path: time },
        }
    }

    /// Makes the model and runs the action on it.
    pub fn visit<V: Visit>(&self, visitor: V) -> V::Output {
        match self.clone() {
            Self::Window(config) => visitor.visit(|params| WindowLm::new(params, config)),
            Self::Conv(config) => visitor.visit(|params| ConvLm::new(params, config)),
            Self::Attention(config) => visitor.visit(|params| Gpt::new(params, config)),
            Self::Rnn(config) => visitor.visit(|params| RnnLm::new(params, config)),
            Self::Lstm(config) => visitor.visit(|params| LstmLm::new(params, config)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn theory_follows_the_sizes_and_stops_at_the_sequence() {
        let options = Options::parse_from(["interaction_distance", "--kernel", "4", "--layers", "3"]);
        let told = |time: usize| -> Vec<_> {
            let all = System::all(&options, 9, time);
            all.iter().map(|(_, system)| system.theory(time)).map(|t| (t.reach, t.path)).collect()
        };
        assert_eq!(told(50), [(3, 1), (9, 3), (21, 3), (9, 3), (49, 50), (49, 50), (49, 1)]);
        assert_eq!(told(6), [(3, 1), (5, 3), (5, 3), (5, 3), (5, 6), (5, 6), (5, 1)]);
    }
}
