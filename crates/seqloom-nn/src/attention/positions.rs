//! Positions as vectors that are added to the embeddings.
//!
//! Attention sees a set, so a model must be told the order. Here fixed sinusoids or a trained table are added to the
//! embedding; [`crate::attention::relative_positions`] changes the scores instead. Sinusoids are literals for the
//! recorded steps, because a program is recorded for one length. Only if positions are known when the program runs, as
//! in generation, is the whole table kept and gathered from.

use seqloom_graph::{Init, ParamId, Params, Tensor};

use crate::batch::padded_time;

/// The position of the steps of a sequence.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Place<'g> {
    /// Step t of every row has position `start` + t.
    From(usize),
    /// Each step of each row has its own position, [B, T] of u32.
    At(Tensor<'g>),
}

impl Place<'_> {
    /// One more than the last position known at recording, for `time` steps.
    pub(crate) fn end(self, time: usize) -> usize {
        match self {
            Place::From(start) => start.saturating_add(time),
            Place::At(_) => 0,
        }
    }
}

/// How sines and cosines lie in a vector of C channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SinusoidLayout {
    /// Channel 2i is sin(p·ω_i), channel 2i + 1 is cos(p·ω_i), ω_i = 10000^(−2i/C) (Vaswani et al. 2017, section 3.5).
    Interleaved,
    /// The first C/2 channels are the sines, the others the cosines, ω_i = 10000^(−i/(C/2 − 1)) (the authors' own program,
    /// tensor2tensor).
    Halves,
}

/// Rows of sinusoids for positions `start` to `start` + `count` − 1: [count, C] in row-major order.
///
/// If C is odd, the last channel has no partner: it is a sine when interleaved and 0 in halves.
///
/// ```
/// # use seqloom_nn::{SinusoidLayout, sinusoids};
/// let first = sinusoids(0, 1, 4, SinusoidLayout::Interleaved);
/// assert_eq!(first, [0.0, 1.0, 0.0, 1.0]);
/// assert_eq!(sinusoids(0, 1, 4, SinusoidLayout::Halves), [0.0, 0.0, 1.0, 1.0]);
/// ```
#[must_use]
pub fn sinusoids(start: usize, count: usize, channels: usize, layout: SinusoidLayout) -> Vec<f32> {
    let wave = |position: usize, channel: usize| {
        let half = channels / 2;
        let (sine, exponent) = match layout {
            SinusoidLayout::Interleaved => {
                let pair = channel / 2;
                (channel.is_multiple_of(2), 2.0 * pair as f64 / channels as f64)
            }
            SinusoidLayout::Halves if channel == 2 * half => return 0.0,
            SinusoidLayout::Halves => {
                let pair = channel % half;
                (channel < half, pair as f64 / (half.max(2) - 1) as f64)
            }
        };
        let angle = position as f64 * 10_000f64.powf(-exponent);
        (if sine { angle.sin() } else { angle.cos() }) as f32
    };
    (start..start.saturating_add(count)).flat_map(|p| (0..channels).map(move |c| wave(p, c))).collect()
}

