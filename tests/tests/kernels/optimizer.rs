//! An update over runs of arenas, with the code of AdamW: clip, loss scale, decay, update counts, and the skipped step; and sums over
//! batches.

use seqloom_device::Facts;
use seqloom_kernels::optimizer::{self, BLOCK, Problem, Run, stats_len};
use seqloom_kernels::{Control, Elem, FusedCode, Fusion, Lowered, Operand, RATES};
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::executor::{Data, Executor, Feed, Ran, narrow, random};
use seqloom_tests::oracle::optimizer::{AdamW, State, update};
use seqloom_tests::oracle::widen;

use crate::TIGHT;
use crate::sums::{TERMS, near, of_products};

/// Lengths of parameters, each a run of its own.
const RUNS: [&[usize]; 4] = [&[1], &[7, 33], &[100, 257, 1], &[70_001]];

const PLAIN: AdamW = AdamW {
    lr: 0.01,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    clip_norm: 0.0,
    loss_scale: 1.0,
};

fn control(hyper: &AdamW) -> Control {
    Control {
        lr: [hyper.lr as f32; RATES],
        beta1: hyper.beta1 as f32,
        beta2: hyper.beta2 as f32,
        clip_norm: hyper.clip_norm as f32,
        loss_scale: hyper.loss_scale as f32,
        ..Control::default()
    }
}

/// AdamW as fused code.
fn adamw(hyper: &AdamW) -> Fusion {
    let AdamW { beta1, beta2, eps, weight_decay, .. } = *hyper;
    let [beta1, beta2, eps, decay] = [beta1, beta2, eps, weight_decay].map(|number| number as f32);
    let body = format!(
        "    let g = leaf0[index] * numbers.scale;
    let m = {beta1:?}f * state0[index] + (1.0f - {beta1:?}f) * g;
    let v = {beta2:?}f * state1[index] + (1.0f - {beta2:?}f) * g * g;
    state0[index] = m;
    state1[index] = v;
    let change = numbers.lr * numbers.correction1 * m / (sqrt(v * numbers.correction2) + {eps:?}f);
    return value * (1.0f - numbers.lr * {decay:?}f) - change;"
    );
    let code = |elem| FusedCode { body: body.clone(), leaves: vec![elem], states: 2 };
    let four = Some(Box::new(Fusion { code: code(Elem::F32x4), ..Fusion::default() }));
    Fusion { code: code(Elem::F32), four, ..Fusion::default() }
}

/// Gradients, parameters and both moments of a run.
type Values = [Vec<f32>; 4];

/// What a step starts from.
struct Start {
    runs: Vec<Values>,
    /// By run: the number of its first block in the table of owners, and the table.
    owners: Vec<(usize, Vec<u32>)>,
    /// Updates of all, then of each parameter.
    counts: Vec<u32>,
    /// What states will carry on.
    carried: Vec<Vec<f32>>,
}

impl Start {
    /// Parameters of these lengths, each a separate run, with this many updates.
    fn apart(lens: &[usize], before: &[u32]) -> Self {
        let runs = lens.iter().enumerate().map(|(i, &len)| values(10 * i as u64, len)).collect();
        let owners = lens.iter().enumerate().map(|(i, len)| (0, vec![i as u32; len.div_ceil(BLOCK)]));
        let counts = [&[before[0]], before].concat();
        Self { runs, owners: owners.collect(), counts, carried: Vec::new() }
    }

