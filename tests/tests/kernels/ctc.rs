//! CTC: losses and gradients against the oracle, with short and long targets, every kind of length, and walks of several launches.

use seqloom_device::Facts;
use seqloom_kernels::KernelError;
use seqloom_kernels::ctc::{self, Problem};
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::executor::{Executor, Feed, narrow, random, random_ids};
use seqloom_tests::oracle::{ctc as oracle, softmax, widen};

/// A loss is a logarithm of some hundred; the logarithms of the walks have its rounding, of 6e-8 of it for each step.
const LOSSES: Tolerance = Tolerance { abs: 2e-5, rel: 2e-6 };
/// Shares of one step in a chance, of size 1 at most, which the last steps' rounding changes by some 1e-5.
const GRADIENTS: Tolerance = Tolerance { abs: 4e-5, rel: 2e-5 };

struct Batch {
    problem: Problem,
    log_probs: Vec<f32>,
    targets: Vec<u32>,
    input_lengths: Vec<u32>,
    target_lengths: Vec<u32>,
}

impl Batch {
    /// Random chances and targets, the sequences `lengths` long: steps and labels of each.
    fn new([time, labels, classes]: [usize; 3], blank: u32, lengths: &[(u32, u32)]) -> Self {
        let batch = lengths.len();
        let scores: Vec<f64> =
            random(5, batch * time * classes).iter().map(|x| f64::from(*x) * 3.0).collect();
        // Other classes than the blank.
        let label = |id: u32| if id >= blank { id + 1 } else { id };
        Self {
            problem: Problem { batch, time, labels, classes, blank, zero_infinity: false },
            log_probs: narrow(&softmax::log_softmax(classes, &scores)),
            targets: random_ids(6, batch * labels, classes - 1).into_iter().map(label).collect(),
            input_lengths: lengths.iter().map(|length| length.0).collect(),
            target_lengths: lengths.iter().map(|length| length.1).collect(),
        }
    }

    /// Rows and target of a sequence.
    fn sequence(&self, b: usize) -> (Vec<f64>, Vec<usize>) {
        let Problem { time, labels, classes, .. } = self.problem;
        let rows = &self.log_probs[b * time * classes..][..self.input_lengths[b] as usize * classes];
        let target = &self.targets[b * labels..][..self.target_lengths[b] as usize];
        (widen(rows), target.iter().map(|&label| label as usize).collect())
    }

    fn want(&self) -> Vec<f64> {
        let Problem { classes, blank, .. } = self.problem;
        (0..self.problem.batch)
            .map(|b| {
                let (rows, target) = self.sequence(b);
                oracle::loss(classes, blank as usize, &rows, &target)
            })
            .collect()
    }

    /// Losses and gradients; those of the losses are `dlosses`.
    fn run(&self, executor: &Executor, facts: &Facts, dlosses: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Problem { batch, time, labels, classes, .. } = self.problem;
        let alphas = batch * time * (2 * labels + 1);
        let mut ins = vec![
            (&self.log_probs).into(),
            (&self.targets).into(),
            (&self.input_lengths).into(),
            (&self.target_lengths).into(),
        ];
        let forward = ctc::lower_forward(&self.problem, facts).unwrap();
        let feed = Feed { ins: ins.clone(), outs: vec![batch, alphas], ..Feed::default() };
        let ran = executor.run(&forward, &feed);
        let (losses, alphas) = (ran.out(0), ran.out(1));
        let unwritten = alphas.iter().position(|alpha| !alpha.is_finite());
        assert_eq!(unwritten, None, "every element is written: {:?}, {:?}", self.problem, facts.kind);
        ins.extend([(&alphas).into(), dlosses.into()]);
        let backward = ctc::lower_backward(&self.problem, facts).unwrap();
        let feed = Feed { ins, outs: vec![batch * time * classes], ..Feed::default() };
        (losses, executor.run(&backward, &feed).out(0))
    }

