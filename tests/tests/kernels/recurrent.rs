//! The LSTM forward and backward, in both forms, with sequences of every length.

use seqloom_kernels::Lowered;
use seqloom_kernels::recurrent::{self, Form, Problem};
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::executor::{Data, Executor, Feed, narrow, random};
use seqloom_tests::oracle::recurrent as oracle;
use seqloom_tests::oracle::widen;

/// Errors of a step feed the next one.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };

/// B, T, H.
const SIZES: [(usize, usize, usize); 11] = [
    (1, 1, 1),
    (1, 7, 7),
    (3, 5, 33),
    (7, 1, 100),
    (8, 3, 64),
    (9, 4, 8),
    (33, 6, 40),
    (17, 3, 257),
    (20, 33, 13),
    // More iterations than llvmpipe lets one invocation make, by time and by width.
    (2, 900, 56),
    (2, 18, 512),
];

fn forms(executor: &Executor) -> Vec<Form> {
    let mut forms = vec![Form::Step];
    // Without a subgroup size the form must refuse, which `limits` checks.
    if executor.facts().lanes().is_some() {
        forms.push(Form::Loop);
    }
    forms
}

/// Lengths of every kind: full, 1, 0, and between.
fn lengths(batch: usize, time: usize) -> Vec<u32> {
    let pattern = [time, 1, 0, time.div_ceil(2), time - 1];
    (0..batch).map(|b| pattern[b % pattern.len()] as u32).collect()
}

struct Case {
    sizes: oracle::Sizes,
    inputs: oracle::Inputs,
    upstream: oracle::Upstream,
}

/// A case whose numbers are exact in f32.
fn case((batch, time, hidden): (usize, usize, usize)) -> Case {
    let scale = 1.0 / (hidden as f32).sqrt();
    let weights: Vec<f32> = random(2, 4 * hidden * hidden).iter().map(|w| w * scale).collect();
    let random = |seed, len| widen(&random(seed, len));
    Case {
        sizes: oracle::Sizes { batch, time, hidden },
        inputs: oracle::Inputs {
            x_proj: random(1, batch * time * 4 * hidden),
            w_hh: widen(&weights),
            h0: random(3, batch * hidden),
            c0: random(4, batch * hidden),
            lengths: lengths(batch, time),
        },
        upstream: oracle::Upstream {
            dy: random(5, batch * time * hidden),
            dh_n: random(6, batch * hidden),
            dc_n: random(7, batch * hidden),
        },
    }
}

fn floats(values: &[f64]) -> Data {
    Data::F32(narrow(values))
}

/// Runs `lowered` by the device's own choice and in every form.
fn each_form(executor: &Executor, lower: impl Fn(Option<Form>) -> Lowered, check: impl Fn(&str, Lowered)) {
    check("chosen", lower(None));
    for form in forms(executor) {
        check(&format!("{form:?}"), lower(Some(form)));
    }
}

#[test]
fn forward() {
    let executor = Executor::shared();
    for (batch, time, hidden) in SIZES {
        let Case { sizes, inputs, .. } = case((batch, time, hidden));
        let want = oracle::forward(&sizes, &inputs);
        let problem = Problem { batch, time, hidden };
        let feed = Feed {
            ins: vec![
                floats(&inputs.x_proj),
                floats(&inputs.w_hh),
                floats(&inputs.h0),
                floats(&inputs.c0),
                (&inputs.lengths).into(),
            ],
            outs: [batch * time, batch * time * 4, batch * time, batch, batch].map(|n| n * hidden).to_vec(),
            ..Feed::default()
        };
        let lower = |form: Option<Form>| match form {
            Some(form) => recurrent::lower_forward_as(form, &problem, executor.facts()).unwrap(),
            None => recurrent::lower_forward(&problem, executor.facts()).unwrap(),
        };
        each_form(&executor, lower, |how, lowered| {
            let ran = executor.run(&lowered, &feed);
            let parts = [&want.y, &want.gates, &want.cells, &want.h_n, &want.c_n];
            for (i, (name, want)) in ["y", "gates", "cells", "h_n", "c_n"].into_iter().zip(parts).enumerate()
            {
                let name = format!("{name} {problem:?} {how}");
                assert_close(&name, &ran.out(i), &narrow(want), TOLERANCE);
            }
        });
    }
}

#[test]
fn backward() {
    let executor = Executor::shared();
    for (batch, time, hidden) in SIZES {
        let Case { sizes, inputs, upstream } = case((batch, time, hidden));
        let saved = oracle::forward(&sizes, &inputs);
        let want = oracle::backward(&sizes, &inputs, &saved, &upstream);
        let problem = Problem { batch, time, hidden };
        let feed = Feed {
            ins: vec![
                floats(&upstream.dy),
                floats(&inputs.w_hh),
                floats(&saved.gates),
                floats(&saved.cells),
                floats(&inputs.c0),
                (&inputs.lengths).into(),
                floats(&upstream.dh_n),
                floats(&upstream.dc_n),
            ],
            outs: vec![batch * time * 4 * hidden, batch * hidden],
            ..Feed::default()
        };
        let lower = |form: Option<Form>| match form {
            Some(form) => recurrent::lower_backward_as(form, &problem, executor.facts()).unwrap(),
            None => recurrent::lower_backward(&problem, executor.facts()).unwrap(),
        };
        each_form(&executor, lower, |how, lowered| {
            let ran = executor.run(&lowered, &feed);
            for (i, (name, want)) in [("dz", &want.dz), ("dc0", &want.dc0)].into_iter().enumerate() {
                let name = format!("{name} {problem:?} {how}");
                assert_close(&name, &ran.out(i), &narrow(want), TOLERANCE);
            }
        });
    }
}
