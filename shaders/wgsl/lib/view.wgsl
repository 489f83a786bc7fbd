// Strided reads for fused code: how operand j of output element `index` is found.
//
// An output is seen as four dimensions, outermost first (1 where unused). A stride of 0 broadcasts; the strides of
// a transposed operand are those of its own storage. Four dimensions serve every tensor, whose rank is at most 4.

struct View {
    dims: vec4<u32>, // extents of the output
    s0: vec4<u32>,   // element strides of operand 0
    s1: vec4<u32>,
    s2: vec4<u32>,
    s3: vec4<u32>,
}

// Splits the row-major linear `index` by `dims` and returns the dot product of its parts with `strides`.
// The outermost extent is not needed: what is left of the index is its part.
fn strided(index: u32, dims: vec4<u32>, strides: vec4<u32>) -> u32 {
    let q2 = index / dims.w;
    let q1 = q2 / dims.z;
    let q0 = q1 / dims.y;
    let i3 = index - q2 * dims.w;
    let i2 = q2 - q1 * dims.z;
    let i1 = q1 - q0 * dims.y;
    return q0 * strides.x + i1 * strides.y + i2 * strides.z + i3 * strides.w;
}
