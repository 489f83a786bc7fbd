// out[j] = fused(sum over p of X[p] * b[j,p])    a single row times a matrix, on adapters that run shaders on the CPU's vector units
//
// X is x, or with NORMED that row normalised (norm/forward.wgsl; with CENTRED less its mean, plus `bias`), so that a norm needs no launch
// of its own. x, weight, bias [K]; b [N,K], a linear layer's weight; out [N]. K is a multiple of 4.
// Grid: any number of workgroups in x. A workgroup is one subgroup. It strides over groups of eight columns, and its lanes share the sums:
// lane l takes the quads l, l+LANES, .. of K, so that neighbours load neighbours.
//
// A tile of cpu.wgsl would compute eight rows. A single row costs loads and its launch. So this kernel takes in the norm before it and
// the fused epilogue.
//
// Numeric: f32; each lane sums in the order of p, then the lanes are added. The row's statistics are those of norm/forward.wgsl.
//
// Joined: value, view

const LANES: u32 = 8u; // spec
const NORMED: bool = false; // spec
const CENTRED: bool = false; // spec

// Columns of a group.
const GROUP_COLUMNS: u32 = 8u;

// K / 4 at most, if NORMED.
const MOST_QUADS: u32 = 1024u;

struct Params {
    n: u32,
    quads: u32, // K / 4
    eps: f32,   // added to the variance
    view: View,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [K]
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [N,K]
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>; // [K], if NORMED
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // [K], if CENTRED
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // [N]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

// The normalised row. A lane reads only what it wrote itself, so no barrier is needed.
var<workgroup> normed: array<vec4<f32>, MOST_QUADS>;

fn normalise(lane: u32) {
    let count = f32(4u * params.quads);
    var first = 0.0f;
    var mean = 0.0f; // less the first element; norm/forward.wgsl says why
    if CENTRED {
        first = x[0u].x;
        var sum = vec4(0.0f);
        for (var p = lane; p < params.quads; p += LANES) { sum += x[p] - first; }
        mean = subgroupAdd(dot(sum, vec4(1.0f))) / count;
    }
    var squares = vec4(0.0f);
    for (var p = lane; p < params.quads; p += LANES) {
        let d = (x[p] - first) - mean;
        squares += d * d;
    }
    let rstd = inverseSqrt(subgroupAdd(dot(squares, vec4(1.0f))) / count + params.eps);
    for (var p = lane; p < params.quads; p += LANES) {
        var v = ((x[p] - first) - mean) * rstd * weight[p];
        if CENTRED { v += bias[p]; }
        normed[p] = v;
    }
}

fn operand(p: u32) -> vec4<f32> {
    if NORMED { return normed[p]; }
    return x[p];
}

fn subgroup_total(v: vec4<f32>) -> vec4<f32> {
    return vec4(subgroupAdd(v.x), subgroupAdd(v.y), subgroupAdd(v.z), subgroupAdd(v.w));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    if NORMED { normalise(lane); }
    for (var j = tile.x * GROUP_COLUMNS; j < params.n; j += tiles.x * GROUP_COLUMNS) {
        let low_at = min(j + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u)) * params.quads;
        let high_at = min(j + vec4(4u, 5u, 6u, 7u), vec4(params.n - 1u)) * params.quads;
        var low = vec4(0.0f);
        var high = vec4(0.0f);
        for (var p = lane; p < params.quads; p += LANES) {
            let v = operand(p);
            low += vec4(dot(v, b[low_at.x + p]), dot(v, b[low_at.y + p]), dot(v, b[low_at.z + p]), dot(v, b[low_at.w + p]));
            high += vec4(
                dot(v, b[high_at.x + p]), dot(v, b[high_at.y + p]), dot(v, b[high_at.z + p]), dot(v, b[high_at.w + p]),
            );
        }
        let low_sums = subgroup_total(low);
        let high_sums = subgroup_total(high);
        // One lane stores each column; in a subgroup of four a lane stores two.
        for (var c = lane; c < GROUP_COLUMNS && j + c < params.n; c += LANES) {
            out[j + c] = fused(select(low_sums, high_sums, c > 3u)[c % 4u], j + c);
        }
    }
}
