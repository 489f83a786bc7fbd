// The backward half of a recurrent cell, as the forms call it. Needs recurrent.wgsl. The kernel's file binds dy, w_hh, dh_n, dz and dh0,
// and defines GATES, carried and retreat. The form chooses how dz and w_hh are read and dz is written: recurrent_backward_one.wgsl or
// recurrent_backward_four.wgsl.
//
// Steps are walked against the order of the forward pass, so the step walked before is the one that came after. The gradient of a state is
// dh = dz W_hh with that step's dz if the sequence was live there, and dh_n if the sequence ended here. Where a sequence has a product
// and no step left, the product is its dh0. The walk goes one step past the last, so that every sequence gets there.

// Columns of the product for a unit, and numbers of a unit that the next product reads.
const UNIT_COLUMNS: u32 = 1u;
const STATES: u32 = GATES;

fn depth() -> u32 { return GATES * params.hidden; }

// Rows of the batch: those that have a product, those that `finish` is called for, and all that a step touches.
fn product_rows(now: Moment) -> u32 { return now.prior_live; }
fn finish_rows(now: Moment) -> u32 { return max(now.live, now.prior_live); }
fn all_rows(now: Moment) -> u32 { return finish_rows(now); }

// Where the operand of a row of the batch begins.
fn operand_row(now: Moment, b: u32) -> u32 { return (now.prior_start + b * params.stride) * depth(); }

// Where the column of unit j begins in w_hh, and the distance of its elements.
fn weight_row(column: u32, j: u32) -> u32 { return j; }
fn weight_pitch() -> u32 { return params.hidden; }

// A unit has no state other than dz. The loop form enters with the dz of the step walked before the launch.
fn state(b: u32, j: u32) -> f32 { return 0.0f; }
fn enter(now: Moment, b: u32, j: u32) -> vec4<f32> {
    var d = vec4<f32>();
    if b < now.prior_live {
        let at = operand_row(now, b) + j;
        d.x = operand(at);
        if GATES > 1u { d.y = operand(at + params.hidden); d.z = operand(at + 2u * params.hidden); }
        if GATES > 3u { d.w = operand(at + 3u * params.hidden); }
    }
    return d;
}

// Unit j of row b, from its part of dz W_hh to its dz.
fn finish(now: Moment, b: u32, j: u32, sum: vec4<f32>, h: f32) -> vec4<f32> {
    let at = b * params.hidden + j;
    var dh = dh_n[at];
    if b < now.prior_live {
        dh = sum.x + carried(at);
        dh0[at] = dh;
    }
    var d = vec4<f32>();
    if b < now.live {
        let row = now.start + b * params.stride;
        d = retreat(now, row, b, j, dh + dy[row * params.hidden + j]);
    }
    return d;
}

fn hand_on(now: Moment, b: u32, j: u32, h: f32) -> vec4<f32> { return vec4<f32>(); }
fn leave(b: u32, j: u32, d: vec4<f32>) {}
