//! Perplexity over any number of batches.
//!
//! Batches hold different numbers of tokens, so the mean of their losses is not the loss of their tokens: each is
//! weighted by its number of tokens. Sums are in f64, because a test set can have millions of tokens.

/// The mean loss of all tokens seen so far, and its exponential.
///
/// Formula: perplexity = exp(Σ_b lossᵦ · tokensᵦ / Σ_b tokensᵦ), losses in nats per token.
///
/// ```
/// # use seqloom_train::Perplexity;
/// let mut seen = Perplexity::default();
/// seen.add(2f32.ln(), 30);
/// seen.add(8f32.ln(), 10);
/// assert!((seen.value().unwrap() - 2f64.powf(1.5)).abs() < 1e-5);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perplexity {
    nats: f64,
    tokens: u64,
}

impl Perplexity {
    /// Counts a batch of `tokens` tokens whose mean loss is `loss` nats.
    pub fn add(&mut self, loss: f32, tokens: usize) {
        if tokens > 0 {
            self.nats += f64::from(loss) * tokens as f64;
            self.tokens += tokens as u64;
        }
    }

    /// Mean loss in nats per token; `None` before the first token.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.nats / self.tokens as f64)
    }

    /// The perplexity; `None` before the first token.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        self.loss().map(f64::exp)
    }

    /// Tokens counted.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_without_tokens_change_nothing() {
        let mut seen = Perplexity::default();
        seen.add(f32::NAN, 0);
        assert_eq!((seen.value(), seen.loss(), seen.tokens()), (None, None, 0));
        seen.add(0.0, 5);
        assert_eq!((seen.value(), seen.tokens()), (Some(1.0), 5));
    }
}
