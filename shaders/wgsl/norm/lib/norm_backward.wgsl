// The immediates and bindings of backward.wgsl and backward_cpu.wgsl. Needs value.wgsl and view.wgsl.

struct Params {
    rows: u32,
    cols: u32, // counts Values
    view: View,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<Value>;        // [rows, cols]
@group(0) @binding(1) var<storage, read> dy: array<Value>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> weight: array<Value>;   // [cols]
@group(0) @binding(3) var<storage, read> mean: array<f32>;       // [rows]
@group(0) @binding(4) var<storage, read> rstd: array<f32>;       // [rows]
@group(0) @binding(5) var<storage, read_write> dx: array<Value>; // [rows, cols]
