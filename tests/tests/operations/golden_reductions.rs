//! Reductions over several axes, running sums and picks against PyTorch: outputs, and the gradients of a weighted sum of them.
//!
//! The cases are those of `golden/reductions.py`; [`apply`] is the same table in Rust, with the same constants.

use seqloom_graph::{Axes, Tensor};
use seqloom_tests::golden_operations;

/// The operation of a case.
fn apply<'g>(case: &str, x: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let one = reduction(case, x)
        .unwrap_or_else(|| panic!("golden/reductions.json has the case {case}, this table has not"));
    vec![one]
}

/// The operation of a case, if it is one of this table.
fn reduction<'g>(case: &str, x: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    if let Some((name, axes)) = case.rsplit_once('_').filter(|(_, axes)| axes.starts_with("axis")) {
        let axis = axes.trim_start_matches("axis").parse().ok()?;
        return one_axis(name, axis, x);
    }
    let (name, axes) = match case.split_once('_')? {
        (name, "axes") => (name, Axes::from([0, 1])),
        (name, "axes_apart") => (name, Axes::from([2, 0])),
        ("prod", "kept") => ("prod", Axes::kept(1)),
        (name, "kept") => (name, Axes::kept([0, 2])),
        _ => return special(case, x),
    };
    Some(match name {
        "sum" => x[0].sum(axes),
        "mean" => x[0].mean(axes),
        "max" => x[0].max(axes),
        "min" => x[0].min(axes),
        "prod" => x[0].prod(axes),
        "logsumexp" => x[0].logsumexp(axes),
        _ => return None,
    })
}

fn one_axis<'g>(name: &str, axis: isize, x: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    Some(match name {
        "min" => x[0].min(axis),
        "prod" => x[0].prod(axis),
        "logsumexp" => x[0].logsumexp(axis),
        "cumsum" => x[0].cumsum(axis),
        "argmax" => x[0] * x[0].argmax(Axes::kept(axis)).to_f32(),
        "argmin" => x[0] * x[0].argmin(Axes::kept(axis)).to_f32(),
        "gather" => x[0].gather(axis, x[1]),
        _ => return None,
    })
}

fn special<'g>(case: &str, x: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    Some(match case {
        "max_tied" => x[0].max(Axes::all()),
        "min_tied" => x[0].min(1),
        "argmax_tied" => x[0] * x[0].argmax(Axes::kept(1)).to_f32(),
        "argmin_tied" => x[0] * x[0].argmin(Axes::kept(1)).to_f32(),
        "argmax_all" => x[0] * x[0].argmax(Axes::all()).to_f32(),
        "prod_all" => x[0].prod(Axes::all()),
        "prod_zeros" => x[0].prod(1),
        "logsumexp_large" | "logsumexp_hidden" => x[0].logsumexp(-1),
        "cumsum_long" => x[0].cumsum(1),
        "gather_smaller" => x[0].gather(1, x[1]),
        "one_hot" => x[1].one_hot(5).matmul(x[0]),
        _ => return None,
    })
}

golden_operations! {
    "reductions", apply:
    sum mean max min logsumexp prod cumsum argmax argmin gather one_hot
}
