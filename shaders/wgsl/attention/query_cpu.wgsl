// The gradient of the queries, and of the terms by distance, for adapters that run shaders on the CPU's vector units.
//
// p = 2^(score - lse);  ds = p * (dropout(dout v^T) - delta);  dq = ds k scale
//
// Grid and tiles as in forward_cpu.wgsl: a workgroup owns 4*LANES queries and walks the keys that they attend to; the
// weights come again from the scores and `lse`. If LEARNED, `partial` gets the workgroup's part of the gradient of
// `distance`, and a reduction over workgroups follows. There an element is one distance, and a distance one diagonal of
// the tile: rows of ds are shuffled so that a diagonal stays with one lane, which alone adds to its element. Distances
// beyond the table's ends, and slopes, are summed in registers.
//
// Numeric: f32, over the keys in order.

alias Elem = f32; // spec
const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec
const LEARNED: bool = true; // spec

// Terms of an unrolled step: as many as the subgroup can load at once, 4 or 8.
const STEP: u32 = select(8u, 4u, LANES < 8u);
const KEY_ROWS: bool = true;

@group(0) @binding(0) var<storage, read> q: array<Elem>; // [B,H,Tq,D]
@group(0) @binding(1) var<storage, read> k: array<Elem>; // [B,Hkv,Tk,D]
@group(0) @binding(2) var<storage, read> v: array<Elem>; // [B,Hkv,Tk,Dv]
@group(0) @binding(3) var<storage, read> dout: array<Elem>; // [B,H,Tq,Dv]
@group(0) @binding(4) var<storage, read> lse: array<f32>; // [B,Tq,H]
@group(0) @binding(5) var<storage, read> delta: array<f32>; // [B,Tq,H], row sums of dout * out
@group(0) @binding(6) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(7) var<storage, read> bias: array<Elem>; // [B or 1,H or 1,Tq,Tk]
@group(0) @binding(8) var<storage, read> distance: array<Elem>; // [H,columns]
@group(0) @binding(9) var<storage, read> control: Control;
@group(0) @binding(10) var<storage, read_write> dq: array<Elem>; // [B,H,Tq,D]
@group(0) @binding(11) var<storage, read_write> partial: array<f32>; // [B,workgroups in x,H,columns] if LEARNED

fn left8(at: Offsets) -> Values {
    return Values(k[at.r0], k[at.r1], k[at.r2], k[at.r3], k[at.r4], k[at.r5], k[at.r6], k[at.r7]);
}
fn right4(at: vec4<u32>) -> vec4<f32> { return vec4(q[at.x], q[at.y], q[at.z], q[at.w]); }
fn value_left8(at: Offsets) -> Values {
    return Values(v[at.r0], v[at.r1], v[at.r2], v[at.r3], v[at.r4], v[at.r5], v[at.r6], v[at.r7]);
}
fn value_right4(at: vec4<u32>) -> vec4<f32> { return vec4(dout[at.x], dout[at.y], dout[at.z], dout[at.w]); }
fn lse4(at: vec4<u32>) -> vec4<f32> { return vec4(lse[at.x], lse[at.y], lse[at.z], lse[at.w]); }
fn delta4(at: vec4<u32>) -> vec4<f32> { return vec4(delta[at.x], delta[at.y], delta[at.z], delta[at.w]); }

// Eight channels of the four rows of dq that this lane owns.
fn load_dq(at: vec4<u32>, channel: u32) -> Sums {
    let c = row_offsets(0u, channel, params.width - 1u, 1u);
    return Sums(
        dq4(at + c.r0), dq4(at + c.r1), dq4(at + c.r2), dq4(at + c.r3),
        dq4(at + c.r4), dq4(at + c.r5), dq4(at + c.r6), dq4(at + c.r7),
    );
}
fn dq4(at: vec4<u32>) -> vec4<f32> { return vec4(dq[at.x], dq[at.y], dq[at.z], dq[at.w]); }

