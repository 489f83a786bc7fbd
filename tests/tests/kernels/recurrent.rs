//! RNN, LSTM and GRU forward and backward, in every form, with sequences of one length and of several, in both
//! directions.

use seqloom_device::Facts;
use seqloom_kernels::recurrent::{self, Activation, Cell, Form, Problem};
use seqloom_kernels::{KernelError, Lowered};
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::executor::{Data, Executor, Feed, narrow, random};
use seqloom_tests::oracle::recurrent as oracle;
use seqloom_tests::oracle::recurrent::Layout;
use seqloom_tests::oracle::widen;
use seqloom_tests::skip::skip_part;

/// Errors of a step feed the next one.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };

/// B, T, H of batches in which all sequences have T steps.
const FULL: [(usize, usize, usize); 12] = [
    (1, 1, 1),
    (1, 7, 7),
    (3, 5, 33),
    (7, 1, 100),
    (8, 3, 64),
    (9, 4, 8),
    (33, 4, 40),
    (41, 3, 5),
    (41, 3, 4),
    (17, 3, 257),
    (17, 3, 260),
    (2, 6, 256),
];

/// Lengths of packed batches, their H, and the number of surplus rows.
const RAGGED: [(&[usize], usize, usize); 8] = [
    (&[1], 1, 0),
    (&[4, 1], 5, 3),
    (&[5, 4, 4, 2], 4, 2),
    (&[6, 6, 5, 3, 3, 3, 1], 33, 1),
    (&[6, 6, 5, 3, 3, 3, 1], 36, 1),
    (&[9, 7, 7, 7, 6, 5, 5, 5, 4, 4, 4, 4, 3, 2, 2, 1, 1, 1, 1], 64, 13),
    (
        &[
            3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
            1, 1, 1,
        ],
        12,
        29,
    ),
    (&[3, 2, 1], 256, 100),
];

fn cells() -> [Cell; 5] {
    let [tanh, relu, sigmoid] = [Activation::Tanh, Activation::Relu, Activation::Sigmoid].map(Cell::Rnn);
    [tanh, relu, sigmoid, Cell::Lstm, Cell::Gru]
}

struct Case {
    cell: Cell,
    layout: Layout,
    problem: Problem,
    inputs: oracle::Inputs,
    upstream: oracle::Upstream,
}

impl Case {
    /// A case whose numbers are exact in f32.
    fn new(cell: Cell, layout: Layout, hidden: usize) -> Self {
        let scale = 1.0 / (hidden as f32).sqrt();
        let weights: Vec<f32> = random(2, cell.gates() * hidden * hidden).iter().map(|w| w * scale).collect();
        let random = |seed, len| widen(&random(seed, len));
        let state = layout.batch() * hidden;
        let inputs = oracle::Inputs {
            x_proj: random(1, layout.rows * cell.gates() * hidden),
            w_hh: widen(&weights),
            h0: random(3, state),
            c0: random(4, state),
            b_hn: random(5, hidden),
        };
        let upstream = oracle::Upstream {
            dy: random(6, layout.rows * hidden),
            dh_n: random(7, state),
            dc_n: random(8, state),
        };
        let Layout { rows, time, packed, reverse, .. } = layout;
        let problem = Problem { cell, rows, batch: layout.batch(), time, hidden, packed, reverse };
        Case { cell, layout, problem, inputs, upstream }
    }

    /// Runs both directions, by the device's own choice and in every form that there is for it.
    fn check(&self, executor: &Executor) {
        self.check_on(executor, executor.facts());
    }

