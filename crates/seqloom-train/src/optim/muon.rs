//! Muon: momentum whose matrices are made orthogonal.

use seqloom_graph::{BadSetting, Kept, Optimizer, Step, Tensor};

use super::adafactor::at_least;
use super::adam::{decayed, moments, ratio};
use super::settings::{checked, decay, from_zero, positive};

/// Coefficients of the quintic Newton–Schulz iteration (Jordan 2024).
const COEFFICIENTS: [f32; 3] = [3.4445, -4.775, 2.0315];

/// Muon for matrices, AdamW for everything else (Jordan et al. 2024; for matrices PyTorch's `Muon`).
///
/// ```text
/// b ← momentum·b + (1−momentum)·g           u ← (1−momentum)·g + momentum·b if nesterov, else b
/// x ← u / max(‖u‖, eps), transposed if it has more rows than columns
/// steps times: a ← x·xᵀ        x ← 3.4445·x + (−4.775·a + 2.0315·a·a)·x
/// p ← p − lr·weight_decay·p − lr·√max(1, rows/columns)·x
/// ```
///
/// States: `momentum_buffer`, b, of a parameter of two dimensions. Others are [`super::adam::AdamW`]'s with the same weight decay
/// and the same learning rate times `adam_lr`: keep `m` and `v`. PyTorch computes the iteration in bfloat16, this in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Muon {
    /// Learning rate of matrices, before the schedule's factor.
    pub lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the running mean of gradients, from 0 to below 1.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// Least norm that a matrix is divided by; above 0.
    pub eps: f64,
    /// Newton–Schulz iterations, 1 to 99.
    pub ns_steps: u32,
    /// The learning rate of other parameters over that of matrices.
    pub adam_lr: f64,
    /// Decays of the moments of other parameters, each from 0 to below 1.
    pub adam_betas: [f64; 2],
    /// Added to their denominator; above 0.
    pub adam_eps: f64,
}

impl Default for Muon {
    /// PyTorch's for matrices, and AdamW's for the rest.
    fn default() -> Self {
        Self {
            lr: 1e-3,
            weight_decay: 0.1,
            momentum: 0.95,
            nesterov: true,
            eps: 1e-7,
            ns_steps: 5,
            adam_lr: 1.0,
            adam_betas: [0.9, 0.999],
            adam_eps: 1e-8,
        }
    }
}

impl Optimizer for Muon {
    fn name(&self) -> &'static str {
        "muon"
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        if is_matrix(shape) { vec![Kept::new("momentum_buffer", shape)] } else { moments(shape) }
    }

    fn decays(&self) -> [f64; 2] {
        self.adam_betas
    }

    fn check(&self) -> Result<(), BadSetting> {
        let steps = |value| (!(1.0..=99.0).contains(&value)).then_some("1 to 99");
        checked(&[
            ("Muon.lr", self.lr, from_zero),
            ("Muon.weight_decay", self.weight_decay, from_zero),
            ("Muon.momentum", self.momentum, decay),
            ("Muon.eps", self.eps, positive),
            ("Muon.ns_steps", f64::from(self.ns_steps), steps),
            ("Muon.adam_lr", self.adam_lr, from_zero),
            ("Muon.adam_betas", self.adam_betas[0], decay),
            ("Muon.adam_betas", self.adam_betas[1], decay),
            ("Muon.adam_eps", self.adam_eps, positive),
        ])
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let g = step.grad();
        if !is_matrix(&g.shape()) {
            let step = &step.with_lr(step.lr() * self.adam_lr as f32);
            let change = ratio(step, g, [self.adam_betas[0], self.adam_betas[1], self.adam_eps]);
            return decayed(step, self.weight_decay) - change;
        }
        let momentum = self.momentum as f32;
        let old = step.state("momentum_buffer");
        let buffer = old * momentum + g * (1.0 - momentum);
        step.keep("momentum_buffer", buffer);
        let direction = if self.nesterov { g * (1.0 - momentum) + buffer * momentum } else { buffer };
        let tall = (g.dim(0) as f64 / g.dim(1).max(1) as f64).max(1.0).sqrt() as f32;
        decayed(step, self.weight_decay) - step.lr() * tall * self.orthogonal(direction)
    }
}

impl Muon {
    /// The orthogonal matrix near this one, about: its singular values come to lie between 0.7 and 1.2.
    fn orthogonal<'g>(&self, u: Tensor<'g>) -> Tensor<'g> {
        let [a, b, c] = COEFFICIENTS;
        let tall = u.dim(0) > u.dim(1);
        let norm = at_least((u * u).sum_all().sqrt(), self.eps as f32);
        let mut x = if tall { u.transpose(0, 1) } else { u } / norm;
        for _ in 0..self.ns_steps {
            let gram = x.matmul_t(x);
            let change = gram.matmul(gram) * c + gram * b;
            x = change.matmul(x) + x * a;
        }
        if tall { x.transpose(0, 1) } else { x }
    }
}

/// A parameter that is a matrix with elements.
fn is_matrix(shape: &[usize]) -> bool {
    shape.len() == 2 && !shape.contains(&0)
}
