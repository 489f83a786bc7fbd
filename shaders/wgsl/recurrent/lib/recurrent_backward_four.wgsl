// What the product of a step back reads and leaves for the next step, four values at a time: for an H that is a multiple of 4.
// Neighbouring lanes write components of one vec4. The adapters that take this form are known to write each component alone.

alias Packed = vec4<f32>;

fn operand(at: u32) -> f32 { return dz[at / 4u][at % 4u]; }
fn operand_four(at: u32) -> vec4<f32> { return dz[at / 4u]; }
fn weight_four(at: u32) -> vec4<f32> { return w_hh[at / 4u]; }
fn leave_dz(at: u32, value: f32) { dz[at / 4u][at % 4u] = value; }
