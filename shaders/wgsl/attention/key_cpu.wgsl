// The gradients of keys and values, for adapters that run shaders on the CPU's vector units.
//
// p = 2^(score - lse);  ds = p * (dropout(dout v^T) - delta);  dk = ds^T q scale;  dv = dropout(p)^T dout
//
// Grid: (ceil(Tk / (4*LANES)), Hkv, B). A workgroup is one subgroup and owns 4*LANES keys, four to a lane; it walks the
// queries that attend to any of them, ROWS at a time, head by head of those that share the key head: those numbered
// params.begin to params.end, so that a launch stays short; one that does not begin with head 0 adds to the one before.
// The tiles of forward_cpu.wgsl with the roles exchanged: rows are queries, columns are keys.
//
// Numeric: f32, over heads and queries in order.

alias Elem = f32; // spec
const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

// Terms of an unrolled step.
const STEP: u32 = LANES / 2u;
const KEY_ROWS: bool = false;

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
@group(0) @binding(10) var<storage, read_write> dk: array<Elem>; // [B,Hkv,Tk,D]
@group(0) @binding(11) var<storage, read_write> dv: array<Elem>; // [B,Hkv,Tk,Dv]

fn left4(at: vec4<u32>) -> vec4<f32> { return vec4(q[at.x], q[at.y], q[at.z], q[at.w]); }
fn right4(at: vec4<u32>) -> vec4<f32> { return vec4(k[at.x], k[at.y], k[at.z], k[at.w]); }
fn value_left4(at: vec4<u32>) -> vec4<f32> { return vec4(dout[at.x], dout[at.y], dout[at.z], dout[at.w]); }
fn value_right4(at: vec4<u32>) -> vec4<f32> { return vec4(v[at.x], v[at.y], v[at.z], v[at.w]); }

// Adds s to eight channels of the rows of dk of this lane. Channels past the end are the last one again, and get the same.
fn add_dk(at: vec4<u32>, exists: vec4<bool>, channel: u32, s: Sums) {
    for (var e = 0u; e < 4u; e++) {
        if exists[e] {
            let c = offsets(at[e], channel, params.width - 1u);
            let o = Values(dk[c.r0], dk[c.r1], dk[c.r2], dk[c.r3], dk[c.r4], dk[c.r5], dk[c.r6], dk[c.r7]);
            dk[c.r0] = o.r0 + s.r0[e];
            dk[c.r1] = o.r1 + s.r1[e];
            dk[c.r2] = o.r2 + s.r2[e];
            dk[c.r3] = o.r3 + s.r3[e];
            dk[c.r4] = o.r4 + s.r4[e];
            dk[c.r5] = o.r5 + s.r5[e];
            dk[c.r6] = o.r6 + s.r6[e];
            dk[c.r7] = o.r7 + s.r7[e];
        }
    }
}

// Adds s to eight channels of the rows of dv of this lane. Channels past the end are the last one again, and get the same.
fn add_dv(at: vec4<u32>, exists: vec4<bool>, channel: u32, s: Sums) {
    for (var e = 0u; e < 4u; e++) {
        if exists[e] {
            let c = offsets(at[e], channel, params.value_width - 1u);
            let o = Values(dv[c.r0], dv[c.r1], dv[c.r2], dv[c.r3], dv[c.r4], dv[c.r5], dv[c.r6], dv[c.r7]);
            dv[c.r0] = o.r0 + s.r0[e];
            dv[c.r1] = o.r1 + s.r1[e];
            dv[c.r2] = o.r2 + s.r2[e];
            dv[c.r3] = o.r3 + s.r3[e];
            dv[c.r4] = o.r4 + s.r4[e];
            dv[c.r5] = o.r5 + s.r5[e];
            dv[c.r6] = o.r6 + s.r6[e];
            dv[c.r7] = o.r7 + s.r7[e];
        }
    }
}

// A number of each of eight queries, of which lane l holds number l, and number l + 4 where there are but four lanes.
const SPAN: u32 = min(LANES, 8u);

fn each(v: vec2<f32>) -> Values {
    return Values(
        subgroupBroadcast(v.x, 0u), subgroupBroadcast(v.x, 1u), subgroupBroadcast(v.x, 2u), subgroupBroadcast(v.x, 3u),
        subgroupBroadcast(v[4u / SPAN], 4u % SPAN), subgroupBroadcast(v[5u / SPAN], 5u % SPAN),
        subgroupBroadcast(v[6u / SPAN], 6u % SPAN), subgroupBroadcast(v[7u / SPAN], 7u % SPAN),
    );
}

