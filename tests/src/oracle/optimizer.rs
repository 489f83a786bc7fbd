//! AdamW with a global-norm clip, as PyTorch's `AdamW` after `clip_grad_norm_`.

/// The numbers of one update.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of the parameters.
    pub weight_decay: f64,
    /// Largest global norm; 0 or less means no clip.
    pub clip_norm: f64,
    /// What the loss was multiplied by, and so the gradients.
    pub loss_scale: f64,
}

/// What one update changes.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The parameters.
    pub params: Vec<f64>,
    /// First moments.
    pub m: Vec<f64>,
    /// Second moments.
    pub v: Vec<f64>,
}

/// One update in place, the `steps[i]`th of element i, so that the corrections of its moments are `1 / (1 - βᵗ)` of that t;
/// returns the norm of the unscaled gradients. A norm that is not finite changes nothing.
pub fn update(hyper: &AdamW, grads: &[f64], steps: &[i32], state: &mut State) -> f64 {
    let norm = grads.iter().map(|g| (g / hyper.loss_scale).powi(2)).sum::<f64>().sqrt();
    if !norm.is_finite() {
        return norm;
    }
    let clip = if hyper.clip_norm > 0.0 { (hyper.clip_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    for (i, &grad) in grads.iter().enumerate() {
        let correction1 = 1.0 / (1.0 - hyper.beta1.powi(steps[i]));
        let correction2 = 1.0 / (1.0 - hyper.beta2.powi(steps[i]));
        let g = grad / hyper.loss_scale * clip;
        let (m, v, p) = (&mut state.m[i], &mut state.v[i], &mut state.params[i]);
        *m = hyper.beta1 * *m + (1.0 - hyper.beta1) * g;
        *v = hyper.beta2 * *v + (1.0 - hyper.beta2) * g * g;
        *p -= hyper.lr * hyper.weight_decay * *p;
        *p -= hyper.lr * (*m * correction1) / ((*v * correction2).sqrt() + hyper.eps);
    }
    norm
}
