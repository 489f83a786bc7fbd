// What fused code and the kernels around it compute with: an element, or four neighbours at once (vec4<f32>).
//
// Where every load is a loop over lanes, one of four values costs little more than one of one. A kernel of four is that of
// one over tensors whose elements are fours: indices, lengths of rows and strides count those.

alias Value = f32; // spec

// The mean of the four, exactly the element where it is one.
fn mean_of(value: Value) -> f32 {
    let parts = vec4<f32>(value) * 0.25f;
    return (parts.x + parts.y) + (parts.z + parts.w);
}

// The first of the four, or the element.
fn first_of(value: Value) -> f32 { return vec4<f32>(value).x; }

// The greater and the lesser of two, and a NaN where one of them is: the built-ins may drop it, or do as they like. A NaN shows by
// being unequal to itself; as `!(b == b)`, since naga makes `b != b` a comparison that a NaN fails too.
fn greatest(a: Value, b: Value) -> Value { return select(a, b, (b > a) | !(b == b)); }
fn least(a: Value, b: Value) -> Value { return select(a, b, (b < a) | !(b == b)); }
