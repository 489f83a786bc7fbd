//! Matrix products, batched, with either operand stored transposed.
//!
//! It is the triple loop in its textbook order. Strides are derived from the flags, so one function states all four
//! layouts of the kernels.

/// A product `out[z] = A[z]·B[z]` with `A` M×K and `B` K×N.
#[derive(Clone, Copy, Debug)]
pub struct Matmul {
    /// Number of products.
    pub batch: usize,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the summed axis.
    pub k: usize,
    /// `A` is stored `[K, M]`.
    pub trans_a: bool,
    /// `B` is stored `[N, K]`.
    pub trans_b: bool,
    /// Every product has its own `A`; otherwise all share one.
    pub a_batched: bool,
    /// Every product has its own `B`; otherwise all share one.
    pub b_batched: bool,
}

/// `out[z,i,j] = Σ_p A[z,i,p]·B[z,p,j]`, `out` being `[batch, M, N]`.
pub fn matmul(problem: &Matmul, a: &[f64], b: &[f64]) -> Vec<f64> {
    let Matmul { batch, m, n, k, trans_a, trans_b, a_batched, b_batched } = *problem;
    let mut out = Vec::with_capacity(batch * m * n);
    for z in 0..batch {
        let a = if a_batched { &a[z * m * k..] } else { a };
        let b = if b_batched { &b[z * k * n..] } else { b };
        for i in 0..m {
            for j in 0..n {
                let term = |p: usize| {
                    let left = if trans_a { a[p * m + i] } else { a[i * k + p] };
                    let right = if trans_b { b[j * k + p] } else { b[p * n + j] };
                    left * right
                };
                out.push((0..k).map(term).sum());
            }
        }
    }
    out
}