fn each_lse(at: u32, query: u32, last: u32) -> Values {
    var v: vec2<f32>;
    v.x = lse[at + min(query, last) * params.heads];
    if SPAN < 8u { v.y = lse[at + min(query + 4u, last) * params.heads]; }
    return each(v);
}

fn each_delta(at: u32, query: u32, last: u32) -> Values {
    var v: vec2<f32>;
    v.x = delta[at + min(query, last) * params.heads];
    if SPAN < 8u { v.y = delta[at + min(query + 4u, last) * params.heads]; }
    return each(v);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let b = tile.z;
    let length = length_of(b);
    let start = start_of(length);
    let first_key = tile.x * 4u * LANES;
    let key = first_key + lane + vec4(0u, LANES, 2u * LANES, 3u * LANES);
    let exists = key < vec4(params.keys);
    let k_base = b * params.k_batch + tile.y * params.k_head;
    let v_base = b * params.v_batch + tile.y * params.v_head;
    let dk_at = k_base + key * params.k_time;
    let dv_at = v_base + key * params.v_time;
    // What lies past the row's end is not read: it may be no number.
    let keys = min(key, vec4(max(length, 1u) - 1u));
    let k_at = k_base + keys * params.k_time;
    let v_at = v_base + keys * params.v_time;
    // The queries of each key, and of all of them together: the ranges only ever move on from key to key.
    let x = queries_of(key.x, start, length);
    let y = queries_of(key.y, start, length);
    let z = queries_of(key.z, start, length);
    let w = queries_of(key.w, start, length);
    let begin = vec4(x.x, y.x, z.x, w.x);
    let size = vec4(x.y, y.y, z.y, w.y);
    let first = queries_of(first_key, start, length).x;
    // Keys past the row's end have no queries, so the last that has some may come before the tile's last.
    let ultimate = queries_of(max(min(first_key + 4u * LANES, length), 1u) - 1u, start, length);
    let end = select(0u, ultimate.x + ultimate.y, first_key < length);
    let last = max(end, 1u) - 1u;

    if params.begin == 0u {
        for (var e = 0u; e < 4u; e++) {
            if exists[e] {
                for (var c = 0u; c < params.width; c++) { dk[dk_at[e] + c] = 0.0f; }
                for (var c = 0u; c < params.value_width; c++) { dv[dv_at[e] + c] = 0.0f; }
            }
        }
    }
    for (var n = params.begin; n < params.end; n++) {
        let h = tile.y * params.group + n;
        let q_base = b * params.q_batch + h * params.q_head;
        let out_base = b * params.o_batch + h * params.o_head;
        let row = b * params.queries * params.heads + h;
        let place = Place(b, h, start, last, keys);
        for (var query = first; query < end; query += ROWS) {
            var p = tile_scores(products(q_base, query, last, params.q_time, k_at, lane), place, query);
            p = tile_masked(p, query, begin, size);
            let own = query + lane % SPAN;
            p.t0 = weights_by_row(p.t0, each_lse(row, own, last));
            if ROWS > 8u { p.t1 = weights_by_row(p.t1, each_lse(row, own + 8u, last)); }
            if ROWS > 16u {
                p.t2 = weights_by_row(p.t2, each_lse(row, own + 16u, last));
                p.t3 = weights_by_row(p.t3, each_lse(row, own + 24u, last));
            }
            let kept = tile_kept(p, place, query);
            for (var c = 0u; c < params.value_width; c += 8u) {
                let last_c = params.value_width - 1u;
                add_dv(dv_at, exists, c, mixed_values(out_base, query, last, params.o_time, c, last_c, kept, lane));
            }
            let g = value_products(out_base, query, last, params.o_time, v_at, lane);
            var ds: Tile;
            ds.t0 = gradient_by_row(kept.t0, g.t0, p.t0, each_delta(row, own, last));
            if ROWS > 8u { ds.t1 = gradient_by_row(kept.t1, g.t1, p.t1, each_delta(row, own + 8u, last)); }
            if ROWS > 16u {
                ds.t2 = gradient_by_row(kept.t2, g.t2, p.t2, each_delta(row, own + 16u, last));
                ds.t3 = gradient_by_row(kept.t3, g.t3, p.t3, each_delta(row, own + 24u, last));
            }
            ds = tile_times(ds, params.scale * LN_2);
            for (var c = 0u; c < params.width; c += 8u) {
                let last_c = params.width - 1u;
                add_dk(dk_at, exists, c, mixed_left(q_base, query, last, params.q_time, c, last_c, ds, lane));
            }
        }
    }
}
