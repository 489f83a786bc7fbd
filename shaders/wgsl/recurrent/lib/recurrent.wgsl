// Which rows of a batch of sequences are live at a step: what every recurrent kernel knows of time.
//
// Sequence b at step t lies in row steps[t].start + b * stride of the [N,.] matrices and is live for b < steps[t].count. Counts never
// increase with t, so longer sequences come first and a ragged batch has no padding inside. `delta`, 1 or -1, says in which direction the
// steps are walked. The kernel's file binds `steps`.

struct Params {
    batch: u32,
    time: u32,
    hidden: u32,
    stride: u32, // rows from one sequence to the next
    t: u32,      // the step; at a step from `time` on nothing is live
    delta: u32,  // from a step of the walk to the next, modulo 2^32
    walk: u32,   // how many steps the loop form takes in this launch
}
var<immediate> params: Params;

// A step and its neighbours in the order of the walk. Past either end nothing is live.
struct Moment {
    start: u32,
    live: u32,
    prior_start: u32,
    prior_live: u32,
    next_start: u32,
    next_live: u32,
}

// start and count of step t.
fn step_rows(t: u32) -> vec2<u32> {
    let at = 2u * min(t, params.time - 1u);
    return select(vec2(0u), vec2(steps[at], steps[at + 1u]), t < params.time);
}

fn moment(t: u32) -> Moment {
    let now = step_rows(t);
    let prior = step_rows(t - params.delta);
    let next = step_rows(t + params.delta);
    return Moment(now.x, now.y, prior.x, prior.y, next.x, next.y);
}
