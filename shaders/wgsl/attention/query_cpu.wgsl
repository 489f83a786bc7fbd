// The gradients of the queries and of the terms by distance, on adapters that run shaders on the CPU's vector units.
//
// P = 2^(S - lse);  dS = P * (dropout(dout v^T) - delta);  dq = dS k scale
//
// Grid and tiles as in forward_cpu.wgsl: a workgroup owns 4*LANES queries and walks the keys that they attend to. It computes the scores
// again, and the probabilities from them and `lse`.
//
// With LEARNED, `partial` gets the workgroup's part of the gradient of `distance`; a reduction over workgroups follows. An element of
// `distance` is one distance, and a distance is one diagonal of the tile. Rows of dS are shuffled so that a diagonal stays with one
// lane, and only that lane adds to its element. Distances beyond the ends of the table, and slopes, are summed in registers.
//
// A launch has the keys from params.begin to params.end. A launch that does not begin with key 0 adds to the one before.
//
// Numeric: f32, over the keys in order.
//
// Joined: control, rng, grid, attention, octets, attention_tile, attention_scores, attention_gradient

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec
const LEARNED: bool = true; // spec

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
@group(0) @binding(10) var<storage, read_write> dq: array<vec4<f32>>; // [B,H,Tq,D]
@group(0) @binding(11) var<storage, read_write> partial: array<f32>; // [B,workgroups in x,H,columns] if LEARNED

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

// Adds s to four channels of dq of the lane's queries.
fn add_dq(at: vec4<u32>, exists: vec4<bool>, s: HeadSlice) {
    if exists.x { dq[at.x] += s.p0; }
    if exists.y { dq[at.y] += s.p1; }
    if exists.z { dq[at.z] += s.p2; }
    if exists.w { dq[at.w] += s.p3; }
}

// Adds a sum over the launch's keys to those of the launches before.
fn add_partial(at: u32, sum: f32) {
    if params.begin > 0u { partial[at] += sum; } else { partial[at] = sum; }
}

// Adds the gradient of one score at a distance: to the table or, beyond its ends, to the lane's sums: x below the table, y above it. z is
// for the slope.
fn add_distance(at: u32, apart: i32, ds: f32, sums: vec3<f32>) -> vec3<f32> {
    let radius = i32((params.columns - params.slopes) / 2u);
    let below = apart <= -radius;
    let above = apart >= radius && !below;
    if !below && !above { partial[at + params.slopes + u32(apart + radius)] += ds; }
    return sums + vec3(select(0.0f, ds, below), select(0.0f, ds, above), -abs(f32(apart)) * ds);
}

// The gradients of the scores of eight keys. `apart` is the distance of the first key from the query of lane 0.
fn add_distances(at: u32, apart: i32, lane: u32, s: Octet, sums: vec3<f32>) -> vec3<f32> {
    var ends = sums;
    for (var r = 0u; r < 8u; r++) {
        // The lane whose query is as far from the key, modulo LANES, as this lane's number.
        let source = (u32(apart) + r - lane) % LANES;
        let x = subgroupShuffle(octet_row(s, r), source);
        let d = apart + i32(r) - i32(source);
        ends = add_distance(at, d, x.x, ends);
        ends = add_distance(at, d - i32(LANES), x.y, ends);
        ends = add_distance(at, d - i32(2u * LANES), x.z, ends);
        ends = add_distance(at, d - i32(3u * LANES), x.w, ends);
    }
    return ends;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let parts = vec2((params.queries + 4u * LANES - 1u) / (4u * LANES), params.heads);
    let tile = tile_of_workgroup(id, groups, parts);
    if tile.z >= params.planes { return; }
    let b = tile.z;
    let h = tile.y;
    let length = length_of(b);
    let start = start_of(length);
    let first_query = tile.x * 4u * LANES;
    let query = first_query + lane + vec4(0u, LANES, 2u * LANES, 3u * LANES);
    let exists = query < vec4(params.queries);
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
    let last_range = keys_of(min(first_query + 4u * LANES, params.queries) - 1u, start, length);
    let end = min(last_range.x + last_range.y, params.end);
    let last = max(end, 1u) - 1u;
    let k_rows = StridedRows(b * params.k_batch + h / params.group * params.k_head, params.k_time, last);
    let v_rows = StridedRows(b * params.v_batch + h / params.group * params.v_head, params.v_time, last);
    let origin = TileOrigin(b, h, start, last, queries);
    let stats_at = (b * params.queries + queries) * params.heads + h;
    let lse_lane = lse4(stats_at);
    let delta_lane = delta4(stats_at);
    let row = ((b * parts.x + tile.x) * params.heads + h) * params.columns;

    if params.begin == 0u {
        for (var c = 0u; c < params.width; c++) {
            if exists.x { dq[q_at.x + c] = vec4(0.0f); }
            if exists.y { dq[q_at.y + c] = vec4(0.0f); }
            if exists.z { dq[q_at.z + c] = vec4(0.0f); }
            if exists.w { dq[q_at.w + c] = vec4(0.0f); }
        }
    }
    let radius = i32((params.columns - params.slopes) / 2u);
    var ends = vec3(0.0f);
    if LEARNED && params.begin == 0u {
        for (var d = 1 - radius + i32((lane + u32(radius) - 1u) % LANES); d < radius; d += i32(LANES)) {
            partial[row + params.slopes + u32(d + radius)] = 0.0f;
        }
    }
    for (var key = first; key < end; key += ROWS) {
        var p = tile_scores(tile_dots(QK, k_rows, key, q_at, params.width, lane), origin, key);
        p = tile_probabilities(tile_masked(p, key, begin, size), lse_lane);
        let dp = tile_dots(DO_V, v_rows, key, out_at, params.value_width, lane);
        var ds = tile_gradient(tile_dropout(p, origin, key), dp, p, delta_lane);
        if LEARNED {
            let apart = i32(key) - i32(first_query) - start;
            for (var n = 0u; n < ROWS; n += 8u) { ends = add_distances(row, apart + i32(n), lane, octet(ds, n), ends); }
        }
        ds = tile_scale(ds, params.scale * LN_2);
        for (var c = 0u; c < params.width; c++) { add_dq(q_at + c, exists, combine_rows(QK, k_rows, key, c, ds, lane)); }
    }
    if LEARNED {
        let sums = vec3(subgroupAdd(ends.x), subgroupAdd(ends.y), subgroupAdd(ends.z));
        if lane == 0u {
            // A table of one column is its own lower and upper end.
            let one = radius == 0;
            if params.slopes > 0u { add_partial(row, sums.z); }
            if params.columns > params.slopes { add_partial(row + params.slopes, sums.x + select(0.0f, sums.y, one)); }
            if !one { add_partial(row + params.columns - 1u, sums.y); }
        }
    }
}
