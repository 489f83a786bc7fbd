// What the product of a step forward reads, one value at a time: for forms that take any H.

alias Packed = f32;

fn operand(at: u32) -> f32 { return h_prev[at]; }
fn weight(at: u32) -> f32 { return w_hh[at]; }
