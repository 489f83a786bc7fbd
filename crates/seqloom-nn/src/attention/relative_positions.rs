//! Relative positions: terms in the scores of attention.
//!
//! Rotations turn queries and keys by an angle that grows with the position, so their product depends only on the
//! distance. Linear and learned terms are added to the score. Terms that depend only on the distance are an option of
//! the attention operation and need no memory of T²; a distance that the data gives, as in a tree, is a bias for each
//! pair.

use seqloom_graph::{AttentionOptions, Init, ParamId, Params, Tensor};

use crate::attention::positions::Place;

/// How a head knows the distance of two steps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RelativePositions {
    /// It does not.
    None,
    /// By rotation of queries and keys.
    Rotary(Rotary),
    /// −slope·|distance| added to the score, with a fixed slope for each head ([`alibi_slopes`]).
    Alibi,
    /// A learned term for each head and each distance up to this radius; larger distances use the farthest term (Raffel
    /// et al. 2020, without their buckets).
    Learned {
        /// Farthest distance with its own term, R.
        radius: usize,
    },
}

/// Rotation of pairs of channels by angles proportional to the position (Su et al. 2021).
///
/// Formula: with θ_i = p·base^(−2i/D), the pair (x₁, x₂) becomes (x₁·cos θ − x₂·sin θ, x₂·cos θ + x₁·sin θ).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// Base of the angles, 10000 in the paper.
    pub base: f32,
    /// Which channels form a pair: 2i and 2i + 1 as in the paper, or i and i + D/2 as in later models' checkpoints.
    pub interleaved: bool,
}

impl Default for Rotary {
    /// As the paper has it.
    fn default() -> Self {
        Self { base: 10_000.0, interleaved: true }
    }
}

impl Rotary {
    /// Records the rotation of queries or keys [B, T, H, D] → the same; `max_positions` positions exist.
    ///
    /// A product with a signed permutation fetches each channel's partner: it is exact, and one kernel for both
    /// layouts. An odd D, or a position of `max_positions` or more, poisons the result.
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>, place: Place<'g>, max_positions: usize) -> Tensor<'g> {
        let (g, time, width) = (x.graph(), x.dim(1), x.dim(3));
        if !width.is_multiple_of(2) {
            return x.refused("rotary", &format!("pairs of channels need an even width, not {width}"));
        }
        // If rows may have any positions, the angles of all positions are a table.
        let table = matches!(place, Place::At(_)).then(|| max_positions.saturating_mul(width));
        if place.end(time) > max_positions || table.is_some_and(|elements| u32::try_from(elements).is_err()) {
            let end = place.end(time).saturating_sub(1);
            return x.refused("rotary", &format!("position {end} among {max_positions}"));
        }
        let waves = |of: fn(f64) -> f64| match place {
            Place::From(start) => g.literal(&[time, 1, width], self.waves(start, time, width, of)),
            Place::At(positions) => g
                .literal(&[max_positions, width], self.waves(0, max_positions, width, of))
                .gather_rows(positions)
                .reshape(&[x.dim(0), time, 1, width]),
        };
        let partners = x.reshape(&[x.shape().elements() / width.max(1), width]);
        let partners = partners.matmul(g.literal(&[width, width], self.partners(width)));
        x * waves(f64::cos) + partners.reshape(&x.shape()) * waves(f64::sin)
    }

    /// The pair that a channel belongs to, and whether it is the first of it.
    fn pair(&self, channel: usize, width: usize) -> (usize, bool) {
        if self.interleaved {
            (channel / 2, channel.is_multiple_of(2))
        } else {
            (channel % (width / 2), channel < width / 2)
        }
    }

    /// A function of the angles of positions from `start` on, [count, D].
    fn waves(&self, start: usize, count: usize, width: usize, of: fn(f64) -> f64) -> Vec<f32> {
        let angle = |position: usize, channel: usize| {
            let exponent = 2.0 * self.pair(channel, width).0 as f64 / width as f64;
            position as f64 * f64::from(self.base).powf(-exponent)
        };
        let row = |position| (0..width).map(move |channel| of(angle(position, channel)) as f32);
        (start..start.saturating_add(count)).flat_map(row).collect()
    }

