// The states of connectionist temporal classification (Graves et al. 2006), and sums of chances by their logarithms.
//
// A target of L labels has 2L + 1 states: a blank before, between and behind its labels. State s is the blank where s is even, and label
// (s - 1) / 2 where it is odd. A step stays in its state, goes to the next one, or passes over a blank between two different labels.
//
// Needs the binding targets [B, S].
//
// Numeric: WGSL lets a driver assume that there is no infinity, so a chance of 0 has the logarithm LEAST, and no logarithm is less. It is
// so large that what else is added to it is lost in rounding. Logarithms of chances of many steps would be large, and their rounding too;
// so every APART steps the greatest of a step is taken off all of the next one.

const LEAST: f32 = -1e30f;
const APART: u32 = 32u;

struct Params {
    batch: u32,
    time: u32,
    labels: u32,      // S
    classes: u32,     // V
    blank: u32,
    first: u32,       // this launch walks the steps first..end, in the order of its walk
    end: u32,
    impossible: f32,  // what stands for the result where no path gives the target
}

var<immediate> params: Params;

// The class that a state of sequence b emits. The host refuses a target >= V; here the last class stands for it.
fn class_of(b: u32, state: u32) -> u32 {
    if state % 2u == 0u { return params.blank; }
    return min(targets[b * params.labels + state / 2u], params.classes - 1u);
}

// Whether a path may go from state s - 2 to state s.
fn passes(b: u32, state: u32) -> bool {
    return state >= 2u && class_of(b, state) != class_of(b, state - 2u);
}

// The number to take off, of the greatest logarithm of a step; nothing where no chance is left.
fn taken_off(greatest: f32) -> f32 { return select(greatest, 0.0f, greatest < 0.5f * LEAST); }

// LEAST where x is less; a NaN stays.
fn bounded(x: f32) -> f32 { return select(x, LEAST, x < LEAST); }

// log(exp(a) + exp(b) + exp(c)); a NaN of any gives NaN.
fn log_sum(a: f32, b: f32, c: f32) -> f32 {
    let top = max(a, max(b, c));
    return top + log(exp(a - top) + exp(b - top) + exp(c - top));
}