fn store_dq(at: vec4<u32>, exists: vec4<bool>, channel: u32, s: Sums) {
    if exists.x { put_dq(at.x, channel, Values(s.r0.x, s.r1.x, s.r2.x, s.r3.x, s.r4.x, s.r5.x, s.r6.x, s.r7.x)); }
    if exists.y { put_dq(at.y, channel, Values(s.r0.y, s.r1.y, s.r2.y, s.r3.y, s.r4.y, s.r5.y, s.r6.y, s.r7.y)); }
    if exists.z { put_dq(at.z, channel, Values(s.r0.z, s.r1.z, s.r2.z, s.r3.z, s.r4.z, s.r5.z, s.r6.z, s.r7.z)); }
    if exists.w { put_dq(at.w, channel, Values(s.r0.w, s.r1.w, s.r2.w, s.r3.w, s.r4.w, s.r5.w, s.r6.w, s.r7.w)); }
}

// Channels past the end are the last one again, computed again from the same values.
fn put_dq(at: u32, channel: u32, x: Values) {
    let c = row_offsets(at, channel, params.width - 1u, 1u);
    dq[c.r0] = x.r0; dq[c.r1] = x.r1; dq[c.r2] = x.r2; dq[c.r3] = x.r3;
    dq[c.r4] = x.r4; dq[c.r5] = x.r5; dq[c.r6] = x.r6; dq[c.r7] = x.r7;
}

// One gradient of a score at that distance: into the table, or where the table ends into a sum of the lane: x below its
// reach, y above, z for the slope.
fn add_distance(at: u32, apart: i32, ds: f32, sums: vec3<f32>) -> vec3<f32> {
    let radius = i32((params.columns - params.slopes) / 2u);
    let below = apart <= -radius;
    let above = apart >= radius && !below;
    if !below && !above { partial[at + params.slopes + u32(apart + radius)] += ds; }
    return sums + vec3(select(0.0f, ds, below), select(0.0f, ds, above), -abs(f32(apart)) * ds);
}

// The gradients of eight keys' scores, where `apart` is the distance of the first key from the query of lane 0.
fn add_distances(at: u32, apart: i32, lane: u32, s: Sums, sums: vec3<f32>) -> vec3<f32> {
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
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
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
    let k_base = b * params.k_batch + h / params.group * params.k_head;
    let v_base = b * params.v_batch + h / params.group * params.v_head;
    // The keys of each query, and of all of them together: the ranges only ever move on from query to query.
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
    let place = Place(b, h, start, last, queries);
    let own = (b * params.queries + queries) * params.heads + h;
    let lse_own = lse4(own);
    let delta_own = delta4(own);
    let row = ((b * tiles.x + tile.x) * params.heads + h) * params.columns;

    for (var e = 0u; e < 4u; e++) {
        if exists[e] {
            for (var c = 0u; c < params.width; c++) { dq[q_at[e] + c] = 0.0f; }
        }
    }
    let radius = i32((params.columns - params.slopes) / 2u);
    var ends = vec3(0.0f);
    if LEARNED {
        for (var d = 1 - radius + i32((lane + u32(radius) - 1u) % LANES); d < radius; d += i32(LANES)) {
            partial[row + params.slopes + u32(d + radius)] = 0.0f;
        }
    }
    for (var key = first; key < end; key += ROWS) {
        var p = tile_scores(products(k_base, key, last, params.k_time, q_at, lane), place, key);
        p = tile_weights(tile_masked(p, key, begin, size), lse_own);
        let g = value_products(v_base, key, last, params.v_time, out_at, lane);
        var ds = tile_gradient(tile_kept(p, place, key), g, p, delta_own);
        if LEARNED {
            let apart = i32(key) - i32(first_query) - start;
            for (var n = 0u; n < ROWS; n += 8u) { ends = add_distances(row, apart + i32(n), lane, octet(ds, n), ends); }
        }
        ds = tile_times(ds, params.scale * LN_2);
        for (var c = 0u; c < params.width; c += 8u) {
            let after = add_left(k_base, key, last, params.k_time, c, params.width - 1u, ds, lane, load_dq(q_at, c));
            store_dq(q_at, exists, c, after);
        }
    }
    if LEARNED {
        let sums = vec3(subgroupAdd(ends.x), subgroupAdd(ends.y), subgroupAdd(ends.z));
        if lane == 0u {
            if params.slopes > 0u { partial[row] = sums.z; }
            // A table of one column is its own lower and upper end.
            let one = radius == 0;
            if params.columns > params.slopes { partial[row + params.slopes] = sums.x + select(0.0f, sums.y, one); }
            if !one { partial[row + params.columns - 1u] = sums.y; }
        }
    }
}
