// Strided reads for fused code: how operand j of output element `index` is found.
//
// An output is seen as four dimensions, outermost first (1 where unused); of more, neighbours are one where the operands run on. A stride of 0 broadcasts; the strides of
// a transposed operand are those of its own storage; a negative stride wraps, and so do the sums, to the right element.
// If operands begin at other elements than the first, the vector behind the last strides holds those first elements.

struct View {
    dims: vec4<u32>, // extents of the output
    s0: vec4<u32>,   // element strides of operand 0; in x alone, its `period` or `every`
    s1: vec4<u32>,
    s2: vec4<u32>,
    s3: vec4<u32>,
}

// x / d for x < 2^31 and d > 0, exact. Vector units divide floats but not integers, so integer division would go lane
// by lane. The first quotient is off by at most 2^-21 of itself (f32 rounds x, d and the division), so the rest is
// below 2^10 + d in size and its quotient off by less than 1, which the last line mends.
fn divide(x: u32, d: u32) -> u32 {
    let by = f32(d);
    let q = u32(f32(x) / by);
    let rest = i32(x - q * d);
    let r = q + u32(i32(f32(rest) / by));
    let left = i32(x - r * d);
    return select(select(r, r + 1u, left >= i32(d)), r - 1u, left < 0);
}

// Where an operand is read that begins at element `first`: a slice.
fn shifted(index: u32, first: u32) -> u32 { return index + first; }

// Where an operand that repeats every `period` elements is read: a bias along rows.
fn repeated(index: u32, period: u32) -> u32 { return index - divide(index, period) * period; }

// Where an operand of which each element holds for `every` outputs is read: one number a row.
fn held(index: u32, every: u32) -> u32 { return divide(index, every); }

// Where a padded operand is read: `pad` holds the elements of a padded row, those in front of the operand's own, the number of its
// own, and the bits of what stands elsewhere. There element 0 is read, and not used.
fn padded(index: u32, pad: vec4<u32>) -> u32 {
    let row = divide(index, pad.x);
    let at = index - row * pad.x - pad.y;
    return select(0u, row * pad.z + at, at < pad.z);
}

// Whether an element of the padded operand's own stands there.
fn is_own(index: u32, pad: vec4<u32>) -> bool { return index - divide(index, pad.x) * pad.x - pad.y < pad.z; }

// Splits the row-major linear `index` by `dims` and returns the dot product of its parts with `strides`.
// The outermost extent is not needed: what is left of the index is its part.
fn strided(index: u32, dims: vec4<u32>, strides: vec4<u32>) -> u32 {
    let q2 = divide(index, dims.w);
    let q1 = divide(q2, dims.z);
    let q0 = divide(q1, dims.y);
    let i3 = index - q2 * dims.w;
    let i2 = q2 - q1 * dims.z;
    let i1 = q1 - q0 * dims.y;
    return q0 * strides.x + i1 * strides.y + i2 * strides.z + i3 * strides.w;
}
