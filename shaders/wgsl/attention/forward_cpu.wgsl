// out = softmax(q k^T scale + terms) v for each batch row and head, for adapters that run shaders on the CPU's vector units
//
// q [B,H,Tq,D], k [B,Hkv,Tk,D], v [B,Hkv,Tk,Dv], out [B,H,Tq,Dv], each strided; lse [B,Tq,H], log2 of the sum of 2^score.
// Grid: (ceil(Tq / (4*LANES)), H, B). A workgroup is one subgroup and owns 4*LANES queries, four to a lane; it walks the
// keys that any of them attends to, ROWS at a time, with a running maximum and sum (online softmax, M. Milakov and
// N. Gimelshein 2018), so no score is ever stored.
//
// A tile of scores has keys as rows and queries as columns. So the softmax needs no exchange between lanes, and the tile
// is the right operand of out^T = v^T p^T as it lies. The sums of `out` live in its buffer, eight channels in registers
// at a time: any width is then one rolled loop, and an element is only ever touched by the lane that owns its query.
//
// Numeric: f32, over the keys in order. A query that attends to nothing gets 0 and an lse of EMPTY.

alias Elem = f32; // spec
const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

// Terms of an unrolled step.
const STEP: u32 = LANES / 2u;
const KEY_ROWS: bool = true;

@group(0) @binding(0) var<storage, read> q: array<Elem>; // [B,H,Tq,D]
@group(0) @binding(1) var<storage, read> k: array<Elem>; // [B,Hkv,Tk,D]
@group(0) @binding(2) var<storage, read> v: array<Elem>; // [B,Hkv,Tk,Dv]
@group(0) @binding(3) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(4) var<storage, read> bias: array<Elem>; // [B or 1,H or 1,Tq,Tk]
@group(0) @binding(5) var<storage, read> distance: array<Elem>; // [H,columns]
@group(0) @binding(6) var<storage, read> control: Control;
@group(0) @binding(7) var<storage, read_write> out: array<Elem>; // [B,H,Tq,Dv]
@group(0) @binding(8) var<storage, read_write> lse: array<f32>; // [B,Tq,H]

fn left4(at: vec4<u32>) -> vec4<f32> { return vec4(k[at.x], k[at.y], k[at.z], k[at.w]); }
fn right4(at: vec4<u32>) -> vec4<f32> { return vec4(q[at.x], q[at.y], q[at.z], q[at.w]); }
fn value_left4(at: vec4<u32>) -> vec4<f32> { return vec4(v[at.x], v[at.y], v[at.z], v[at.w]); }

// out * factor + s in eight channels of the rows of this lane. Channels past the end are the last one again, and get the same.
fn add_out(at: vec4<u32>, exists: vec4<bool>, channel: u32, factor: vec4<f32>, s: Sums) {
    for (var e = 0u; e < 4u; e++) {
        if exists[e] {
            let c = offsets(at[e], channel, params.value_width - 1u);
            let o = Values(out[c.r0], out[c.r1], out[c.r2], out[c.r3], out[c.r4], out[c.r5], out[c.r6], out[c.r7]);
            out[c.r0] = fma(o.r0, factor[e], s.r0[e]);
            out[c.r1] = fma(o.r1, factor[e], s.r1[e]);
            out[c.r2] = fma(o.r2, factor[e], s.r2[e]);
            out[c.r3] = fma(o.r3, factor[e], s.r3[e]);
            out[c.r4] = fma(o.r4, factor[e], s.r4[e]);
            out[c.r5] = fma(o.r5, factor[e], s.r5[e]);
            out[c.r6] = fma(o.r6, factor[e], s.r6[e]);
            out[c.r7] = fma(o.r7, factor[e], s.r7[e]);
        }
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
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

    for (var e = 0u; e < 4u; e++) {
        if exists[e] {
            for (var c = 0u; c < params.value_width; c++) { out[out_at[e] + c] = 0.0f; }
        }
    }
    var top = vec4(LOWEST);
    var sum = vec4(0.0f);
    for (var key = first; key < end; key += ROWS) {
        var t = tile_scores(products(k_base, key, last, params.k_time, q_at, lane), place, key);
        t = tile_masked(t, key, begin, size);
        let higher = max(top, tile_greatest(t));
        let factor = exp2(top - higher);
        top = higher;
        t = tile_weights(t, top);
        sum = fma(sum, factor, tile_total(t));
        t = tile_kept(t, place, key);
        for (var c = 0u; c < params.value_width; c += 8u) {
            add_out(out_at, exists, c, factor, mixed_values(v_base, key, last, params.v_time, c, params.value_width - 1u, t, lane));
        }
    }

    let some = sum > vec4(0.0f);
    let inverse = select(vec4(0.0f), 1.0f / sum, some);
    let logarithm = select(vec4(EMPTY), top + log2(sum), some);
    for (var e = 0u; e < 4u; e++) {
        if exists[e] {
            lse[(b * params.queries + query[e]) * params.heads + h] = logarithm[e];
            for (var c = 0u; c < params.value_width; c++) { out[out_at[e] + c] *= inverse[e]; }
        }
    }
}
