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

// Terms of an unrolled step: as many as the subgroup can load at once, 4 or 8.
const STEP: u32 = select(8u, 4u, LANES < 8u);
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

fn left8(at: Offsets) -> Values {
    return Values(q[at.r0], q[at.r1], q[at.r2], q[at.r3], q[at.r4], q[at.r5], q[at.r6], q[at.r7]);
}
fn right4(at: vec4<u32>) -> vec4<f32> { return vec4(k[at.x], k[at.y], k[at.z], k[at.w]); }
fn value_left8(at: Offsets) -> Values {
    return Values(dout[at.r0], dout[at.r1], dout[at.r2], dout[at.r3], dout[at.r4], dout[at.r5], dout[at.r6], dout[at.r7]);
}
fn value_right4(at: vec4<u32>) -> vec4<f32> { return vec4(v[at.x], v[at.y], v[at.z], v[at.w]); }

// Eight channels of the four rows of dk that this lane owns.
fn load_dk(at: vec4<u32>, channel: u32) -> Sums {
    let c = row_offsets(0u, channel, params.width - 1u, 1u);
    return Sums(
        dk4(at + c.r0), dk4(at + c.r1), dk4(at + c.r2), dk4(at + c.r3),
        dk4(at + c.r4), dk4(at + c.r5), dk4(at + c.r6), dk4(at + c.r7),
    );
}
fn dk4(at: vec4<u32>) -> vec4<f32> { return vec4(dk[at.x], dk[at.y], dk[at.z], dk[at.w]); }

fn store_dk(at: vec4<u32>, exists: vec4<bool>, channel: u32, s: Sums) {
    if exists.x { put_dk(at.x, channel, Values(s.r0.x, s.r1.x, s.r2.x, s.r3.x, s.r4.x, s.r5.x, s.r6.x, s.r7.x)); }
    if exists.y { put_dk(at.y, channel, Values(s.r0.y, s.r1.y, s.r2.y, s.r3.y, s.r4.y, s.r5.y, s.r6.y, s.r7.y)); }
    if exists.z { put_dk(at.z, channel, Values(s.r0.z, s.r1.z, s.r2.z, s.r3.z, s.r4.z, s.r5.z, s.r6.z, s.r7.z)); }
    if exists.w { put_dk(at.w, channel, Values(s.r0.w, s.r1.w, s.r2.w, s.r3.w, s.r4.w, s.r5.w, s.r6.w, s.r7.w)); }
}

// Channels past the end are the last one again, computed again from the same values.
fn put_dk(at: u32, channel: u32, x: Values) {
    let c = row_offsets(at, channel, params.width - 1u, 1u);
    dk[c.r0] = x.r0; dk[c.r1] = x.r1; dk[c.r2] = x.r2; dk[c.r3] = x.r3;
    dk[c.r4] = x.r4; dk[c.r5] = x.r5; dk[c.r6] = x.r6; dk[c.r7] = x.r7;
}

// Eight channels of the four rows of dv that this lane owns.
fn load_dv(at: vec4<u32>, channel: u32) -> Sums {
    let c = row_offsets(0u, channel, params.value_width - 1u, 1u);
    return Sums(
        dv4(at + c.r0), dv4(at + c.r1), dv4(at + c.r2), dv4(at + c.r3),
        dv4(at + c.r4), dv4(at + c.r5), dv4(at + c.r6), dv4(at + c.r7),
    );
}
fn dv4(at: vec4<u32>) -> vec4<f32> { return vec4(dv[at.x], dv[at.y], dv[at.z], dv[at.w]); }