    /// The same for a device of those facts.
    fn check_on(&self, executor: &Executor, facts: &Facts) {
        let mut forms = vec![None, Some(Form::Step)];
        // Where a form must refuse, `limits` and `what_a_form_cannot_do` check it.
        match (facts.lanes(), self.problem.hidden.is_multiple_of(4)) {
            (Some(_), true) => forms.push(Some(Form::Cpu)),
            (None, true) => skip_part("the form of CPU adapters: subgroups have no one size"),
            (_, false) => {}
        }
        if self.problem.hidden <= 64 {
            forms.push(Some(Form::Loop));
        }
        let saved = oracle::forward(self.cell, &self.layout, &self.inputs);
        let grads = oracle::backward(self.cell, &self.layout, &self.inputs, &saved, &self.upstream);
        for form in forms {
            let forward = match form {
                Some(form) => recurrent::lower_forward_as(form, &self.problem, facts),
                None => recurrent::lower_forward(&self.problem, facts),
            };
            self.forward(executor, form, &forward.unwrap(), &saved);
            let backward = match form {
                Some(form) => recurrent::lower_backward_as(form, &self.problem, facts),
                None => recurrent::lower_backward(&self.problem, facts),
            };
            self.backward(executor, form, &backward.unwrap(), &saved, &grads);
        }
    }

    fn forward(&self, executor: &Executor, form: Option<Form>, lowered: &Lowered, want: &oracle::Outputs) {
        let oracle::Inputs { x_proj, w_hh, h0, c0, b_hn } = &self.inputs;
        let steps = Data::from(&self.layout.steps());
        let mut ins = vec![floats(x_proj), floats(w_hh), floats(h0)];
        let mut outs = vec![("y", &want.y), ("h_n", &want.h_n), ("before", &want.before)];
        match self.cell {
            Cell::Rnn(_) => {}
            Cell::Gru => {
                ins.push(floats(b_hn));
                outs.push(("gates", &want.gates));
            }
            Cell::Lstm => {
                ins.push(floats(c0));
                outs.extend([("gates", &want.gates), ("cells", &want.cells), ("c_n", &want.c_n)]);
            }
        }
        ins.push(steps);
        self.compare("forward", executor, form, lowered, ins, &outs);
    }

    fn backward(
        &self,
        executor: &Executor,
        form: Option<Form>,
        lowered: &Lowered,
        saved: &oracle::Outputs,
        want: &oracle::Gradients,
    ) {
        let oracle::Upstream { dy, dh_n, dc_n } = &self.upstream;
        let steps = Data::from(&self.layout.steps());
        let mut ins = vec![floats(dy), floats(&self.inputs.w_hh), steps, floats(dh_n)];
        let mut outs = vec![("dx_proj", &want.dx_proj), ("dh0", &want.dh0)];
        match self.cell {
            Cell::Rnn(_) => ins.push(floats(&saved.y)),
            Cell::Gru => {
                ins.extend([floats(&saved.before), floats(&saved.gates)]);
                outs.push(("dh_proj", &want.dh_proj));
            }
            Cell::Lstm => {
                let more = [&saved.gates, &saved.cells, &self.inputs.c0, dc_n];
                ins.extend(more.map(|part| floats(part)));
                outs.push(("dc0", &want.dc0));
            }
        }
        self.compare("backward", executor, form, lowered, ins, &outs);
    }

    fn compare(
        &self,
        direction: &str,
        executor: &Executor,
        form: Option<Form>,
        lowered: &Lowered,
        ins: Vec<Data>,
        outs: &[(&str, &Vec<f64>)],
    ) {
        let feed = Feed { ins, outs: outs.iter().map(|(_, want)| want.len()).collect(), ..Feed::default() };
        let ran = executor.run(lowered, &feed);
        // Gates and cells of surplus rows are not compared.
        let owned: usize = self.layout.lengths.iter().sum();
        for (i, (name, want)) in outs.iter().enumerate() {
            let (mut got, mut want) = (ran.out(i), narrow(want));
            if ["gates", "cells"].contains(name) {
                let width = want.len() / self.layout.rows;
                got.truncate(owned * width);
                want.truncate(owned * width);
            }
            let name = format!("{direction} {name} {:?} {form:?}", self.problem);
            assert_close(&name, &got, &want, TOLERANCE);
        }
    }
}

