// The gradients of keys and values, for adapters that run shaders on the CPU's vector units.
//
// p = 2^(score - lse);  ds = p * (dropout(dout v^T) - delta);  dk = ds^T q scale;  dv = dropout(p)^T dout
//
// Grid: (ceil(Tk / (4*LANES)), Hkv, B). A workgroup is one subgroup and owns 4*LANES keys, four to a lane; it walks the
// queries that attend to any of them, ROWS at a time, head by head of those that share the key head. A launch has the
// pairs numbered params.begin to params.end, of the n-th of those heads and its query i the n*Tq+i-th, so that it stays
// short; one that does not begin with the first adds to the one before.
// The tiles of forward_cpu.wgsl with the roles exchanged: rows are queries, columns are keys.
//
// Numeric: f32, over heads and queries in order.
//
// Joined: control, rng, grid, attention, octets, attention_tile, attention_scores, attention_gradient

alias Elem = f32; // spec
alias Elem4 = vec4<f32>; // spec
const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

const KEY_ROWS: bool = false;
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
@group(0) @binding(10) var<storage, read_write> dk: array<Elem4>; // [B,Hkv,Tk,D]
@group(0) @binding(11) var<storage, read_write> dv: array<Elem4>; // [B,Hkv,Tk,Dv]

fn left(values: bool, at: u32) -> vec4<f32> {
    if values { return dout[at]; }
    return q[at];
}
fn right(values: bool, at: u32) -> vec4<f32> {
    if values { return v[at]; }
    return k[at];
}

// Adds s to a quad of the rows of dk of this lane.
fn add_dk(at: vec4<u32>, exists: vec4<bool>, s: Quad) {
    if exists.x { dk[at.x] += s.p0; }
    if exists.y { dk[at.y] += s.p1; }
    if exists.z { dk[at.z] += s.p2; }
    if exists.w { dk[at.w] += s.p3; }
}

// Adds s to a quad of the rows of dv of this lane.
fn add_dv(at: vec4<u32>, exists: vec4<bool>, s: Quad) {
    if exists.x { dv[at.x] += s.p0; }
    if exists.y { dv[at.y] += s.p1; }
    if exists.z { dv[at.z] += s.p2; }
    if exists.w { dv[at.w] += s.p3; }
}

// lse and delta of eight queries, of which lane r has that of number r, and in y of number r + 4 where there are but four lanes.
fn each_lse(at: u32, query: u32, last: u32) -> Eight {
    var v: vec2<f32>;
    v.x = lse[at + min(query, last) * params.heads];
    if SPAN < 8u { v.y = lse[at + min(query + 4u, last) * params.heads]; }
    return each(v);
}

fn each_delta(at: u32, query: u32, last: u32) -> Eight {
    var v: vec2<f32>;
    v.x = delta[at + min(query, last) * params.heads];
    if SPAN < 8u { v.y = delta[at + min(query + 4u, last) * params.heads]; }
    return each(v);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let parts = vec2((params.keys + 4u * LANES - 1u) / (4u * LANES), params.heads / params.group);
    let tile = own_part(id, groups, parts);
    if tile.z >= params.planes { return; }
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

    if params.begin == 0u {
        for (var c = 0u; c < params.width; c++) {
            if exists.x { dk[dk_at.x + c] = vec4(0.0f); }
            if exists.y { dk[dk_at.y + c] = vec4(0.0f); }
            if exists.z { dk[dk_at.z + c] = vec4(0.0f); }
            if exists.w { dk[dk_at.w + c] = vec4(0.0f); }
        }
        for (var c = 0u; c < params.value_width; c++) {
            if exists.x { dv[dv_at.x + c] = vec4(0.0f); }
            if exists.y { dv[dv_at.y + c] = vec4(0.0f); }
            if exists.z { dv[dv_at.z + c] = vec4(0.0f); }
            if exists.w { dv[dv_at.w + c] = vec4(0.0f); }
        }
    }
    let pairs = max(params.queries, 1u);
    let heads_end = (params.end + pairs - 1u) / pairs;
    for (var n = params.begin / pairs; n < heads_end; n++) {
        let h = tile.y * params.group + n;
        // Of this head's queries those of the launch.
        let own_begin = max(params.begin, n * params.queries) - n * params.queries;
        let own_end = min(params.end - n * params.queries, end);
        let last = max(own_end, 1u) - 1u;
        let own_size = below(own_end, begin, size);
        let q_rows = Rows(b * params.q_batch + h * params.q_head, params.q_time, last);
        let out_rows = Rows(b * params.o_batch + h * params.o_head, params.o_time, last);
        let row = b * params.queries * params.heads + h;
        let place = Place(b, h, start, last, keys);
        for (var query = max(first, own_begin); query < own_end; query += ROWS) {
            var p = tile_scores(products(false, q_rows, query, k_at, params.width, lane), place, query);
            p = tile_masked(p, query, begin, own_size);
            let own = query + lane % SPAN;
            p.t0 = weights_by_row(p.t0, each_lse(row, own, last));
            if ROWS > 8u { p.t1 = weights_by_row(p.t1, each_lse(row, own + 8u, last)); }
            if ROWS > 16u {
                p.t2 = weights_by_row(p.t2, each_lse(row, own + 16u, last));
                p.t3 = weights_by_row(p.t3, each_lse(row, own + 24u, last));
            }
            let kept = tile_kept(p, place, query);
            for (var c = 0u; c < params.value_width; c++) {
                add_dv(dv_at + c, exists, mixed(true, out_rows, query, c, kept, lane));
            }
            let g = products(true, out_rows, query, v_at, params.value_width, lane);
            var ds: Tile;
            ds.t0 = gradient_by_row(kept.t0, g.t0, p.t0, each_delta(row, own, last));
            if ROWS > 8u { ds.t1 = gradient_by_row(kept.t1, g.t1, p.t1, each_delta(row, own + 8u, last)); }
            if ROWS > 16u {
                ds.t2 = gradient_by_row(kept.t2, g.t2, p.t2, each_delta(row, own + 16u, last));
                ds.t3 = gradient_by_row(kept.t3, g.t3, p.t3, each_delta(row, own + 24u, last));
            }
            ds = tile_times(ds, params.scale * LN_2);
            for (var c = 0u; c < params.width; c++) {
                add_dk(dk_at + c, exists, mixed(false, q_rows, query, c, ds, lane));
            }
        }
    }
}
