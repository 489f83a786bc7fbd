//! The memory that a program's plan allocates: results written over an operand, and the one buffer of a model's logits.

use seqloom_device::Device;
use seqloom_graph::{CrossEntropyOptions, HostTensor, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::device;
use seqloom_tests::mid_graph::wave;

const ROWS: usize = 48;
const CLASSES: usize = 1000;
const LOGITS: u64 = (4 * ROWS * CLASSES) as u64;

const OPTIONS: CrossEntropyOptions = CrossEntropyOptions { ignore_index: Some(7), label_smoothing: 0.1 };

/// A head with a bias and its loss; `ask` names tensors to read as well.
fn head(device: &Device, ask: impl for<'g> Fn(Tensor<'g>) -> Vec<Tensor<'g>>) -> Case {
    let targets =
        HostTensor::u32(&[ROWS], (0..ROWS as u32).map(|i| i * 31 % CLASSES as u32).collect()).unwrap();
    let operands = [wave(&[ROWS, 8], 0), wave(&[CLASSES, 8], 1), wave(&[CLASSES], 2), targets];
    Case::compile(device, &operands, |_, x| {
        let logits = x[0].matmul_t(x[1]) + x[2];
        Recorded { outputs: ask(logits), loss: logits.cross_entropy(x[3], OPTIONS) }
    })
}

#[test]
fn logits_and_their_gradient_are_one_buffer() {
    for device in [device::shared(), device::shared_as_gpu()] {
        let lean = head(&device, |_| vec![]);
        let slots = lean.program().memory().slots;
        // One buffer of that size, and what else there is: statistics of the rows, and parts of the bias' gradient.
        assert!(
            slots < LOGITS * 3 / 2,
            "{slots} bytes of slots, logits are {LOGITS}\n{}",
            lean.program().explain()
        );

        // Where others read the logits, the gradient has a buffer of its own, and is the same.
        let wide = head(&device, |logits| vec![logits]);
        let memory = wide.program().memory();
        assert!(
            memory.slots >= LOGITS && memory.outputs >= LOGITS,
            "{memory:?}\n{}",
            wide.program().explain()
        );
        assert_eq!(lean.loss(), wide.loss());
        for (lean, wide) in lean.gradients().iter().zip(wide.gradients()) {
            assert_same_bits("gradient", lean, &wide);
        }
        // The second run meets what the first one left in the buffer.
        let (first, gradients) = (lean.loss(), lean.gradients());
        assert_eq!(first, lean.loss());
        for (again, gradient) in lean.gradients().iter().zip(&gradients) {
            assert_same_bits("second run", again, gradient);
        }
    }
}

/// The logits are not written over while a later pass, or the reader of an output, wants them.
#[test]
fn what_is_read_later_is_kept() {
    let device = device::shared();
    let case = head(&device, |logits| vec![logits, logits.softmax(), logits.max(1)]);
    let plain = head(&device, |logits| vec![logits * 1.0]);
    let _ = (case.loss(), plain.loss());
    let (outputs, logits) = (case.outputs(), plain.outputs().remove(0));
    assert_same_bits("logits", &outputs[0], &logits);
    for (row, top) in logits.chunks(CLASSES).zip(&outputs[2]) {
        assert_eq!(row.iter().copied().fold(f32::MIN, f32::max), *top);
    }
    for row in outputs[1].chunks(CLASSES) {
        assert_close("a sum", &[row.iter().sum()], &[1.0], Tolerance { abs: 1e-4, rel: 0.0 });
    }
}

/// A product and the pass over it, bias and activation, each lie in memory on a CPU adapter: in one place, since the pass alone
/// reads the product.
#[test]
fn a_pass_over_a_dying_operand_takes_its_place() {
    let size = 64;
    let case = Case::compile(&device::shared(), &[wave(&[size, size], 0), wave(&[size], 1)], |g, x| {
        let given = g.literal(&[size, size], (0..size * size).map(|i| (i as f32 * 0.37).sin()).collect());
        let hidden = (given.matmul_t(x[0]) + x[1]).tanh();
        Recorded { outputs: vec![hidden.matmul_t(given)], loss: x[1].sum_all() }
    });
    let slots = case.program().memory().slots;
    let one = 4 * (size * size) as u64;
    // The last product is an output.
    assert!(slots < one * 3 / 2, "{slots} bytes, a matrix has {one}\n{}", case.program().explain());
    let _ = case.loss();
}
