// What fused code and the kernels around it compute with: an element, or four neighbours at once (vec4<f32>).
//
// Where every load is a loop over lanes, one of four values costs little more than one of one. A kernel of four is that of
// one over tensors whose elements are fours: indices, lengths of rows and strides count those.

alias Value = f32; // spec