    fn run(&self, facts: &Facts, hyper: &AdamW, control: Control) -> Ran {
        let params = self.counts.len() - 1;
        let mut ins = vec![Data::Control(control)];
        ins.push(Data::U32((0..params as u32).collect()));
        ins.push(Data::from(&self.counts));
        ins.extend(self.runs.iter().map(|values| Data::from(&values[0])));
        ins.extend(self.carried.iter().map(Data::from));
        let carried = self.carried.iter().map(Vec::len).collect();
        let runs = self.runs.iter().map(|values| values[0].len()).collect();
        let mut lowered = optimizer::norm(&Problem { runs, members: params, carried }, facts).unwrap();
        for (i, (values, (first, owners))) in self.runs.iter().zip(&self.owners).enumerate() {
            let at = ins.len();
            ins.extend(values[1..].iter().map(Data::from));
            ins.push(Data::from(owners));
            // Statistics, owners, parameters, gradients, moments.
            let places = [Operand::Out(0), Operand::In(at + 3), Operand::In(at), Operand::In(3 + i)];
            let places = [&places[..], &[Operand::In(at + 1), Operand::In(at + 2)]].concat();
            let run = Run { len: values[0].len(), first: *first };
            for mut launch in optimizer::update(run, facts, &adamw(hyper)).unwrap().launches {
                for operand in &mut launch.bindings {
                    let Operand::In(place) = *operand else { panic!("{operand:?}") };
                    *operand = places[place];
                }
                lowered.launches.push(launch);
            }
        }
        let feed = Feed { ins, outs: vec![stats_len(params)], ..Feed::default() };
        Executor::shared().run(&lowered, &feed)
    }

    fn join(&self, buffer: usize) -> Vec<f64> {
        self.runs.iter().flat_map(|run| widen(&run[buffer])).collect()
    }

    /// What a buffer of the runs holds after a run.
    fn after(&self, ran: &Ran, buffer: usize) -> Vec<f32> {
        (0..self.runs.len()).flat_map(|i| ran.input(self.place(i, buffer))).collect()
    }

    /// Which input is a buffer of a run.
    fn place(&self, run: usize, buffer: usize) -> usize {
        let runs = self.runs.len();
        if buffer == 0 { 3 + run } else { 3 + runs + self.carried.len() + 4 * run + buffer - 1 }
    }
}

fn values(seed: u64, len: usize) -> Values {
    let second = random(seed + 3, len).iter().map(|v| 0.01 * v * v).collect();
    let first = random(seed + 2, len).iter().map(|m| 0.1 * m).collect();
    [random(seed, len), random(seed + 1, len), first, second]
}

fn counts(ran: &Ran) -> Vec<u32> {
    ran.input(2).iter().map(|count| count.to_bits()).collect()
}

/// Compares a step with the oracle's, in which element i has had `before[i]` updates.
fn check(name: &str, facts: &Facts, start: &Start, hyper: &AdamW, before: &[u32]) {
    let steps: Vec<_> = before.iter().map(|&count| count as i32 + 1).collect();
    let mut state = State { params: start.join(1), m: start.join(2), v: start.join(3) };
    let norm = update(hyper, &start.join(0), &steps, &mut state);
    let ran = start.run(facts, hyper, control(hyper));
    assert_close(&format!("norm {name}"), &ran.out(0)[..1], &[norm as f32], TIGHT);
    assert_eq!(ran.out(0)[2], 0.0, "{name} was skipped");
    assert_close(&format!("params {name}"), &start.after(&ran, 1), &narrow(&state.params), TIGHT);
    assert_close(&format!("m {name}"), &start.after(&ran, 2), &narrow(&state.m), TIGHT);
    assert_close(&format!("v {name}"), &start.after(&ran, 3), &narrow(&state.v), TIGHT);
    let after: Vec<_> = start.counts.iter().map(|count| count + 1).collect();
    assert_eq!(counts(&ran), after, "{name}");
}

#[test]
fn a_step_is_pytorchs() {
    let hypers = [
        (PLAIN, 2),
        (AdamW { clip_norm: 0.25, ..PLAIN }, 2),
        (AdamW { clip_norm: 1e6, ..PLAIN }, 0),
        (AdamW { clip_norm: 0.05, loss_scale: 8.0, weight_decay: 0.0, ..PLAIN }, 999),
    ];
    for (kind, facts) in Executor::shared().kinds() {
        for lens in RUNS {
            for (hyper, before) in &hypers {
                let start = Start::apart(lens, &vec![*before; lens.len()]);
                let each = vec![*before; lens.iter().sum()];
                check(&format!("{lens:?} {hyper:?} {kind}"), &facts, &start, hyper, &each);
            }
        }
    }
}

