//! Losses of predicted numbers.

use seqloom_graph::Tensor;

use super::reduction::LossOptions;

/// Squared error, l = (prediction − target)² (PyTorch's `mse_loss`).
///
/// Shapes: prediction and target alike → scalar, or theirs without a reduction. Other shapes, and weights that do not stretch to
/// them, poison the result.
#[track_caller]
#[must_use]
pub fn mse<'g>(
    prediction: Tensor<'g>,
    target: Tensor<'g>,
    options: impl Into<LossOptions<'g>>,
) -> Tensor<'g> {
    options.into().reduce(difference("mse", prediction, target).square())
}

/// Absolute error, l = |prediction − target| (PyTorch's `l1_loss`).
///
/// Shapes and errors as [`mse`].
#[track_caller]
#[must_use]
pub fn mae<'g>(
    prediction: Tensor<'g>,
    target: Tensor<'g>,
    options: impl Into<LossOptions<'g>>,
) -> Tensor<'g> {
    options.into().reduce(difference("mae", prediction, target).abs())
}

/// Squared error where it is small and absolute where it is large (Huber 1964; PyTorch's `huber_loss`): with
/// d = |prediction − target|, l = d²/2 up to `delta`, beyond it delta·(d − delta/2).
///
/// Shapes and errors as [`mse`]; a `delta` that is not above 0 poisons the result too.
#[track_caller]
#[must_use]
pub fn huber<'g>(
    prediction: Tensor<'g>,
    target: Tensor<'g>,
    delta: f32,
    options: impl Into<LossOptions<'g>>,
) -> Tensor<'g> {
    let distance = difference("huber", prediction, target).abs();
    if !(delta > 0.0 && delta.is_finite()) {
        return distance.refused("huber", &format!("delta is {delta}, it must be finite and above 0"));
    }
    let small = distance.minimum(distance.graph().full(&[], delta));
    options.into().reduce(small * (distance - small * 0.5))
}

/// The prediction's distance to the target. Broadcasting would hide a mistake: [B, 1] against [B] gives B² differences.
#[track_caller]
fn difference<'g>(name: &'static str, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
    let (has, wants) = (prediction.shape(), target.shape());
    if has == wants {
        return prediction - target;
    }
    (prediction + target.sum_all()).refused(name, &format!("a prediction {has:?} against a target {wants:?}"))
}