    /// Against the oracle; the gradient where `gradients`.
    fn check(&self, name: &str, executor: &Executor, facts: &Facts, gradients: bool) {
        let Problem { batch, time, classes, blank, .. } = self.problem;
        let dlosses: Vec<f32> = (0..batch).map(|b| 1.0 - 0.4 * b as f32).collect();
        let (losses, got) = self.run(executor, facts, &dlosses);
        let name = format!("{:?} {name}", self.problem);
        assert_close(&name, &losses, &narrow(&self.want()), LOSSES);
        for b in (0..batch).filter(|_| gradients) {
            let (rows, target) = self.sequence(b);
            let got = &got[b * time * classes..][..time * classes];
            if losses[b].is_infinite() {
                assert!(got[..rows.len()].iter().all(|g| g.is_nan()), "{name}: {got:?}");
                assert!(got[rows.len()..].iter().all(|&g| g == 0.0), "{name}: {got:?}");
                continue;
            }
            let mut want = oracle::gradient(classes, blank as usize, &rows, &target);
            want.iter_mut().for_each(|g| *g *= f64::from(dlosses[b]));
            want.resize(time * classes, 0.0);
            assert_close(&format!("gradient {b} of {name}"), got, &narrow(&want), GRADIENTS);
        }
    }
}

#[test]
fn losses_and_gradients() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (sizes, blank, lengths) in [
            ([1, 1, 2], 0, &[(1, 1), (1, 0), (0, 0), (0, 1)][..]),
            // One class alone, the blank: an empty target is certain.
            ([7, 3, 5], 4, &[(7, 3), (7, 0), (4, 3), (2, 3), (1, 1)]),
            ([12, 5, 3], 1, &[(12, 5), (9, 4), (12, 1)]),
            ([40, 20, 6], 0, &[(40, 13), (38, 20)]),
            // More states than a workgroup has invocations.
            ([90, 70, 4], 2, &[(90, 35), (60, 70)]),
        ] {
            Batch::new(sizes, blank, lengths).check(kind, &executor, &facts, true);
        }
    }
}

#[test]
fn many_classes_and_more_states_than_the_widest_workgroup() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        Batch::new([300, 140, 700], 3, &[(300, 140), (300, 9)]).check(kind, &executor, &facts, false);
    }
}

/// All labels of one class: the longest chain, and a blank between each two.
#[test]
fn a_target_of_one_class() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        let mut batch = Batch::new([19, 10, 4], 0, &[(19, 10), (18, 10), (19, 9)]);
        batch.targets.fill(2);
        batch.check(kind, &executor, &facts, true);
    }
}

/// Chances of thousands of steps: loss and gradient keep their digits.
#[test]
fn long_sequences() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        // llvmpipe leaves the loops of an invocation after 65,535 iterations, and a GPU's kernel does not know; that of a CPU
        // adapter walks this in three launches.
        let time = if facts.is_cpu() { 9000 } else { 1000 };
        let batch = Batch::new([time, 40, 5], 0, &[(time as u32, 40), (1000, 25)]);
        let launches = ctc::lower_forward(&batch.problem, &facts).unwrap().launches.len();
        assert_eq!(launches, if facts.is_cpu() { 3 } else { 1 });
        let (losses, gradient) = batch.run(&executor, &facts, &[-1.0; 2]);
        assert_close(&format!("{kind}, {time} steps"), &losses, &narrow(&batch.want()), LOSSES);
        for (b, got) in gradient.chunks(time * 5).enumerate() {
            let (rows, target) = batch.sequence(b);
            let mut want = oracle::gradient(5, 0, &rows, &target);
            want.iter_mut().for_each(|g| *g = -*g);
            want.resize(time * 5, 0.0);
            // The walks' rounding adds up between one greatest number and the next, and more in states far below it.
            let tolerance = Tolerance { abs: 3e-4, rel: 0.0 };
            assert_close(&format!("{kind}, gradient {b}"), got, &narrow(&want), tolerance);
        }
    }
}

