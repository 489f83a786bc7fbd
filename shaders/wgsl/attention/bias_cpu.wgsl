// The gradient of an additive bias, on adapters that run shaders on the CPU's vector units.
//
// dbias[b,h,i,j] = dS[b,h,i,j], summed over the batch rows and heads that share the bias;
// P = 2^(S - lse);  dS = P * (dropout(dout v^T) - delta)
//
// Grid: (ceil(Tq / (4*LANES)), ceil(Tk / ROWS), biases), or folded (grid.wgsl). A workgroup is one subgroup and owns one tile of one
// bias, with queries as columns (forward_cpu.wgsl). It goes over the batch rows and heads that share the bias. Where batch rows share
// it, a launch has those from params.begin to params.end, so that it stays short. A launch that does not begin with batch row 0 adds
// to the one before.
//
// Numeric: f32, over batch rows, then heads, in order.
//
// Joined: control, rng, grid, attention, octets, attention_tile, attention_scores, attention_gradient

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

const KEY_ROWS: bool = true;
const COLUMNS: u32 = 4u;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>; // [B,H,Tq,D]
@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>; // [B,Hkv,Tk,D]
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>; // [B,Hkv,Tk,Dv]
@group(0) @binding(3) var<storage, read> dout: array<vec4<f32>>; // [B,H,Tq,Dv]
@group(0) @binding(4) var<storage, read> lse: array<f32>; // [B,Tq,H]
@group(0) @binding(5) var<storage, read> delta: array<f32>; // [B,Tq,H], row sums of dout * out
@group(0) @binding(6) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(7) var<storage, read> bias: array<f32>; // [B or 1,H or 1,Tq,Tk]
@group(0) @binding(8) var<storage, read> distance: array<f32>; // [H,columns]
@group(0) @binding(9) var<storage, read> control: Control;
@group(0) @binding(10) var<storage, read_write> dbias: array<f32>; // [B or 1,H or 1,Tq,Tk]

fn load_row(pair: bool, at: u32) -> vec4<f32> {
    if pair == DO_V { return v[at]; }
    return k[at];
}
fn load_column(pair: bool, at: u32) -> vec4<f32> {
    if pair == DO_V { return dout[at]; }
    return q[at];
}
fn lse4(at: vec4<u32>) -> vec4<f32> { return vec4(lse[at.x], lse[at.y], lse[at.z], lse[at.w]); }
fn delta4(at: vec4<u32>) -> vec4<f32> { return vec4(delta[at.x], delta[at.y], delta[at.z], delta[at.w]); }

// Adds a row of the tile to the bias, where the lane's queries exist.
fn add_row(at: vec4<u32>, exists: vec4<bool>, ds: vec4<f32>) {
    if exists.x { dbias[at.x] += ds.x; }
    if exists.y { dbias[at.y] += ds.y; }
    if exists.z { dbias[at.z] += ds.z; }
    if exists.w { dbias[at.w] += ds.w; }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let parts = vec2((params.queries + 4u * LANES - 1u) / (4u * LANES), (params.keys + ROWS - 1u) / ROWS);
    let tile = tile_of_workgroup(id, groups, parts);
    if tile.z >= params.planes { return; }
    let first_query = tile.x * 4u * LANES;
    let query = first_query + lane + vec4(0u, LANES, 2u * LANES, 3u * LANES);
    let exists = query < vec4(params.queries);
    let queries = min(query, vec4(params.queries - 1u));
    let key = tile.y * ROWS;
    let rows = min(ROWS, params.keys - key);

    // Which batch rows and heads share this bias: one of a kind, or all.
    let heads = select(1u, params.heads, params.bias_head > 0u);
    let bias_b = tile.z / heads;
    let bias_h = tile.z % heads;
    let b0 = select(params.begin, bias_b, params.bias_batch > 0u);
    let b1 = select(params.end, bias_b + 1u, params.bias_batch > 0u);
    let h0 = select(0u, bias_h, params.bias_head > 0u);
    let h1 = select(params.heads, bias_h + 1u, params.bias_head > 0u);
    let at = bias_b * params.bias_batch + bias_h * params.bias_head + queries * params.keys + key;

    if params.begin == 0u {
        for (var r = 0u; r < rows; r++) {
            for (var e = 0u; e < 4u; e++) {
                if exists[e] { dbias[at[e] + r] = 0.0f; }
            }
        }
    }
    for (var b = b0; b < b1; b++) {
        let length = length_of(b);
        let start = start_of(length);
        let x = keys_of(queries.x, start, length);
        let y = keys_of(queries.y, start, length);
        let z = keys_of(queries.z, start, length);
        let w = keys_of(queries.w, start, length);
        let begin = vec4(x.x, y.x, z.x, w.x);
        let size = select(vec4(0u), vec4(x.y, y.y, z.y, w.y), exists);
        let first = keys_of(first_query, start, length).x;
        let last_range = keys_of(min(first_query + 4u * LANES, params.queries) - 1u, start, length);
        let end = last_range.x + last_range.y;
        let last = max(end, 1u) - 1u;
        // A tile that nobody attends to is passed over: a loop that ends at once costs less than a condition.
        let heads_here = select(h0, h1, key < end && key + ROWS > first);
        for (var h = h0; h < heads_here; h++) {
            let origin = TileOrigin(b, h, start, last, queries);
            let q_at = b * params.q_batch + h * params.q_head + queries * params.q_time;
            let out_at = b * params.o_batch + h * params.o_head + queries * params.o_time;
            let k_rows = StridedRows(b * params.k_batch + h / params.group * params.k_head, params.k_time, last);
            let v_rows = StridedRows(b * params.v_batch + h / params.group * params.v_head, params.v_time, last);
            let stats_at = (b * params.queries + queries) * params.heads + h;
            var p = tile_scores(tile_dots(QK, k_rows, key, q_at, params.width, lane), origin, key);
            p = tile_probabilities(tile_masked(p, key, begin, size), lse4(stats_at));
            let dp = tile_dots(DO_V, v_rows, key, out_at, params.value_width, lane);
            let ds = tile_gradient(tile_dropout(p, origin, key), dp, p, delta4(stats_at));
            for (var r = 0u; r < rows; r++) { add_row(at + r, exists, tile_row(ds.t0, ds.t1, ds.t2, ds.t3, r)); }
        }
    }
}
