//! Cross-entropy of rows of logits against class numbers, and its gradient.
//!
//! Both are per row and unscaled; the graph takes the mean over the rows that count.

use super::softmax::log_sum_exp;

/// What is asked of the rows `[rows, cols]`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Number of classes.
    pub cols: usize,
    /// Target of rows that are left out.
    pub ignore: Option<u32>,
    /// Share of the target's weight that all classes divide among them.
    pub smoothing: f64,
}

/// Losses `[rows]` and gradients `[rows, cols]`.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// `−Σ_v w_v·(row[v] − logsumexp(row))` with `w = (1 − s)·onehot(target) + s/cols`, 0 for ignored rows.
    pub losses: Vec<f64>,
    /// `softmax(row) − w`, 0 for ignored rows.
    pub dlogits: Vec<f64>,
}

/// Loss and gradient of every row; a row whose target is to be ignored is left out of both.
pub fn cross_entropy(options: Options, logits: &[f64], targets: &[u32]) -> CrossEntropy {
    let Options { cols, ignore, smoothing } = options;
    let mut losses = Vec::with_capacity(targets.len());
    let mut dlogits = Vec::with_capacity(logits.len());
    for (row, &target) in logits.chunks(cols).zip(targets) {
        if Some(target) == ignore {
            losses.push(0.0);
            dlogits.extend(row.iter().map(|_| 0.0));
            continue;
        }
        let total = log_sum_exp(row);
        let weight = |class: usize| {
            let hit = if class == target as usize { 1.0 - smoothing } else { 0.0 };
            hit + smoothing / cols as f64
        };
        losses.push(row.iter().enumerate().map(|(class, x)| weight(class) * (total - x)).sum());
        dlogits.extend(row.iter().enumerate().map(|(class, x)| (x - total).exp() - weight(class)));
    }
    CrossEntropy { losses, dlogits }
}
