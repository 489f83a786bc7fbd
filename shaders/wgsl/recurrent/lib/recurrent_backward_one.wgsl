// What the product of a step back reads and leaves for the next step, one value at a time: for forms that take any H.

alias Packed = f32;

fn operand(at: u32) -> f32 { return dz[at]; }
fn weight(at: u32) -> f32 { return w_hh[at]; }
fn leave_dz(at: u32, value: f32) { dz[at] = value; }
