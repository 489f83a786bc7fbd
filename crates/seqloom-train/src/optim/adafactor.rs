//! Adafactor: a second moment of a matrix that is kept as a row and a column.

use seqloom_graph::{Axes, BadSetting, Kept, Optimizer, Step, Tensor};

use super::adam::decayed;
use super::settings::{checked, from_zero, positive};

/// Adafactor (Shazeer & Stern 2018; PyTorch's `Adafactor`).
///
/// ```text
/// βt ← 1 − t^beta2_decay              ρ ← min(lr, 1/√t)          α ← max(eps2, rms(p))·ρ
/// p ← p − lr·weight_decay·p
/// of matrices: r ← βt·r + (1−βt)·mean of g² along rows      c ← the same along columns
///              v ← r·cᵀ / max(mean r, eps1)
/// of vectors:  v ← βt·v + (1−βt)·g²
/// u ← g / √max(v, eps1²)              p ← p − α·u / max(1, rms(u)/d)
/// ```
///
/// rms is the root of the mean square. States: `row_var` and `col_var` of a parameter of two or more dimensions, factored over the
/// last two; `variance` of others. So a matrix of R·C elements keeps R + C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adafactor {
    /// Most of the relative step size, before the schedule's factor.
    pub lr: f64,
    /// Exponent of t in the decay; at most 0.
    pub beta2_decay: f64,
    /// Least root of the second moment, and least mean of its rows; above 0.
    pub eps1: f64,
    /// Least size of a parameter that a step is relative to; at least 0.
    pub eps2: f64,
    /// Largest root mean square of a step; at least 1.
    pub d: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for Adafactor {
    /// PyTorch's.
    fn default() -> Self {
        let eps1 = f64::from(f32::EPSILON);
        Self { lr: 1e-2, beta2_decay: -0.8, eps1, eps2: 1e-3, d: 1.0, weight_decay: 0.0 }
    }
}

impl Optimizer for Adafactor {
    fn name(&self) -> &'static str {
        "adafactor"
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        let Some((rows, columns)) = factors(shape) else { return vec![Kept::new("variance", shape)] };
        vec![Kept::new("row_var", &rows), Kept::new("col_var", &columns)]
    }

    fn check(&self) -> Result<(), BadSetting> {
        let to_zero = |value: f64| (!(value <= 0.0 && value.is_finite())).then_some("finite and at most 0");
        let from_one =
            |value: f64| (!(value >= 1.0 && (value as f32).is_finite())).then_some("finite and at least 1");
        checked(&[
            ("Adafactor.lr", self.lr, from_zero),
            ("Adafactor.beta2_decay", self.beta2_decay, to_zero),
            ("Adafactor.eps1", self.eps1, positive),
            ("Adafactor.eps2", self.eps2, from_zero),
            ("Adafactor.d", self.d, from_one),
            ("Adafactor.weight_decay", self.weight_decay, from_zero),
        ])
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let [eps1, eps2, d] = [self.eps1, self.eps2, self.d].map(|setting| setting as f32);
        let (g, t) = (step.grad(), step.count());
        let new = (t.ln() * self.beta2_decay as f32).exp();
        let rate = step.lr().minimum(t.sqrt().recip());
        let alpha = at_least(rms(step.param()), eps2) * rate;
        // a + new·(b − a) is exact at the first update, where new is 1.
        let taken_in = |state: &str, value: Tensor<'g>| {
            let old = step.state(state);
            let next = old + new * (value - old);
            step.keep(state, next);
            next
        };
        let second = if factors(&g.shape()).is_some() {
            let squares = g * g;
            let rows = taken_in("row_var", squares.mean(Axes::kept(-1)));
            let columns = taken_in("col_var", squares.mean(Axes::kept(-2)));
            rows * columns / at_least(rows.mean(Axes::kept(-2)), eps1)
        } else {
            taken_in("variance", g * g)
        };
        let change = g / at_least(second, eps1 * eps1).sqrt();
        let too_large = at_least(rms(change) / d, 1.0);
        decayed(step, self.weight_decay) - alpha / too_large * change
    }
}

/// The shapes of the row's and the column's means of a parameter that has both.
fn factors(shape: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
    let (&[rows, columns], leading) = shape.split_last_chunk().map(|(leading, last)| (last, leading))?;
    Some(([leading, &[rows, 1]].concat(), [leading, &[1, columns]].concat()))
}

/// The greater of each element and a number.
pub(super) fn at_least(x: Tensor<'_>, least: f32) -> Tensor<'_> {
    x.clamp(least, f32::INFINITY)
}

/// The root of the mean square.
fn rms(x: Tensor<'_>) -> Tensor<'_> {
    (x * x).mean_all().sqrt()
}
