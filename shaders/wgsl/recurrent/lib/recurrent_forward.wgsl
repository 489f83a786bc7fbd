// The forward half of a recurrent cell, as the forms call it. Needs recurrent.wgsl. The kernel's file binds w_hh, h_prev, h_next, y and
// before, and defines UNIT_COLUMNS, advance and stand_still. The form chooses how h_prev and w_hh are read: recurrent_forward_one.wgsl or
// recurrent_forward_four.wgsl.
//
// The product is h W_hh^T, UNIT_COLUMNS of its columns to a hidden unit. h lies in [B,H], one buffer to read and one to write. A
// sequence that is not live at the step hands its h on. So a sequence that has ended keeps its last state, and one that has not begun (time walked
// backwards) keeps its first.

// Numbers of a unit that the next step's product reads.
const STATES: u32 = 1u;

fn depth() -> u32 { return params.hidden; }

// Rows of the batch: those that have a product, those that `finish` is called for, and all that a step touches.
fn product_rows(now: Moment) -> u32 { return now.live; }
fn finish_rows(now: Moment) -> u32 { return now.live; }
fn all_rows(now: Moment) -> u32 { return params.batch; }

// Where the operand of a row of the batch begins.
fn operand_row(now: Moment, b: u32) -> u32 { return b * params.hidden; }

// Where a column of unit j begins in w_hh, and the distance of its elements.
fn weight_row(column: u32, j: u32) -> u32 { return (column * params.hidden + j) * params.hidden; }
fn weight_pitch() -> u32 { return 1u; }

// h of unit j before the launch, and the same as the loop form holds it.
fn state(b: u32, j: u32) -> f32 { return operand(b * params.hidden + j); }
fn enter(now: Moment, b: u32, j: u32) -> vec4<f32> { return vec4(state(b, j), 0.0f, 0.0f, 0.0f); }

// Unit j of row b, from its sums and its h to its new h.
fn finish(now: Moment, b: u32, j: u32, sum: vec4<f32>, h: f32) -> vec4<f32> {
    let row = now.start + b * params.stride;
    let at = row * params.hidden + j;
    let after = advance(now, row, b, j, sum, h);
    y[at] = after;
    before[at] = h;
    return vec4(after, 0.0f, 0.0f, 0.0f);
}

// Unit j of a row that is not live.
fn hand_on(now: Moment, b: u32, j: u32, h: f32) -> vec4<f32> {
    stand_still(now, b * params.hidden + j);
    return vec4(h, 0.0f, 0.0f, 0.0f);
}

// h of unit j after the launch.
fn leave(b: u32, j: u32, after: vec4<f32>) { h_next[b * params.hidden + j] = after.x; }
