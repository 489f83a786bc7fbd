//! AdamW over chunked arenas: clip, loss scale, decay, and the step that must not happen.

use seqloom_device::Facts;
use seqloom_kernels::{Control, Lowered, Operand, optimizer};
use seqloom_tests::compare::assert_close;
use seqloom_tests::executor::{Data, Executor, Feed, Ran, narrow, random};
use seqloom_tests::oracle::optimizer::{AdamW, State, update};
use seqloom_tests::oracle::widen;

use crate::TIGHT;

const CHUNKS: [&[usize]; 4] = [&[1], &[7, 33], &[100, 257, 1], &[70_001]];

fn control(hyper: &AdamW) -> Control {
    Control {
        lr: hyper.lr as f32,
        beta1: hyper.beta1 as f32,
        beta2: hyper.beta2 as f32,
        eps: hyper.eps as f32,
        weight_decay: hyper.weight_decay as f32,
        correction1: (1.0 / (1.0 - hyper.beta1.powi(hyper.step))) as f32,
        correction2: (1.0 / (1.0 - hyper.beta2.powi(hyper.step))) as f32,
        clip_norm: hyper.clip_norm as f32,
        loss_scale: hyper.loss_scale as f32,
        step: hyper.step as u32,
        ..Control::default()
    }
}

/// One chunk's buffers in the order of the bindings.
type Chunk = [Vec<f32>; 4];

fn run(facts: &Facts, chunks: &[Chunk], control: Control) -> Ran {
    let lens: Vec<usize> = chunks.iter().map(|[grads, ..]| grads.len()).collect();
    let mut ins = vec![Data::Control(control)];
    ins.extend(chunks.iter().flatten().map(Data::from));
    let feed = Feed { ins, outs: vec![4], ..Feed::default() };
    Executor::shared().run(&optimizer::lower(&lens, facts).unwrap(), &feed)
}

fn chunks_of(lens: &[usize]) -> Vec<Chunk> {
    let chunk = |(i, &len): (usize, &usize)| {
        let seed = 10 * i as u64;
        let second = random(seed + 3, len).iter().map(|v| 0.01 * v * v).collect();
        let first = random(seed + 2, len).iter().map(|m| 0.1 * m).collect();
        [random(seed, len), random(seed + 1, len), first, second]
    };
    lens.iter().enumerate().map(chunk).collect()
}

#[test]
fn a_step_is_pytorchs() {
    let plain = AdamW {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        step: 3,
        clip_norm: 0.0,
        loss_scale: 1.0,
    };
    let hypers = [
        plain,
        AdamW { clip_norm: 0.25, ..plain },
        AdamW { clip_norm: 1e6, step: 1, ..plain },
        AdamW { clip_norm: 0.05, loss_scale: 8.0, weight_decay: 0.0, step: 1000, ..plain },
    ];
    for (kind, facts) in Executor::shared().kinds() {
        for lens in CHUNKS {
            for hyper in &hypers {
                let chunks = chunks_of(lens);
                let join = |buffer: usize| -> Vec<f64> {
                    chunks.iter().flat_map(|chunk| widen(&chunk[buffer])).collect()
                };
                let mut state = State { params: join(1), m: join(2), v: join(3) };
                let norm = update(hyper, &join(0), &mut state);

                let ran = run(&facts, &chunks, control(hyper));
                let name = format!("{lens:?} {hyper:?} {kind}");
                let after = |buffer: usize| -> Vec<f32> {
                    (0..lens.len()).flat_map(|i| ran.input(1 + 4 * i + buffer)).collect()
                };
                assert_close(&format!("norm {name}"), &ran.out(0)[..1], &[norm as f32], TIGHT);
                assert_eq!(ran.out(0)[2], 0.0, "{name} was skipped");
                assert_close(&format!("params {name}"), &after(1), &narrow(&state.params), TIGHT);
                assert_close(&format!("m {name}"), &after(2), &narrow(&state.m), TIGHT);
                assert_close(&format!("v {name}"), &after(3), &narrow(&state.v), TIGHT);
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    for (kind, facts) in Executor::shared().kinds() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            // Also in the last element of the last chunk: one bad gradient anywhere skips all of the step.
            for (chunk, element) in [(0, 0), (0, 6), (1, 256)] {
                let mut chunks = chunks_of(&[8, 257]);
                chunks[chunk][0][element] = bad;
                let control = Control { lr: 0.1, clip_norm: 1.0, weight_decay: 0.1, ..Control::default() };
                let ran = run(&facts, &chunks, control);
                assert_eq!(ran.out(0)[2], 1.0, "{bad} at {chunk}, {element} {kind}: not reported");
                for (i, before) in chunks.iter().enumerate() {
                    for buffer in 1..4 {
                        let after = ran.input(1 + 4 * i + buffer);
                        assert_eq!(after, before[buffer], "{bad} {kind}: chunk {i} buffer {buffer} changed");
                    }
                }
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
                let lowered = optimizer::lower(&[len], &facts).unwrap();
                // The first stage alone, which writes to the first result here.
                let mut first = lowered.launches[0].clone();
                first.bindings[1] = Operand::Out(0);
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