/// Chances of 0 are logarithms of −∞: nothing is lost but the paths through them.
#[test]
fn chances_of_nothing() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        let mut batch = Batch::new([6, 2, 3], 0, &[(6, 2), (6, 1), (6, 2)]);
        let infinite = |b: usize, t: usize, v: usize| (b * 6 + t) * 3 + v;
        batch.targets = vec![1, 2, 1, 1, 2, 1];
        batch.log_probs[infinite(0, 2, 1)] = f32::NEG_INFINITY;
        batch.log_probs[infinite(0, 4, 0)] = f32::NEG_INFINITY;
        // Nothing but a class that the target has not.
        (0..2).for_each(|v| batch.log_probs[infinite(1, 3, v)] = f32::NEG_INFINITY);
        batch.log_probs[infinite(2, 1, 1)] = -1e20;
        let (losses, gradient) = batch.run(&executor, &facts, &[1.0; 3]);
        let want = batch.want();
        assert!(want[1].is_infinite());
        assert_close(kind, &losses, &narrow(&want), LOSSES);
        for (b, part) in gradient.chunks(18).enumerate() {
            assert_eq!(part.iter().all(|g| g.is_finite()), b != 1, "{kind}: {part:?}");
        }
        let sums = gradient[..18].chunks(3).map(|row| row.iter().sum::<f32>());
        assert!(sums.into_iter().all(|sum| (sum + 1.0).abs() < 1e-5), "{gradient:?}");
        assert_eq!([gradient[infinite(0, 2, 1)], gradient[infinite(0, 4, 0)]], [0.0, 0.0]);
    }
}

#[test]
fn infinite_losses_count_as_0_on_request() {
    let executor = Executor::shared();
    for (_, facts) in executor.kinds() {
        let mut batch = Batch::new([4, 3, 4], 0, &[(2, 3), (0, 1), (4, 3)]);
        batch.targets = vec![1; 9];
        batch.problem.zero_infinity = true;
        let (losses, gradient) = batch.run(&executor, &facts, &[2.0; 3]);
        assert_same_bits("losses", &losses, &[0.0; 3]);
        assert_same_bits("gradients", &gradient, &[0.0; 48]);
    }
}

/// A target with the blank among its labels is not what CTC means; the class's gradient is still the sum over all its states.
#[test]
fn a_blank_among_the_labels() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        let mut batch = Batch::new([9, 3, 4], 0, &[(9, 3)]);
        batch.targets = vec![1, 0, 1];
        batch.check(kind, &executor, &facts, true);
    }
}

#[test]
fn what_cannot_be_aligned_is_refused() {
    let [_, (_, facts)] = Executor::shared().kinds();
    let fits = Problem { batch: 2, time: 5, labels: 3, classes: 4, blank: 0, zero_infinity: false };
    let refused = |problem: Problem, words: &str| {
        for lowered in [ctc::lower_forward(&problem, &facts), ctc::lower_backward(&problem, &facts)] {
            let message = lowered.map(|_| ()).map_err(|error: KernelError| error.to_string()).unwrap_err();
            assert!(message.contains("ctc") && message.contains(words), "{message}: no {words:?}");
        }
    };
    refused(Problem { time: 0, ..fits }, "0 steps");
    refused(Problem { labels: 0, ..fits }, "0 labels");
    refused(Problem { blank: 4, ..fits }, "class 4 as the blank of 4");
    refused(Problem { labels: 1 << 32, ..fits }, "4294967296");
    refused(Problem { time: 100_000, labels: 1 << 20, ..fits }, "alphas");
    refused(Problem { labels: 600_000, batch: 1, ..fits }, "loop iterations");
    let nothing = Problem { batch: 0, ..fits };
    assert!(ctc::lower_forward(&nothing, &facts).unwrap().launches.is_empty());
    assert!(ctc::lower_backward(&nothing, &facts).unwrap().launches.is_empty());
}