/// In runs of their own and in one, behind blocks of others.
#[test]
fn each_parameter_goes_by_its_own_count() {
    for (kind, facts) in Executor::shared().kinds() {
        let lens = [100, 257, 1];
        let before = [0, 1000, 5];
        let start = Start::apart(&lens, &before);
        let each: Vec<_> = lens.iter().zip(before).flat_map(|(&len, count)| vec![count; len]).collect();
        check(&format!("apart {kind}"), &facts, &start, &PLAIN, &each);

        let blocks = [2, 1, 3];
        let owners = [&[7; 4][..], &[0, 0, 1, 2, 2, 2]].concat();
        let each: Vec<_> = blocks.iter().zip(before).flat_map(|(&n, count)| vec![count; n * BLOCK]).collect();
        let counts = [&[3], &before[..]].concat();
        let together = Start {
            runs: vec![values(5, each.len())],
            owners: vec![(4, owners)],
            counts,
            carried: Vec::new(),
        };
        check(&format!("together {kind}"), &facts, &together, &PLAIN, &each);
    }
}

/// 1 / (1 − βᵗ) of the β that the kernel has, in f64: over all counts, and decays near 0 and 1.
#[test]
fn corrections_keep_their_digits() {
    // A few roundings of f32.
    let tolerance = Tolerance { abs: 0.0, rel: 1e-6 };
    for (kind, facts) in Executor::shared().kinds() {
        for (beta1, beta2) in [(0.9f32, 0.999f32), (0.0, 0.5), (0.3, 0.99999), (0.49, 1e-6), (0.95, 0.98)] {
            for count in [0u32, 1, 2, 9, 99, 2_500, 65_535, 10_000_000, (1 << 24) - 1, 1 << 24] {
                let start = Start::apart(&[3, 2], &[count, 0]);
                let control = Control { beta1, beta2, ..control(&PLAIN) };
                let stats = start.run(&facts, &PLAIN, control).out(0);
                let exact = |beta: f32, count: u32| {
                    let t = f64::from((count + 1).min(1 << 24));
                    (-1.0 / (t * f64::from(beta).ln()).exp_m1()) as f32
                };
                let updates = |count: u32| (count + 1).min(1 << 24) as f32;
                let numbers = |count| [exact(beta1, count), exact(beta2, count), updates(count)];
                let name = format!("{beta1} {beta2} {count} {kind}");
                assert_close(&name, &stats[5..8], &numbers(count), tolerance);
                assert_close(&name, &stats[8..11], &numbers(count), tolerance);
                assert_close(&name, &stats[11..14], &numbers(0), tolerance);
                assert_eq!(stats[3], f32::from(u8::from(count != 0)), "{name}: counts differ");
            }
        }
    }
}

/// The host wrote the rates of the next updates when it knew of `applied`; the device has counted on meanwhile.
#[test]
fn the_learning_rate_is_that_of_the_update() {
    for (kind, facts) in Executor::shared().kinds() {
        for (counted, applied, at) in [(0, 0, 0), (5, 5, 0), (9, 5, 4), (12, 5, 7), (90, 5, 7), (3, 5, 0)] {
            let lr = std::array::from_fn(|i| 0.5 + i as f32);
            let mut start = Start::apart(&[3], &[1]);
            start.counts[0] = counted;
            let ran = start.run(&facts, &PLAIN, Control { lr, applied, ..control(&PLAIN) });
            assert_eq!(ran.out(0)[4], lr[at], "{counted} updates, {applied} known {kind}");
        }
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    for (kind, facts) in Executor::shared().kinds() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            // Also in the last element of the last run, and in what a state would carry on: one anywhere skips all of the step.
            for (run, element) in [(0, 0), (0, 6), (1, 256), (2, 0), (2, 4)] {
                let mut start = Start::apart(&[8, 257], &[4, 6]);
                start.carried = vec![vec![1.0; 3], vec![1e30; 5]];
                let good = start.run(&facts, &PLAIN, control(&PLAIN));
                assert_eq!(good.out(0)[2], 0.0, "{kind}");
                let norm = start.join(0).iter().map(|g| g * g).sum::<f64>().sqrt() as f32;
                assert_close("a state is no part of the norm", &good.out(0)[..1], &[norm], TIGHT);
                match run {
                    // What states carry on may be large.
                    2 if bad.is_finite() => continue,
                    2 => start.carried[1][element] = bad,
                    _ => start.runs[run][0][element] = bad,
                }
                let control = Control { lr: [0.1; RATES], clip_norm: 1.0, ..Control::default() };
                let ran = start.run(&facts, &PLAIN, control);
                assert_eq!(ran.out(0)[2], 1.0, "{bad} at {run}, {element} {kind}: not reported");
                for (i, before) in start.runs.iter().enumerate() {
                    for (buffer, before) in before.iter().enumerate().skip(1) {
                        let after = ran.input(start.place(i, buffer));
                        assert_eq!(after, *before, "{bad} {kind}: run {i} buffer {buffer} changed");
                    }
                }
                assert_eq!(counts(&ran), start.counts, "{bad} {kind}");
            }
        }
    }
}