/// Ragged rows [B, T, C] without the steps by which [`padded_time`] exceeded the model's `max_positions`: those are
/// padding. Rows that are longer themselves come back unchanged.
#[track_caller]
pub(crate) fn rounded_off(x: Tensor<'_>, max_positions: usize) -> Tensor<'_> {
    let time = x.dim(1);
    if time > max_positions && time <= padded_time(max_positions) { x.slice(1, 0, max_positions) } else { x }
}

/// The result of [`rounded_off`], [B, T, C], with the steps that it removed put back as zeros.
#[track_caller]
pub(crate) fn padded_to(x: Tensor<'_>, time: usize) -> Tensor<'_> {
    let missing = time.saturating_sub(x.dim(1));
    if missing > 0 { x.pad(1, 0, missing) } else { x }
}

/// How positions are added to embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbsolutePositions {
    /// Not added: the scores know the order, or it does not matter.
    None,
    /// Fixed sines and cosines.
    Sinusoidal(SinusoidLayout),
    /// A trained vector for each position (Gehring et al. 2017).
    Learned,
}

/// Adds a vector for its position to each step.
///
/// Formula: y\[b, t\] = x\[b, t\] + P[p(b, t)].
///
/// Shapes: x [B, T, C] → the same; parameter, if learned: `weight` [max_positions, C].
///
/// Errors: positions of `max_positions` or more poison the result, or are found on the host if they are an input.
#[derive(Clone, Copy, Debug)]
pub struct PositionEmbedding {
    table: Table,
    max_positions: usize,
    channels: usize,
}

#[derive(Clone, Copy, Debug)]
enum Table {
    None,
    Sinusoidal(SinusoidLayout),
    Learned(ParamId),
}

impl PositionEmbedding {
    /// Registers the trained part, for positions below `max_positions`, initially normal around 0 with deviation
    /// `spread`.
    pub fn new(
        params: &mut Params,
        name: &str,
        kind: AbsolutePositions,
        max_positions: usize,
        channels: usize,
        spread: f32,
    ) -> Self {
        let table = match kind {
            AbsolutePositions::None => Table::None,
            AbsolutePositions::Sinusoidal(layout) => Table::Sinusoidal(layout),
            AbsolutePositions::Learned => Table::Learned(
                params.scope(name, |p| p.add("weight", &[max_positions, channels], Init::Normal(spread))),
            ),
        };
        Self { table, max_positions, channels }
    }

    /// Records the layer: x [B, T, C] → [B, T, C].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>, place: Place<'g>) -> Tensor<'g> {
        let (g, time) = (x.graph(), x.dim(1));
        if place.end(time) > self.max_positions {
            let end = place.end(time) - 1;
            return x.refused("positions", &format!("position {end} is not below {}", self.max_positions));
        }
        let added = match (self.table, place) {
            (Table::None, _) => return x,
            (Table::Sinusoidal(layout), Place::From(start)) => {
                g.literal(&[time, self.channels], sinusoids(start, time, self.channels, layout))
            }
            (Table::Sinusoidal(layout), Place::At(positions)) => {
                let all = sinusoids(0, self.max_positions, self.channels, layout);
                g.literal(&[self.max_positions, self.channels], all).gather_rows(positions)
            }
            (Table::Learned(weight), Place::From(start)) => g.param(weight).slice(0, start, time),
            (Table::Learned(weight), Place::At(positions)) => g.param(weight).gather_rows(positions),
        };
        x + added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    #[test]
    fn both_layouts_hold_the_same_kind_of_waves() {
        let rows = sinusoids(3, 2, 6, SinusoidLayout::Interleaved);
        assert!((f64::from(rows[0]) - 3f64.sin()).abs() < 1e-7);
        assert!((f64::from(rows[3]) - (3.0 * 10_000f64.powf(-2.0 / 6.0)).cos()).abs() < 1e-7);
        let rows = sinusoids(3, 1, 6, SinusoidLayout::Halves);
        assert!((f64::from(rows[2]) - (3.0 * 1e-4f64).sin()).abs() < 1e-7, "the slowest wave is 1/10000");
        assert!((f64::from(rows[3]) - 3f64.cos()).abs() < 1e-7);
        assert_eq!(sinusoids(1, 1, 5, SinusoidLayout::Halves)[4], 0.0);
    }

    #[test]
    fn a_step_beyond_the_table_is_refused() {
        for kind in [AbsolutePositions::Learned, AbsolutePositions::Sinusoidal(SinusoidLayout::Halves)] {
            let mut params = Params::seeded(1);
            let layer = PositionEmbedding::new(&mut params, "positions", kind, 4, 2, 1.0);
            let g = Graph::inference(&params);
            let x = g.input("x", &[1, 3, 2], DType::F32);
            assert_eq!(layer.forward(x, Place::From(1)).shape()[..], [1, 3, 2]);
            g.check().unwrap();
            let _ = layer.forward(x, Place::From(2));
            assert!(g.check().unwrap_err().to_string().contains("position 4 is not below 4"));
        }
    }
}
