//! Normalisation of the rows of `[rows, cols]`, and the gradient of its operand.

/// Rows minus their mean (0 if not `centred`), divided by √(their mean square + eps), and those two numbers: (h, m, r).
pub fn normalise(cols: usize, x: &[f64], centred: bool, eps: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut h, mut means, mut rstds) = (Vec::new(), Vec::new(), Vec::new());
    for row in x.chunks(cols) {
        let mean = if centred { row.iter().sum::<f64>() / cols as f64 } else { 0.0 };
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / cols as f64;
        let rstd = 1.0 / (variance + eps).sqrt();
        h.extend(row.iter().map(|x| (x - mean) * rstd));
        means.push(mean);
        rstds.push(rstd);
    }
    (h, means, rstds)
}

/// `h·weight + bias`.
pub fn forward(cols: usize, x: &[f64], weight: &[f64], bias: Option<&[f64]>, eps: f64) -> Vec<f64> {
    let (h, ..) = normalise(cols, x, bias.is_some(), eps);
    let bias = |j: usize| bias.map_or(0.0, |bias| bias[j]);
    h.iter().enumerate().map(|(i, h)| h * weight[i % cols] + bias(i % cols)).collect()
}

/// Gradient of x, by the derivative of every output of its row: ∂h_k/∂x_j = r·((j = k) − \[centred\]/C − h_j·h_k/C).
pub fn backward(cols: usize, x: &[f64], dy: &[f64], weight: &[f64], centred: bool, eps: f64) -> Vec<f64> {
    let (h, _, rstd) = normalise(cols, x, centred, eps);
    let (count, own) = (cols as f64, if centred { 1.0 } else { 0.0 });
    let gradient = |i: usize| {
        let (row, j) = (i / cols, i % cols);
        let along = |k: usize| {
            let same = if j == k { 1.0 } else { 0.0 };
            let change = rstd[row] * (same - own / count - h[i] * h[row * cols + k] / count);
            dy[row * cols + k] * weight[k] * change
        };
        (0..cols).map(along).sum()
    };
    (0..x.len()).map(gradient).collect()
}