#[test]
fn a_state_takes_over_what_no_skipped_step_computed() {
    for (kind, facts) in Executor::shared().kinds() {
        for len in [1, 64, 1000] {
            for skipped in [0.0, 1.0] {
                let values = random(1, len);
                let ins = vec![Data::F32(vec![0.0, 1.0, skipped, 0.0]), Data::from(&values)];
                let feed = Feed { ins, outs: vec![len], ..Feed::default() };
                let ran = Executor::shared().run(&optimizer::keep(len, &facts).unwrap(), &feed);
                let kept = ran.out(0).iter().zip(&values).filter(|(a, b)| a.to_bits() == b.to_bits()).count();
                assert_eq!(kept, if skipped == 0.0 { len } else { 0 }, "{len} {skipped} {kind}");
            }
        }
    }
}

/// A compiler may assume that there is no NaN, so the sum of squares need not keep one: the first stage itself must say so.
#[test]
fn a_gradient_that_is_not_finite_is_found_by_its_bits() {
    for (kind, facts) in Executor::shared().kinds() {
        for bad in [f32::NAN, f32::from_bits(0xffc0_1234), f32::INFINITY, f32::NEG_INFINITY] {
            for len in [257, 1028] {
                let mut grads = random(1, len);
                grads[len - 1] = bad;
                let problem = Problem { runs: vec![len], members: 1, carried: Vec::new() };
                let lowered = optimizer::norm(&problem, &facts).unwrap();
                // The first stage alone, which reads the second input and writes to the first result here.
                let mut first = lowered.launches[0].clone();
                first.bindings = vec![Operand::In(1), Operand::Out(0)];
                let partials = (lowered.scratch[0] / 4) as usize;
                let only = Lowered { launches: vec![first], scratch: Vec::new() };
                let ins = vec![Data::Control(Control::default()), (&grads).into()];
                let ran =
                    Executor::shared().run(&only, &Feed { ins, outs: vec![partials], ..Feed::default() });
                let found = ran.out(0);
                let told = found.iter().filter(|sum| sum.to_bits() == f32::INFINITY.to_bits()).count();
                let name = format!("{bad} among {len} {kind}: {found:?}");
                assert_eq!(told, 1, "{name}");
                assert_eq!(found.iter().filter(|sum| sum.is_finite()).count(), partials - 1, "{name}");
            }
        }
    }
}

#[test]
fn the_norm_of_many_equal_gradients() {
    for (kind, facts) in Executor::shared().kinds() {
        for len in [TERMS, 40 * TERMS] {
            let mut start = Start::apart(&[len], &[0]);
            start.runs[0][0].fill(0.1);
            let norm = start.run(&facts, &PLAIN, control(&PLAIN)).out(0)[0];
            near(&format!("{len} {kind}"), &[norm], of_products(len).sqrt());
        }
    }
}

#[test]
fn gradients_of_batches_add_up_by_their_shares() {
    for (kind, facts) in Executor::shared().kinds() {
        for len in [1, 64, 1000, 70_001] {
            let (sum, grads) = (random(1, len), random(2, len));
            let control = Control { share: 0.25, ..Control::default() };
            let ins = vec![Data::Control(control), Data::from(&grads), Data::from(&sum)];
            let ran = Executor::shared()
                .run(&optimizer::accumulate(len, &facts).unwrap(), &Feed { ins, ..Feed::default() });
            let wanted: Vec<_> = sum.iter().zip(&grads).map(|(sum, grad)| sum + 0.25 * grad).collect();
            assert_close(&format!("{len} {kind}"), &ran.input(2), &wanted, TIGHT);
        }
    }
}
