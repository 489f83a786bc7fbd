// What fused code and the kernels around it compute with: one element, or four neighbours (vec4<f32>).
//
// Where every load is a loop over lanes, loading four values costs little more than loading one. A kernel of four is the kernel of one
// over tensors whose elements are fours: indices, row lengths and strides count fours.

alias Value = f32; // spec

// The mean of the four; of one element exactly that element.
fn mean_of(value: Value) -> f32 {
    let parts = vec4<f32>(value) * 0.25f;
    return (parts.x + parts.y) + (parts.z + parts.w);
}

// The first of the four, or the element.
fn first_of(value: Value) -> f32 { return vec4<f32>(value).x; }

// The greater and the lesser of two, and NaN if one of them is NaN; the built-in functions may drop a NaN. A NaN is unequal to itself.
// The test is written `!(b == b)`, because naga makes of `b != b` a comparison that a NaN fails too.
fn greatest(a: Value, b: Value) -> Value { return select(a, b, (b > a) | !(b == b)); }
fn least(a: Value, b: Value) -> Value { return select(a, b, (b < a) | !(b == b)); }
