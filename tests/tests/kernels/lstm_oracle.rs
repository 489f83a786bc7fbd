//! The LSTM oracle's backward pass against finite differences of its forward pass; needs no device.
//!
//! The kernels are held against that backward pass, so it has to be right by evidence of its own.

use seqloom_tests::executor::random;
use seqloom_tests::oracle::recurrent::{Gradients, Inputs, Sizes, Upstream, backward, forward};
use seqloom_tests::oracle::widen;

/// The scalar whose gradients with respect to the outputs are `upstream`.
fn loss(sizes: &Sizes, inputs: &Inputs, upstream: &Upstream) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let out = forward(sizes, inputs);
    dot(&out.y, &upstream.dy) + dot(&out.h_n, &upstream.dh_n) + dot(&out.c_n, &upstream.dc_n)
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let sizes = Sizes { batch: 4, time: 5, hidden: 3 };
    let Sizes { batch, time, hidden } = sizes;
    let inputs = Inputs {
        x_proj: widen(&random(1, batch * time * 4 * hidden)),
        w_hh: widen(&random(2, 4 * hidden * hidden)),
        h0: widen(&random(3, batch * hidden)),
        c0: widen(&random(4, batch * hidden)),
        lengths: vec![5, 1, 0, 3],
    };
    let upstream = Upstream {
        dy: widen(&random(5, batch * time * hidden)),
        dh_n: widen(&random(6, batch * hidden)),
        dc_n: widen(&random(7, batch * hidden)),
    };
    let Gradients { dz, dw_hh, dh0, dc0 } = backward(&sizes, &inputs, &forward(&sizes, &inputs), &upstream);
    type Part = fn(&mut Inputs) -> &mut Vec<f64>;
    let parts: [(&str, Part, Vec<f64>); 4] = [
        ("x_proj", |inputs| &mut inputs.x_proj, dz),
        ("w_hh", |inputs| &mut inputs.w_hh, dw_hh),
        ("h0", |inputs| &mut inputs.h0, dh0),
        ("c0", |inputs| &mut inputs.c0, dc0),
    ];
    for (name, part, gradient) in parts {
        for (i, analytic) in gradient.into_iter().enumerate() {
            let shifted = |by: f64| {
                let mut inputs = inputs.clone();
                part(&mut inputs)[i] += by;
                loss(&sizes, &inputs, &upstream)
            };
            let numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!(
                (analytic - numeric).abs() < 1e-8 * (1.0 + numeric.abs()),
                "d{name}[{i}]: {analytic} by hand, {numeric} by differences"
            );
        }
    }
}