    /// The matrix R [D, D] of x·R: −x₂ at the first of each pair, x₁ at the second.
    fn partners(&self, width: usize) -> Vec<f32> {
        let mut matrix = vec![0.0; width * width];
        for to in 0..width {
            let (_, first) = self.pair(to, width);
            let step = if self.interleaved { 1 } else { width / 2 };
            let from = if first { to + step } else { to - step };
            matrix[from * width + to] = if first { -1.0 } else { 1.0 };
        }
        matrix
    }
}

/// The slopes of ALiBi for n heads (Press et al. 2022): the geometric sequence from 2^(−8/n) with that ratio. If n is
/// no power of two: the sequence of the next lower power, then every second slope of the next higher one's.
///
/// ```
/// # use seqloom_nn::alibi_slopes;
/// assert_eq!(alibi_slopes(8)[..3], [0.5, 0.25, 0.125]);
/// assert_eq!(alibi_slopes(3), [0.0625, 0.00390625, 0.25]);
/// ```
#[must_use]
pub fn alibi_slopes(heads: usize) -> Vec<f32> {
    let sequence = |count: usize| (1..=count).map(move |i| (-8.0 * i as f64 / count as f64).exp2() as f32);
    let lower = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    sequence(lower).chain(sequence(2 * lower).step_by(2)).take(heads).collect()
}

/// The trained part of [`RelativePositions`] in one attention layer, and how it enters the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelativeTerms {
    kind: RelativePositions,
    table: Option<ParamId>,
    heads: usize,
}

impl RelativeTerms {
    /// Registers `relative.weight` [H, 2R+1], zeros at first, if distances are learned.
    pub fn new(params: &mut Params, kind: RelativePositions, heads: usize) -> Self {
        let table = match kind {
            RelativePositions::Learned { radius } => Some(params.scope("relative", |params| {
                params.add("weight", &[heads, radius.saturating_mul(2).saturating_add(1)], Init::Zeros)
            })),
            _ => None,
        };
        Self { kind, table, heads }
    }

    /// Queries or keys [B, T, H, D], rotated to their positions if the kind is rotary.
    #[track_caller]
    pub fn turned<'g>(&self, x: Tensor<'g>, place: Place<'g>, max_positions: usize) -> Tensor<'g> {
        match self.kind {
            RelativePositions::Rotary(rotary) => rotary.forward(x, place, max_positions),
            _ => x,
        }
    }

    /// The options with this layer's terms.
    #[track_caller]
    pub fn within<'g>(&self, x: Tensor<'g>, options: AttentionOptions<'g>) -> AttentionOptions<'g> {
        let g = x.graph();
        let slopes = (self.kind == RelativePositions::Alibi)
            .then(|| g.literal(&[self.heads], alibi_slopes(self.heads)));
        let relative = self.table.map(|table| g.param(table));
        AttentionOptions {
            slopes: slopes.or(options.slopes),
            relative: relative.or(options.relative),
            ..options
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    #[test]
    fn partners_are_a_rotation_by_a_quarter() {
        for rotary in [Rotary::default(), Rotary { interleaved: false, ..Rotary::default() }] {
            let matrix = rotary.partners(6);
            let square =
                |i: usize, j: usize| -> f32 { (0..6).map(|k| matrix[i * 6 + k] * matrix[k * 6 + j]).sum() };
            for i in 0..6 {
                for j in 0..6 {
                    assert_eq!(square(i, j), if i == j { -1.0 } else { 0.0 });
                }
            }
        }
    }

    #[test]
    fn odd_widths_and_positions_beyond_are_refused() {
        let error = |width, place: usize, max_positions| {
            let g = Graph::inference(&Params::seeded(1));
            let x = g.input("x", &[1, 2, 1, width], DType::F32);
            let _ = Rotary::default().forward(x, Place::From(place), max_positions);
            g.check().map_or_else(|e| e.to_string(), |()| String::new())
        };
        assert!(error(3, 0, 8).contains("even width"));
        assert!(error(2, 7, 8).contains("position 8 among 8"));
        assert_eq!(error(2, 6, 8), "");
        assert!(error(2, usize::MAX, 8).contains("among 8"));
        let g = Graph::inference(&Params::seeded(1));
        let x = g.input("x", &[1, 2, 1, 2], DType::F32);
        let _ = Rotary::default().forward(x, Place::At(g.ids("at", &[1, 2], 8)), usize::MAX);
        assert!(g.check().unwrap_err().to_string().contains("rotary"), "no table of all numbers");
    }
}
