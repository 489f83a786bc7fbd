// The gradient of an additive bias, for adapters that run shaders on the CPU's vector units.
//
// dbias[b,h,i,j] = ds[b,h,i,j], summed over the batch rows and the heads that share the bias;
// p = 2^(score - lse);  ds = p * (dropout(dout v^T) - delta)
//
// Grid: (ceil(Tq / (4*LANES)), ceil(Tk / ROWS), biases). A workgroup is one subgroup and owns one tile of one bias, with
// queries as columns (forward_cpu.wgsl), and goes over the batch rows and heads that share it: batch rows params.begin to
// params.end where they share, so that a launch stays short; one that does not begin with row 0 adds to the one before.
//
// Numeric: f32, over batch rows, then heads, in order.
//
// Joined: control, rng, grid, attention, octets, attention_tile, attention_scores, attention_gradient

alias Elem = f32; // spec
alias Elem4 = vec4<f32>; // spec
const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

const KEY_ROWS: bool = true;
const COLUMNS: u32 = 4u;

@group(0) @binding(0) var<storage, read> q: array<Elem4>; // [B,H,Tq,D]
@group(0) @binding(1) var<storage, read> k: array<Elem4>; // [B,Hkv,Tk,D]
@group(0) @binding(2) var<storage, read> v: array<Elem4>; // [B,Hkv,Tk,Dv]
@group(0) @binding(3) var<storage, read> dout: array<Elem4>; // [B,H,Tq,Dv]
@group(0) @binding(4) var<storage, read> lse: array<f32>; // [B,Tq,H]
@group(0) @binding(5) var<storage, read> delta: array<f32>; // [B,Tq,H], row sums of dout * out
@group(0) @binding(6) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(7) var<storage, read> bias: array<Elem>; // [B or 1,H or 1,Tq,Tk]
@group(0) @binding(8) var<storage, read> distance: array<Elem>; // [H,columns]
@group(0) @binding(9) var<storage, read> control: Control;
@group(0) @binding(10) var<storage, read_write> dbias: array<Elem>; // [B or 1,H or 1,Tq,Tk]

fn left(values: bool, at: u32) -> vec4<f32> {
    if values { return v[at]; }
    return k[at];
}
fn right(values: bool, at: u32) -> vec4<f32> {
    if values { return dout[at]; }
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
    let tile = own_part(id, groups, parts);
    if tile.z >= params.planes { return; }
    let first_query = tile.x * 4u * LANES;
    let query = first_query + lane + vec4(0u, LANES, 2u * LANES, 3u * LANES);
    let exists = query < vec4(params.queries);
    let queries = min(query, vec4(params.queries - 1u));
    let key = tile.y * ROWS;
    let rows = min(ROWS, params.keys - key);

    // Which batch rows and heads share this bias: one of a kind, or all.
    let heads = select(1u, params.heads, params.bias_head > 0u);
    let own_b = tile.z / heads;
    let own_h = tile.z % heads;
    let b0 = select(params.begin, own_b, params.bias_batch > 0u);
    let b1 = select(params.end, own_b + 1u, params.bias_batch > 0u);
    let h0 = select(0u, own_h, params.bias_head > 0u);
    let h1 = select(params.heads, own_h + 1u, params.bias_head > 0u);
    let at = own_b * params.bias_batch + own_h * params.bias_head + queries * params.keys + key;

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
        let ultimate = keys_of(min(first_query + 4u * LANES, params.queries) - 1u, start, length);
        let end = ultimate.x + ultimate.y;
        let last = max(end, 1u) - 1u;
        // A tile that nobody attends to is passed over: a loop that ends at once costs less than a condition.
        let heads_here = select(h0, h1, key < end && key + ROWS > first);
        for (var h = h0; h < heads_here; h++) {
            let place = Place(b, h, start, last, queries);
            let q_at = b * params.q_batch + h * params.q_head + queries * params.q_time;
            let out_at = b * params.o_batch + h * params.o_head + queries * params.o_time;
            let k_rows = Rows(b * params.k_batch + h / params.group * params.k_head, params.k_time, last);
            let v_rows = Rows(b * params.v_batch + h / params.group * params.v_head, params.v_time, last);
            let own = (b * params.queries + queries) * params.heads + h;
            var p = tile_scores(products(false, k_rows, key, q_at, params.width, lane), place, key);
            p = tile_weights(tile_masked(p, key, begin, size), lse4(own));
            let g = products(true, v_rows, key, out_at, params.value_width, lane);
            let ds = tile_gradient(tile_kept(p, place, key), g, p, delta4(own));
            for (var r = 0u; r < rows; r++) { add_row(at + r, exists, tile_row(ds.t0, ds.t1, ds.t2, ds.t3, r)); }
        }
    }
}