fn floats(values: &[f64]) -> Data {
    Data::F32(narrow(values))
}

fn full(cell: Cell) {
    for (batch, time, hidden) in FULL {
        for reverse in [false, true] {
            let layout = Layout::padded(&vec![time; batch], time, reverse);
            Case::new(cell, layout, hidden).check(&Executor::shared());
        }
    }
}

#[test]
fn lstm_over_full_sequences() {
    full(Cell::Lstm);
}

#[test]
fn gru_over_full_sequences() {
    full(Cell::Gru);
}

#[test]
fn rnn_over_full_sequences() {
    full(Cell::Rnn(Activation::Tanh));
}

#[test]
fn ragged_sequences() {
    for cell in cells() {
        for (lengths, hidden, spare) in RAGGED {
            for reverse in [false, true] {
                Case::new(cell, Layout::packed(lengths, spare, reverse), hidden).check(&Executor::shared());
            }
        }
    }
}

/// More rows than tiles along an axis of a grid can hold, by lowering the device's limit.
#[test]
fn grids_beyond_an_axis_are_stacked() {
    let executor = Executor::shared();
    let few = Facts { max_grid: 5, ..executor.facts().clone() };
    for cell in [Cell::Lstm, Cell::Gru] {
        Case::new(cell, Layout::padded(&[3; 170], 3, false), 8).check_on(&executor, &few);
    }
    let lengths: Vec<usize> = (0..170).map(|b| 3 - b / 60).collect();
    Case::new(Cell::Gru, Layout::packed(&lengths, 5, true), 8).check_on(&executor, &few);
}

/// More iterations than llvmpipe lets one invocation make, had the loop form no limit of its own.
#[test]
fn long_sequences() {
    for cell in [Cell::Rnn(Activation::Sigmoid), Cell::Lstm, Cell::Gru] {
        let layout = Layout::padded(&[900, 900], 900, false);
        Case::new(cell, layout, 56).check(&Executor::shared());
    }
}

#[test]
fn what_a_form_cannot_do() {
    let executor = Executor::shared();
    let facts = executor.facts();
    let fits =
        Problem { cell: Cell::Gru, rows: 6, batch: 2, time: 3, hidden: 64, packed: false, reverse: false };
    assert!(recurrent::lower_forward_as(Form::Loop, &fits, facts).is_ok());
    let wide = Problem { hidden: 65, ..fits };
    for lowered in [
        recurrent::lower_forward_as(Form::Loop, &wide, facts),
        recurrent::lower_backward_as(Form::Loop, &wide, facts),
    ] {
        let Err(KernelError::Problem { op: "gru", detail }) = lowered else { panic!("{lowered:?}") };
        assert!(detail.contains("64") && detail.contains("65"), "{detail}");
    }
    if facts.lanes().is_some() {
        assert!(recurrent::lower_forward_as(Form::Cpu, &fits, facts).is_ok());
        let Err(error) = recurrent::lower_backward_as(Form::Cpu, &wide, facts) else {
            panic!("65 was taken")
        };
        assert!(error.to_string().contains("a multiple of 4, not 65"), "{error}");
    } else {
        skip_part("the form of CPU adapters: subgroups have no one size");
    }
    for (broken, says) in [
        (Problem { rows: 7, ..fits }, "7 rows are not those of 2 sequences of 3 steps"),
        (Problem { rows: 1, packed: true, ..fits }, "1 rows cannot hold 2 sequences"),
        (Problem { time: 0, rows: 0, ..fits }, "0 steps of width 64"),
        (Problem { hidden: 0, ..fits }, "3 steps of width 0"),
    ] {
        let Err(error) = recurrent::lower_forward(&broken, facts) else { panic!("{broken:?} was taken") };
        assert!(error.to_string().contains(says), "`{error}` does not say `{says}`");
    }
    let none = Problem { batch: 0, rows: 0, ..fits };
    assert!(recurrent::lower_backward(&none, facts).unwrap().launches.is_empty());
}
