//! Cross-entropy of rows of logits against class numbers, and its gradient.
//!
//! Both per row and unscaled: the mean over the rows that count is the graph's business.

use super::softmax::log_sum_exp;

/// Losses `[rows]` and gradients `[rows, cols]`.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// `logsumexp(row) - row[target]`, 0 for ignored rows.
    pub losses: Vec<f64>,
    /// `softmax(row) - onehot(target)`, 0 for ignored rows.
    pub dlogits: Vec<f64>,
}

/// Loss and gradient of every row; a row whose target equals `ignore` is left out of both.
pub fn cross_entropy(cols: usize, logits: &[f64], targets: &[u32], ignore: Option<u32>) -> CrossEntropy {
    let mut losses = Vec::with_capacity(targets.len());
    let mut dlogits = Vec::with_capacity(logits.len());
    for (row, &target) in logits.chunks(cols).zip(targets) {
        if Some(target) == ignore {
            losses.push(0.0);
            dlogits.extend(row.iter().map(|_| 0.0));
            continue;
        }
        let total = log_sum_exp(row);
        losses.push(total - row[target as usize]);
        for (class, value) in row.iter().enumerate() {
            dlogits.push((value - total).exp() - if class == target as usize { 1.0 } else { 0.0 });
        }
    }
    CrossEntropy { losses, dlogits }
}
