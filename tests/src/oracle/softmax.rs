//! Softmax and its logarithm over the rows of `[rows, cols]`.
//!
//! The row's maximum is subtracted first. This is not for precision here, but makes the definition the same for rows
//! that hold minus infinity.

/// `out[r,c] = e^x[r,c] / Σ_j e^x[r,j]`.
pub fn softmax(cols: usize, x: &[f64]) -> Vec<f64> {
    log_softmax(cols, x).into_iter().map(f64::exp).collect()
}

/// `out[r,c] = x[r,c] - ln Σ_j e^x[r,j]`.
pub fn log_softmax(cols: usize, x: &[f64]) -> Vec<f64> {
    x.chunks(cols)
        .flat_map(|row| {
            let total = log_sum_exp(row);
            row.iter().map(move |value| value - total)
        })
        .collect()
}

/// `ln Σ_j e^row[j]`.
pub fn log_sum_exp(row: &[f64]) -> f64 {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + row.iter().map(|value| (value - top).exp()).sum::<f64>().ln()
}
