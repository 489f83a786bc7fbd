//! Losses of vectors that belong together or do not.

use seqloom_graph::Tensor;

use super::reduction::LossOptions;

/// Least norm of a vector: shorter ones are divided by it (PyTorch's `eps`).
const LEAST: f32 = 1e-8;

/// a·b / (max(‖a‖, 1e-8)·max(‖b‖, 1e-8)) along the last axis (PyTorch's `cosine_similarity`).
///
/// Shapes: a and b [.., C] alike → [..].
#[track_caller]
#[must_use]
pub fn cosine_similarity<'g>(a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    (unit(a) * unit(b)).sum(-1)
}

/// l = 1 − cos(a, b) where the label is 1, max(0, cos(a, b) − margin) where it is −1 (PyTorch's `cosine_embedding_loss`).
///
/// Shapes: a and b [.., C] alike, labels [..] of f32 → scalar, or the labels' without a reduction. Others poison the result.
#[track_caller]
#[must_use]
pub fn cosine_embedding<'g>(
    a: Tensor<'g>,
    b: Tensor<'g>,
    labels: Tensor<'g>,
    margin: f32,
    options: impl Into<LossOptions<'g>>,
) -> Tensor<'g> {
    let cosine = cosine_similarity(a, b);
    if cosine.shape() != labels.shape() {
        let detail = format!("labels {:?} of pairs {:?}", labels.shape(), cosine.shape());
        return cosine.refused("cosine_embedding", &detail);
    }
    let alike = labels * 0.5 + 0.5;
    options.into().reduce(alike * (1.0 - cosine) + (1.0 - alike) * (cosine - margin).relu())
}

/// Contrastive loss of N pairs among each other (InfoNCE, van den Oord et al. 2018, in both directions as CLIP, Radford et al.
/// 2021): with s_ij = cos(a_i, b_j)/temperature, the mean over i of −ln softmax(s_i·)_i and −ln softmax(s_·i)_i.
///
/// Shapes: a and b [N, C] → scalar. Other ranks, other shapes, and a temperature that is not above 0 poison the result.
#[track_caller]
#[must_use]
pub fn contrastive<'g>(a: Tensor<'g>, b: Tensor<'g>, temperature: f32) -> Tensor<'g> {
    let name = "contrastive";
    if a.rank() != 2 || a.shape() != b.shape() {
        return (a.sum_all() + b.sum_all()).refused(name, &format!("{:?} and {:?}", a.shape(), b.shape()));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return a.refused(name, &format!("a temperature of {temperature}, it must be finite and above 0"));
    }
    let scores = unit(a).matmul_t(unit(b)) * (1.0 / temperature);
    let targets = (0..a.dim(0)).map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
    let targets = a.graph().literal_u32(&[a.dim(0)], targets);
    (scores.cross_entropy(targets, None) + scores.transpose(0, 1).cross_entropy(targets, None)) * 0.5
}

/// Vectors of length 1 along the last axis.
#[track_caller]
fn unit(x: Tensor<'_>) -> Tensor<'_> {
    // The root of a square that is not 0: that of 0 has no derivative.
    let least = x.graph().full(&[], LEAST * LEAST);
    let norm = x.square().sum(-1).maximum(least).sqrt();
    let mut kept = x.shape().to_vec();
    if let Some(last) = kept.last_mut() {
        *last = 1;
    }
    x / norm.reshape(&kept)
}
