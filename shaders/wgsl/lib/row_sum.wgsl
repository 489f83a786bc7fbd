// The sum of one number of each invocation of a workgroup; needs the constant WORKGROUP, a power of two.
//
// Numeric: a tree of fixed shape, so the bits depend on WORKGROUP and nothing else.

var<workgroup> partial: array<f32, WORKGROUP>;

// Every invocation of the workgroup must call it, and each receives the sum.
fn row_sum(lane: u32, value: f32) -> f32 {
    workgroupBarrier(); // everyone has read the sum before this one
    partial[lane] = value;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
        }
    }
    workgroupBarrier();
    return partial[0];
}
