// out = softmax(q k^T scale + terms) v for each batch row and head, on adapters that run shaders on the CPU's vector units.
//
// Shapes: q [B,H,Tq,D], k [B,Hkv,Tk,D], v [B,Hkv,Tk,Dv], out [B,H,Tq,Dv], each strided; lse [B,Tq,H], log2 of the sum of 2^score.
// Grid: (ceil(Tq / (COLUMNS*LANES)), H, B), or folded (grid.wgsl). A workgroup is one subgroup and owns COLUMNS*LANES queries. It walks
// the keys that any of them attends to, ROWS at a time, with a running maximum and a running sum (online softmax, M. Milakov and
// N. Gimelshein 2018; FlashAttention, T. Dao et al. 2022), so no score is ever stored.
//
// A tile of scores has keys as rows and queries as columns. So the softmax needs no exchange between lanes, and the tile is the right
// operand of out^T = v^T P^T as it lies. The sums of `out` stay in its buffer, and four channels of them are in registers at a time. So
// one rolled loop serves every width, and only the lane that owns a query touches its result.
//
// A launch has the keys from params.begin to params.end, so that it stays short. A launch that does not begin with key 0 continues from
// the result and the lse of the one before, as if their sum were a single probability of 1.
//
// Numeric: f32, over the keys in order. A query that attends to nothing gets 0, and EMPTY as its lse.
//
// Joined: control, rng, grid, attention, octets, attention_tile, attention_scores

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const COLUMNS: u32 = 4u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

const KEY_ROWS: bool = true;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>; // [B,H,Tq,D]
@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>; // [B,Hkv,Tk,D]
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>; // [B,Hkv,Tk,Dv]
@group(0) @binding(3) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [B or 1,H or 1,Tq,Tk]
@group(0) @binding(5) var<storage, read> distance: array<f32>; // [H,columns]
@group(0) @binding(6) var<storage, read> control: Control;
@group(0) @binding(7) var<storage, read_write> out: array<vec4<f32>>; // [B,H,Tq,Dv]
@group(0) @binding(8) var<storage, read_write> lse: array<f32>; // [B,Tq,H]

fn load_row(pair: bool, at: u32) -> vec4<f32> {
    if pair == DO_V { return v[at]; }
    return k[at];
}
fn load_column(pair: bool, at: u32) -> vec4<f32> { return q[at]; }

// Four channels of the lane's results become out * factor + s.
fn add_out(at: vec4<u32>, exists: vec4<bool>, factor: vec4<f32>, s: HeadSlice) {
    if exists.x { out[at.x] = fma(out[at.x], vec4(factor.x), s.p0); }
    if exists.y { out[at.y] = fma(out[at.y], vec4(factor.y), s.p1); }
    if exists.z { out[at.z] = fma(out[at.z], vec4(factor.z), s.p2); }
    if exists.w { out[at.w] = fma(out[at.w], vec4(factor.w), s.p3); }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let parts = vec2((params.queries + COLUMNS * LANES - 1u) / (COLUMNS * LANES), params.heads);
    let tile = tile_of_workgroup(id, groups, parts);
    if tile.z >= params.planes { return; }
    let b = tile.z;
    let h = tile.y;
    let length = length_of(b);
    let start = start_of(length);
    let first_query = tile.x * COLUMNS * LANES;
    let query = first_query + lane + select(vec4(0u, LANES, 2u * LANES, 3u * LANES), vec4(0u), COLUMNS == 1u);
    let exists = (query < vec4(params.queries)) & vec4<bool>(true, COLUMNS > 1u, COLUMNS > 1u, COLUMNS > 1u);
    let queries = min(query, vec4(params.queries - 1u));
    let q_at = b * params.q_batch + h * params.q_head + queries * params.q_time;
    let out_at = b * params.o_batch + h * params.o_head + queries * params.o_time;
    // The keys of each query, and of all of them together: the ranges only ever move on from query to query.
    let x = keys_of(queries.x, start, length);
    let y = keys_of(queries.y, start, length);
    let z = keys_of(queries.z, start, length);
    let w = keys_of(queries.w, start, length);
    let begin = vec4(x.x, y.x, z.x, w.x);
    let size = select(vec4(0u), sizes_below(params.end, begin, vec4(x.y, y.y, z.y, w.y)), exists);
    let first = max(keys_of(first_query, start, length).x, params.begin);
    let last_range = keys_of(min(first_query + COLUMNS * LANES, params.queries) - 1u, start, length);
    let end = min(last_range.x + last_range.y, params.end);
    let last = max(end, 1u) - 1u;
    let origin = TileOrigin(b, h, start, last, queries);
    let row = (b * params.queries + queries) * params.heads + h;
    let k_rows = StridedRows(b * params.k_batch + h / params.group * params.k_head, params.k_time, last);
    let v_rows = StridedRows(b * params.v_batch + h / params.group * params.v_head, params.v_time, last);

    var running_max = vec4(LOWEST);
    var running_sum = vec4(0.0f);
    if params.begin > 0u {
        let before = vec4(lse[row.x], lse[row.y], lse[row.z], lse[row.w]);
        let some = before < vec4(EMPTY);
        running_max = select(running_max, before, some);
        running_sum = select(running_sum, vec4(1.0f), some);
    } else {
        for (var c = 0u; c < params.value_width; c++) {
            if exists.x { out[out_at.x + c] = vec4(0.0f); }
            if exists.y { out[out_at.y + c] = vec4(0.0f); }
            if exists.z { out[out_at.z + c] = vec4(0.0f); }
            if exists.w { out[out_at.w + c] = vec4(0.0f); }
        }
    }
    for (var key = first; key < end; key += ROWS) {
        var t = tile_scores(tile_dots(QK, k_rows, key, q_at, params.width, lane), origin, key);
        t = tile_masked(t, key, begin, size);
        let new_max = single_column(max(running_max, tile_max(t)));
        let correction = exp2(running_max - new_max);
        running_max = new_max;
        t = tile_probabilities(t, running_max);
        running_sum = single_column(fma(running_sum, correction, tile_sum(t)));
        t = tile_dropout(t, origin, key);
        for (var c = 0u; c < params.value_width; c++) {
            add_out(out_at + c, exists, correction, combine_rows(DO_V, v_rows, key, c, t, lane));
        }
    }

    let some = running_sum > vec4(0.0f);
    let inverse = select(vec4(0.0f), 1.0f / running_sum, some);
    let logarithm = select(vec4(EMPTY), running_max + log2(running_sum), some);
    for (var c = 0u; c < params.value_width; c++) { add_out(out_at + c, exists, inverse, HeadSlice()); }
    if exists.x { lse[row.x] = logarithm.x; }
    if exists.y { lse[row.y] = logarithm.y; }
    if exists.z { lse[row.z] = logarithm.z; }
    if exists.w { lse[row.w] = logarithm.w; }
}
