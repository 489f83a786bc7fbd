//! An operation in the middle of a graph, and the check of its gradient there by finite differences of the loss.
//!
//! Each operand is a parameter times a second parameter that broadcasts, and the outputs end in a weighted sum of a
//! nonlinear function. So the rule under test receives a gradient that is neither 1 nor constant, and must pass one on
//! that others use. Tested as the last operation of a graph, a rule can hide a factor that it drops. [`crate::stencil`]
//! says how the comparison is made and how exact it is.

use seqloom_device::Device;
use seqloom_graph::{Graph, HostData, HostTensor, Tensor};

use crate::case::{Case, Recorded};
use crate::device;
use crate::stencil::check_gradients;

/// Checks `operation` over `operands`; those of u32 are handed on as they are.
///
/// # Panics
/// Naming the operand and both derivatives, if they differ.
pub fn check(operands: &[HostTensor], operation: impl for<'g> Fn(&[Tensor<'g>]) -> Vec<Tensor<'g>>) {
    check_on(&device::shared(), operands, operation);
}

/// [`check`] on a device of the caller's choice.
///
/// # Panics
/// As [`check`].
pub fn check_on(
    device: &Device,
    operands: &[HostTensor],
    operation: impl for<'g> Fn(&[Tensor<'g>]) -> Vec<Tensor<'g>>,
) {
    let mut all = Vec::new();
    for (i, operand) in operands.iter().enumerate() {
        all.push(operand.clone());
        if matches!(operand.data(), HostData::F32(_)) {
            let last = *operand.shape().last().unwrap();
            all.push(tensor(&[last], |k| factor(i, k)));
        }
    }
    let case = Case::compile(device, &all, |g, leaves| {
        let mut leaves = leaves.iter();
        let mut inputs = Vec::new();
        for operand in operands {
            let leaf = *leaves.next().unwrap();
            inputs.push(match operand.data() {
                HostData::F32(_) => leaf * *leaves.next().unwrap(),
                _ => leaf,
            });
        }
        Recorded { outputs: vec![], loss: nonlinear_sum(g, &operation(&inputs)) }
    });
    let values: Vec<Vec<f32>> = all
        .iter()
        .filter_map(|t| match t.data() {
            HostData::F32(values) => Some(values.clone()),
            _ => None,
        })
        .collect();
    check_gradients(&case, &values);
}

/// What column `column` of operand `operand` is multiplied with: 0.8 to 1.2.
fn factor(operand: usize, column: usize) -> f32 {
    1.0 + 0.2 * ((column + operand) as f32 * 2.1).cos()
}

/// Operand 0 whose element k is `value(k)` when the operation under test receives it, for functions with jumps.
///
/// # Panics
/// As [`tensor`].
pub fn received(shape: &[usize], value: impl Fn(usize) -> f32) -> HostTensor {
    tensor(shape, |k| value(k) / factor(0, k % shape[shape.len() - 1]))
}

/// Σ w·(y + y²/2) over the elements y of all outputs, with weights w of both signs.
fn nonlinear_sum<'g>(g: &'g Graph, outputs: &[Tensor<'g>]) -> Tensor<'g> {
    let mut sum = g.full(&[], 0.0);
    for (i, output) in outputs.iter().enumerate() {
        let shape = output.shape();
        let weights = (0..shape.elements()).map(|k| 0.7 + ((k + 3 * i) as f32 * 1.9).sin()).collect();
        sum = sum + ((*output + output.square() * 0.5) * g.literal(&shape, weights)).sum_all();
    }
    sum
}

/// A tensor whose element k, in row-major order, is `value(k)`.
///
/// # Panics
/// If the shape has more than six dimensions.
pub fn tensor(shape: &[usize], value: impl Fn(usize) -> f32) -> HostTensor {
    HostTensor::f32(shape, (0..shape.iter().product()).map(value).collect()).unwrap()
}

/// Values of both signs up to 1; `salt` makes another sequence.
#[must_use]
pub fn wave(shape: &[usize], salt: usize) -> HostTensor {
    tensor(shape, |k| ((k * 7 + salt * 13) as f32 * 1.3).sin())
}

/// Ids or lengths.
///
/// # Panics
/// If they do not fill the shape.
#[must_use]
pub fn ids(shape: &[usize], values: &[u32]) -> HostTensor {
    HostTensor::u32(shape, values.to_vec()).unwrap()
}
