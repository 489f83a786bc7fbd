//! Every pointwise operation against PyTorch: outputs, and the gradients of a weighted sum of them.
//!
//! The cases are those of `golden/pointwise.py`; [`apply`] is the same table in Rust, with the same constants.

use seqloom_graph::Tensor;
use seqloom_tests::golden_operations;

/// The operation of a case.
fn apply<'g>(case: &str, x: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let one = match case {
        "add" | "add_row" | "add_column" => x[0] + x[1],
        "add_scalar" => x[0] + 1.5,
        "sub" | "sub_row" => x[0] - x[1],
        "sub_from_scalar" => 1.5 - x[0],
        "mul" | "mul_row" | "mul_column" => x[0] * x[1],
        "mul_scalar" => x[0] * -2.5,
        "div" | "div_row" => x[0] / x[1],
        "div_of_scalar" => 1.5 / x[0],
        "neg" => -x[0],
        "exp" => x[0].exp(),
        "ln" => x[0].ln(),
        "sqrt" => x[0].sqrt(),
        "tanh" | "tanh_extreme" => x[0].tanh(),
        "sigmoid" | "sigmoid_extreme" => x[0].sigmoid(),
        "relu" => x[0].relu(),
        "gelu" | "gelu_extreme" => x[0].gelu(),
        "gelu_tanh" | "gelu_tanh_extreme" => x[0].gelu_tanh(),
        "swiglu" => x[0].swiglu(x[1]),
        "silu" | "silu_extreme" => x[0].silu(),
        "square" => x[0].square(),
        "abs" => x[0].abs(),
        "maximum" | "maximum_row" => x[0].maximum(x[1]),
        "minimum" | "minimum_row" => x[0].minimum(x[1]),
        "recip" => x[0].recip(),
        "sin" | "sin_large" => x[0].sin(),
        "cos" | "cos_large" => x[0].cos(),
        "erf" | "erf_extreme" => x[0].erf(),
        "floor" | "floor_halves" => x[0].floor(),
        "ceil" | "ceil_halves" => x[0].ceil(),
        "round" | "round_halves" => x[0].round(),
        "sign" | "sign_zero" => x[0].sign(),
        "clamp" | "clamp_ends" => x[0].clamp(-0.75, 0.875),
        "clamp_below" => x[0].clamp(0.25, f32::INFINITY),
        "clamp_crossed" => x[0].clamp(0.5, -0.5),
        "pow" | "pow_row" | "pow_of_zero" => x[0].pow(x[1]),
        "pow_negative" => x[0].pow(x[0].graph().literal(&[5], vec![3.0, -2.0, 2.0, 0.0, 1.0])),
        "pow_two" => x[0].powf(2.0),
        "pow_three" => x[0].powf(3.0),
        "pow_four" => x[0].powf(4.0),
        "pow_five" => x[0].powf(5.0),
        "pow_inverse" => x[0].powf(-1.0),
        "pow_zero" => x[0].powf(0.0),
        "pow_half" => x[0].powf(0.5),
        "pow_minus_half" => x[0].powf(-0.5),
        "pow_fraction" => x[0].powf(2.75),
        "pow_scalar_of_zero" => x[0].powf(1.5),
        "greater" => x[0].greater(x[1]) * (x[0] + 2.0),
        "greater_equal" => x[0].greater_equal(x[1]) * (x[0] + 2.0),
        "less" => x[0].less(x[1]) * (x[0] + 2.0),
        "less_equal" => x[0].less_equal(x[1]) * (x[0] + 2.0),
        "equal" => x[0].equal(x[1]) * (x[0] + 2.0),
        "select" | "select_row" | "select_infinite" => x[0].select(x[1], x[2]),
        "leaky_relu" | "leaky_relu_extreme" | "leaky_relu_zero" => x[0].leaky_relu(0.25),
        "elu" | "elu_extreme" => x[0].elu(1.5),
        "selu" | "selu_extreme" => x[0].selu(),
        "softplus" | "softplus_extreme" => x[0].softplus(),
        "mish" | "mish_extreme" => x[0].mish(),
        "hard_swish" | "hard_swish_extreme" | "hard_swish_ends" => x[0].hard_swish(),
        other => panic!("golden/pointwise.json has the case {other}, this table has not"),
    };
    vec![one]
}

golden_operations! {
    "pointwise", apply:
    add sub mul div neg exp ln sqrt recip sin cos tanh erf sigmoid relu gelu gelu_tanh silu swiglu softplus mish hard_swish leaky_relu
    elu selu square abs sign floor ceil round clamp pow maximum minimum greater greater_equal less less_equal equal select
}
