// out[j] = fused(sum over p of X[p] * b[j,p])    a single row times a matrix, for adapters that run shaders on vector units
//
// X is x, or with NORMED that row normalised (norm/forward.wgsl; CENTRED: less its mean, plus `bias`), so that a norm needs
// no pass of its own. x, weight, bias [K]; b [N,K], a linear layer's weight; out [N]. K is a multiple of 4.
// Grid: any number of workgroups in x. A workgroup is one subgroup. It strides over groups of eight columns, whose sums
// its lanes share: lane l takes the quads l, l+LANES, .. of K, so that neighbours load neighbours.
//
// A tile of matmul_cpu would compute eight rows. What a single one costs is loads and its launch: so it takes the norm
// before it and the pointwise code behind it along.
//
// Numeric: f32; each lane sums in the order of p, then lanes are added. The row's statistics as in norm/forward.wgsl.

const LANES: u32 = 8u; // spec
const NORMED: bool = false; // spec
const CENTRED: bool = false; // spec

// Columns of a group.
const COLUMNS: u32 = 8u;

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

fn fused(value: f32, index: u32) -> f32 { return value; } // spec

// The row's first element, its mean less that, and 1 / its deviation.
struct Statistics { first: f32, mean: f32, rstd: f32 }

fn statistics(lane: u32) -> Statistics {
    var s = Statistics(0.0f, 0.0f, 1.0f);
    if NORMED {
        let count = f32(4u * params.quads);
        if CENTRED {
            s.first = x[0u].x;
            var total = vec4(0.0f);
            for (var p = lane; p < params.quads; p += LANES) { total += x[p] - s.first; }
            s.mean = subgroupAdd(dot(total, vec4(1.0f))) / count;
        }
        var squares = vec4(0.0f);
        for (var p = lane; p < params.quads; p += LANES) {
            let d = (x[p] - s.first) - s.mean;
            squares += d * d;
        }
        s.rstd = inverseSqrt(subgroupAdd(dot(squares, vec4(1.0f))) / count + params.eps);
    }
    return s;
}

fn operand(p: u32, s: Statistics) -> vec4<f32> {
    var v = x[p];
    if NORMED { v = ((v - s.first) - s.mean) * s.rstd * weight[p]; }
    if CENTRED { v += bias[p]; }
    return v;
}

fn total(v: vec4<f32>) -> vec4<f32> {
    return vec4(subgroupAdd(v.x), subgroupAdd(v.y), subgroupAdd(v.z), subgroupAdd(v.w));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let s = statistics(lane);
    for (var j = tile.x * COLUMNS; j < params.n; j += tiles.x * COLUMNS) {
        let low_at = min(j + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u)) * params.quads;
        let high_at = min(j + vec4(4u, 5u, 6u, 7u), vec4(params.n - 1u)) * params.quads;
        var low = vec4(0.0f);
        var high = vec4(0.0f);
        for (var p = lane; p < params.quads; p += LANES) {
            let v = operand(p, s);
            low += vec4(dot(v, b[low_at.x + p]), dot(v, b[low_at.y + p]), dot(v, b[low_at.z + p]), dot(v, b[low_at.w + p]));
            high += vec4(
                dot(v, b[high_at.x + p]), dot(v, b[high_at.y + p]), dot(v, b[high_at.z + p]), dot(v, b[high_at.w + p]),
            );
        }
        let low_sums = total(low);
        let high_sums = total(high);
        // Each column is left by one lane; a lane has two where there are but four.
        for (var c = lane; c < COLUMNS && j + c < params.n; c += LANES) {
            out[j + c] = fused(select(low_sums, high_sums, c > 3u)[c % 4u], j + c);
        }
    }
}
