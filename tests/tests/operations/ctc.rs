//! Connectionist temporal classification as users call it: values against the oracle, tensors without steps, labels or
//! sequences, a NaN among the chances, and what is refused.

use seqloom_graph::{
    Control, CtcOptions, DType, Graph, GraphError, HostTensor, ParamStore, Params, Program, Request,
    StoreKind, Tensor,
};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::device;
use seqloom_tests::mid_graph::{ids, tensor, wave};
use seqloom_tests::oracle::operations_ctc as oracle;

use crate::oracles::{check, host, numbers};

const PLAIN: CtcOptions = CtcOptions { blank: 0, zero_infinity: false };

fn ctc<'g>(x: &[Tensor<'g>]) -> Tensor<'g> {
    x[0].ctc(x[1], x[2], x[3], PLAIN)
}

#[test]
fn losses() {
    // Chances need not add up to 1.
    let log_probs = numbers(&[3, 9, 5], 3);
    let (targets, steps, labels) = ([1, 2, 2, 4, 3, 1, 1, 1, 1], [9, 6, 5], [3, 1, 3]);
    for blank in [0, 3] {
        let want = oracle::ctc(&log_probs, &targets, &steps, &labels, blank);
        let operands = [host(&log_probs), ids(&[3, 3], &targets), ids(&[3], &steps), ids(&[3], &labels)];
        let options = CtcOptions { blank: blank as u32, ..PLAIN };
        check(&operands, |x| vec![x[0].ctc(x[1], x[2], x[3], options)], &[(want.shape.clone(), want.data)]);
    }
}

/// The losses of [2, T, 3] chances, all 0, and the gradient of their sum.
fn of_zeros(time: usize, targets: &HostTensor, steps: [u32; 2], labels: [u32; 2]) -> (Vec<f32>, Vec<f32>) {
    let operands = [tensor(&[2, time, 3], |_| 0.0), targets.clone(), ids(&[2], &steps), ids(&[2], &labels)];
    let case = Case::compile(&device::shared(), &operands, |_, x| {
        let losses = ctc(x);
        Recorded { outputs: vec![losses], loss: losses.sum_all() }
    });
    let _ = case.loss();
    (case.outputs().remove(0), case.gradients().remove(0))
}

#[test]
fn of_nothing() {
    let (losses, gradient) = of_zeros(0, &ids(&[2, 1], &[1, 2]), [0, 0], [0, 1]);
    assert_eq!((losses, gradient), (vec![0.0, f32::INFINITY], vec![]));
    // No targets at all: every step is a blank.
    let (losses, gradient) = of_zeros(2, &ids(&[2, 0], &[]), [2, 1], [0, 0]);
    assert_eq!(losses, [0.0, 0.0]);
    assert_eq!(gradient, [-1.0, 0.0, 0.0, -1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let nobody = [tensor(&[0, 4, 3], |_| 0.0), ids(&[0, 2], &[]), ids(&[0], &[]), ids(&[0], &[])];
    let case = Case::compile(&device::shared(), &nobody, |_, x| Recorded {
        outputs: vec![ctc(x)],
        loss: ctc(x).sum_all(),
    });
    assert_eq!(case.loss(), 0.0);
    assert_eq!((case.outputs(), case.gradients()), (vec![vec![]], vec![vec![]]));
}

#[test]
fn a_nan_is_lost_with_its_sequence_alone() {
    // Of the class 4, which no target has, nothing is read.
    for (class, lost) in [(2, true), (0, true), (4, false)] {
        let log_probs = tensor(&[2, 4, 5], |k| if k == 5 + class { f32::NAN } else { -1.0 });
        let operands = [log_probs, ids(&[2, 2], &[1, 2, 2, 3]), ids(&[2], &[4, 4]), ids(&[2], &[2, 2])];
        for device in [device::shared(), device::shared_as_gpu()] {
            let case = Case::compile(&device, &operands, |_, x| {
                let losses = ctc(x);
                Recorded { outputs: vec![losses], loss: losses.sum_all() }
            });
            let _ = case.loss();
            let losses = case.outputs().remove(0);
            assert_eq!([losses[0].is_nan(), losses[1].is_nan()], [lost, false], "{class}: {losses:?}");
            let gradient = case.gradients().remove(0);
            assert_eq!(gradient[..20].iter().any(|g| g.is_nan()), lost, "{class}: {gradient:?}");
            assert!(gradient[20..].iter().all(|g| g.is_finite()), "{class}: {gradient:?}");
        }
    }
}

/// Runs it over one sequence of 3 steps with a target of 2 labels of 4 classes.
fn fed(targets: [u32; 2], steps: u32, labels: u32) -> Result<f32, GraphError> {
    let params = Params::seeded(0);
    let g = Graph::inference(&params);
    let log_probs = g.feed("x", &wave(&[1, 3, 4], 0));
    let given = ["targets", "steps", "labels"].map(|name| {
        let shape: &[usize] = if name == "targets" { &[1, 2] } else { &[1] };
        g.input(name, shape, DType::U32)
    });
    let losses = log_probs.ctc(given[0], given[1], given[2], PLAIN);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference)?;
    let outputs = [("losses", losses)];
    let program = Program::compile(&store, &g, Request { outputs: &outputs, ..Request::default() })?;
    let (x, targets) = (wave(&[1, 3, 4], 0), ids(&[1, 2], &targets));
    let (steps, labels) = (ids(&[1], &[steps]), ids(&[1], &[labels]));
    let inputs = [("x", &x), ("targets", &targets), ("steps", &steps), ("labels", &labels)];
    program.run(&inputs, &Control::default())?;
    Ok(program.read("losses")?.wait()?[0])
}

#[test]
fn targets_and_lengths_are_checked_on_the_host() {
    assert!(fed([1, 2], 3, 2).unwrap().is_finite());
    for (run, named, worst, most) in [
        (fed([1, 4], 3, 2), "targets", 4, 3),
        (fed([1, 2], 4, 2), "steps", 4, 3),
        (fed([1, 2], 3, 3), "labels", 3, 2),
    ] {
        match run {
            Err(GraphError::OutOfRange { name, value, high, .. }) => {
                assert_eq!((name.as_str(), value, high), (named, worst, most));
            }
            other => panic!("{named}: {other:?}"),
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |log_probs: &[usize], targets: &[usize], lengths: [usize; 2], blank: u32, words: &str| {
        let g = Graph::inference(&Params::seeded(0));
        let of = |name: &str, shape: &[usize]| g.input(name, shape, DType::U32);
        let [steps, labels] = lengths;
        let options = CtcOptions { blank, ..PLAIN };
        let loss =
            g.full(log_probs, 0.0).ctc(of("t", targets), of("s", &[steps]), of("l", &[labels]), options);
        assert!(loss.is_poisoned());
        let message = g.check().unwrap_err().to_string();
        assert!(message.contains("ctc") && message.contains(words), "{message}: no {words:?}");
    };
    refused(&[2, 3], &[2, 2], [2, 2], 0, "log_probs [B, T, V]");
    refused(&[2, 3, 4], &[2], [2, 2], 0, "targets [B, S]");
    refused(&[2, 3, 4], &[3, 2], [2, 2], 0, "targets [B, S]");
    refused(&[2, 3, 4], &[2, 2], [3, 2], 0, "lengths [B]");
    refused(&[2, 3, 4], &[2, 2], [2, 1], 0, "lengths [B]");
    refused(&[2, 3, 4], &[2, 2], [2, 2], 4, "blank = 4");
    refused(&[2, 3, 0], &[2, 2], [2, 2], 0, "blank = 0 is none of 0 classes");
}
