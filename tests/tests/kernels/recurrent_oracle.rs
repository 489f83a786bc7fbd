//! The recurrent oracles' backward pass against finite differences of their forward pass. Needs no device.
//!
//! The kernels are compared with that backward pass, so it needs its own evidence.

use seqloom_kernels::recurrent::{Activation, Cell};
use seqloom_tests::executor::random;
use seqloom_tests::oracle::recurrent::{Inputs, Layout, Upstream, backward, forward};
use seqloom_tests::oracle::widen;

const HIDDEN: usize = 3;

/// Numbers for a cell over a layout.
fn case(cell: Cell, layout: &Layout) -> (Inputs, Upstream) {
    let random = |seed, len| widen(&random(seed, len));
    let state = layout.batch() * HIDDEN;
    let has = |condition: bool, len: usize| if condition { len } else { 0 };
    let inputs = Inputs {
        x_proj: random(1, layout.rows * cell.gates() * HIDDEN),
        w_hh: random(2, cell.gates() * HIDDEN * HIDDEN),
        h0: random(3, state),
        c0: random(4, has(cell == Cell::Lstm, state)),
        b_hn: random(5, has(cell == Cell::Gru, HIDDEN)),
    };
    let upstream = Upstream {
        dy: random(6, layout.rows * HIDDEN),
        dh_n: random(7, state),
        dc_n: random(8, has(cell == Cell::Lstm, state)),
    };
    (inputs, upstream)
}

/// The scalar whose gradients with respect to the outputs are `upstream`.
fn loss(cell: Cell, layout: &Layout, inputs: &Inputs, upstream: &Upstream) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let out = forward(cell, layout, inputs);
    dot(&out.y, &upstream.dy) + dot(&out.h_n, &upstream.dh_n) + dot(&out.c_n, &upstream.dc_n)
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let activations = [Activation::Tanh, Activation::Relu, Activation::Sigmoid];
    let cells = activations.map(Cell::Rnn).into_iter().chain([Cell::Lstm, Cell::Gru]);
    let layouts = [
        Layout::padded(&[5, 1, 0, 3], 5, false),
        Layout::packed(&[5, 3, 3, 1], 2, false),
        Layout::packed(&[5, 3, 3, 1], 2, true),
    ];
    for cell in cells {
        for layout in &layouts {
            let (inputs, upstream) = case(cell, layout);
            let saved = forward(cell, layout, &inputs);
            let grads = backward(cell, layout, &inputs, &saved, &upstream);
            type Part = fn(&mut Inputs) -> &mut Vec<f64>;
            let parts: [(&str, Part, Vec<f64>); 5] = [
                ("x_proj", |inputs| &mut inputs.x_proj, grads.dx_proj),
                ("w_hh", |inputs| &mut inputs.w_hh, grads.dw_hh),
                ("h0", |inputs| &mut inputs.h0, grads.dh0),
                ("c0", |inputs| &mut inputs.c0, grads.dc0),
                ("b_hn", |inputs| &mut inputs.b_hn, grads.db_hn),
            ];
            for (name, part, gradient) in parts {
                for (i, analytic) in gradient.into_iter().enumerate() {
                    let shifted = |by: f64| {
                        let mut inputs = inputs.clone();
                        part(&mut inputs)[i] += by;
                        loss(cell, layout, &inputs, &upstream)
                    };
                    let numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                    assert!(
                        (analytic - numeric).abs() < 1e-8 * (1.0 + numeric.abs()),
                        "{cell:?} {layout:?} d{name}[{i}]: {analytic} by hand, {numeric} by differences"
                    );
                }
            }
        }
    }
}

#[test]
fn steps_of_a_packed_batch() {
    let layout = Layout::packed(&[3, 2, 2, 1], 3, false);
    assert_eq!(layout.steps(), [0, 4, 4, 3, 7, 1]);
    assert_eq!(layout.rows, 11);
    assert_eq!(Layout::padded(&[2, 2, 2], 2, true).steps(), [0, 3, 1, 3]);
}
