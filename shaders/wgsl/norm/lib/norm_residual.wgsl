// The immediates and bindings of residual.wgsl and residual_cpu.wgsl. Needs value.wgsl and view.wgsl.

struct Params {
    rows: u32,
    cols: u32, // counts Values
    eps: f32,
    view: View,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> weight: array<Value>;     // [cols]
@group(0) @binding(1) var<storage, read> bias: array<Value>;       // [cols]
@group(0) @binding(2) var<storage, read_write> y: array<Value>;    // [rows, cols]
@group(0) @binding(3) var<storage, read_write> firsts: array<f32>; // [rows]
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;   // [rows]
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>;   // [rows]
@group(0) @binding(6) var<storage, read_write> x: array<Value>;    // [rows, cols]