fn store_dv(at: vec4<u32>, exists: vec4<bool>, channel: u32, s: Sums) {
    if exists.x { put_dv(at.x, channel, Values(s.r0.x, s.r1.x, s.r2.x, s.r3.x, s.r4.x, s.r5.x, s.r6.x, s.r7.x)); }
    if exists.y { put_dv(at.y, channel, Values(s.r0.y, s.r1.y, s.r2.y, s.r3.y, s.r4.y, s.r5.y, s.r6.y, s.r7.y)); }
    if exists.z { put_dv(at.z, channel, Values(s.r0.z, s.r1.z, s.r2.z, s.r3.z, s.r4.z, s.r5.z, s.r6.z, s.r7.z)); }
    if exists.w { put_dv(at.w, channel, Values(s.r0.w, s.r1.w, s.r2.w, s.r3.w, s.r4.w, s.r5.w, s.r6.w, s.r7.w)); }
}

// Channels past the end are the last one again, computed again from the same values.
fn put_dv(at: u32, channel: u32, x: Values) {
    let c = row_offsets(at, channel, params.value_width - 1u, 1u);
    dv[c.r0] = x.r0; dv[c.r1] = x.r1; dv[c.r2] = x.r2; dv[c.r3] = x.r3;
    dv[c.r4] = x.r4; dv[c.r5] = x.r5; dv[c.r6] = x.r6; dv[c.r7] = x.r7;
}

// A number of each of eight queries, of which the lanes hold one each; `high` four queries on.
fn each(low: f32, high: f32) -> Values {
    if STEP > 4u {
        return Values(
            subgroupBroadcast(low, 0u), subgroupBroadcast(low, 1u), subgroupBroadcast(low, 2u), subgroupBroadcast(low, 3u),
            subgroupBroadcast(low, 4u), subgroupBroadcast(low, 5u), subgroupBroadcast(low, 6u), subgroupBroadcast(low, 7u),
        );
    }
    return Values(
        subgroupBroadcast(low, 0u), subgroupBroadcast(low, 1u), subgroupBroadcast(low, 2u), subgroupBroadcast(low, 3u),
        subgroupBroadcast(high, 0u), subgroupBroadcast(high, 1u), subgroupBroadcast(high, 2u), subgroupBroadcast(high, 3u),
    );
}

fn each_lse(at: u32, query: u32, last: u32) -> Values {
    return each(lse[at + min(query, last) * params.heads], lse[at + min(query + 4u, last) * params.heads]);
}

fn each_delta(at: u32, query: u32, last: u32) -> Values {
    return each(delta[at + min(query, last) * params.heads], delta[at + min(query + 4u, last) * params.heads]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let b = tile.z;
    let length = length_of(b);
    let start = start_of(length);
    let first_key = tile.x * 4u * LANES;
    let key = first_key + lane + vec4(0u, LANES, 2u * LANES, 3u * LANES);
    let exists = key < vec4(params.keys);
    let keys = min(key, vec4(params.keys - 1u));
    let k_at = b * params.k_batch + tile.y * params.k_head + keys * params.k_time;
    let v_at = b * params.v_batch + tile.y * params.v_head + keys * params.v_time;
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
                for (var c = 0u; c < params.width; c++) { dk[k_at[e] + c] = 0.0f; }
                for (var c = 0u; c < params.value_width; c++) { dv[v_at[e] + c] = 0.0f; }
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
            let own = query + lane % STEP;
            p.t0 = weights_by_row(p.t0, each_lse(row, own, last));
            if ROWS > 8u { p.t1 = weights_by_row(p.t1, each_lse(row, own + 8u, last)); }
            if ROWS > 16u {
                p.t2 = weights_by_row(p.t2, each_lse(row, own + 16u, last));
                p.t3 = weights_by_row(p.t3, each_lse(row, own + 24u, last));
            }
            let kept = tile_kept(p, place, query);
            for (var c = 0u; c < params.value_width; c += 8u) {
                let before = load_dv(v_at, c);
                let last_c = params.value_width - 1u;
                store_dv(v_at, exists, c, add_values(out_base, query, last, params.o_time, c, last_c, kept, lane, before));
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
                let before = load_dk(k_at, c);
                let last_c = params.width - 1u;
                store_dk(k_at, exists, c, add_left(q_base, query, last, params.q_time, c, last_c, ds, lane, before));
            }
        }
    }
}
