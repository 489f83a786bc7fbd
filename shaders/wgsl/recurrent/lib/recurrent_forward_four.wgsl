// What the product of a step forward reads, four values at a time: for an H that is a multiple of 4.

alias Packed = vec4<f32>;

fn operand(at: u32) -> f32 { return h_prev[at / 4u][at % 4u]; }
fn operand_four(at: u32) -> vec4<f32> { return h_prev[at / 4u]; }
fn weight_four(at: u32) -> vec4<f32> { return w_hh[at / 4u]; }
