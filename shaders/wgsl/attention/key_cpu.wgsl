// The gradients of keys and values, on adapters that run shaders on the CPU's vector units.
//
// P = 2^(S - lse);  dS = P * (dropout(dout v^T) - delta);  dk = dS^T q scale;  dv = dropout(P)^T dout
//
// Grid: (ceil(Tk / (4*LANES)), Hkv, B), or folded (grid.wgsl). A workgroup is one subgroup and owns 4*LANES keys, four to a lane. It
// walks the queries that attend to any of them, ROWS at a time, for one head after another of those that share the key head. The tiles
// are those of forward_cpu.wgsl with the roles exchanged: rows are queries, columns are keys.
//
// Pairs of such a head and a query are numbered n*Tq + i, for the n-th head and query i. A launch has the pairs from params.begin to
// params.end, so that it stays short. A launch that does not begin with pair 0 adds to the one before.
//
// Numeric: f32, over heads and queries in order.
//
// Joined: control, rng, grid, attention, octets, attention_tile, attention_scores, attention_gradient

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

const KEY_ROWS: bool = false;
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
@group(0) @binding(10) var<storage, read_write> dk: array<vec4<f32>>; // [B,Hkv,Tk,D]
@group(0) @binding(11) var<storage, read_write> dv: array<vec4<f32>>; // [B,Hkv,Tk,Dv]

fn load_row(pair: bool, at: u32) -> vec4<f32> {
    if pair == DO_V { return dout[at]; }
    return q[at];
}
fn load_column(pair: bool, at: u32) -> vec4<f32> {
    if pair == DO_V { return v[at]; }
    return k[at];
}

// Adds s to four channels of dk of the lane's keys.
fn add_dk(at: vec4<u32>, exists: vec4<bool>, s: HeadSlice) {
    if exists.x { dk[at.x] += s.p0; }
    if exists.y { dk[at.y] += s.p1; }
    if exists.z { dk[at.z] += s.p2; }
    if exists.w { dk[at.w] += s.p3; }
}

// Adds s to four channels of dv of the lane's keys.
fn add_dv(at: vec4<u32>, exists: vec4<bool>, s: HeadSlice) {
    if exists.x { dv[at.x] += s.p0; }
    if exists.y { dv[at.y] += s.p1; }
    if exists.z { dv[at.z] += s.p2; }
    if exists.w { dv[at.w] += s.p3; }
}

// lse and delta of eight queries. `query` is the one that this lane loads; a subgroup of four lanes loads also query + 4.
fn lse_of_rows(at: u32, query: u32, last: u32) -> RowStats {
    var v: vec2<f32>;
    v.x = lse[at + min(query, last) * params.heads];
    if ROW_LANES < 8u { v.y = lse[at + min(query + 4u, last) * params.heads]; }
    return row_stats(v);
}

fn delta_of_rows(at: u32, query: u32, last: u32) -> RowStats {
    var v: vec2<f32>;
    v.x = delta[at + min(query, last) * params.heads];
    if ROW_LANES < 8u { v.y = delta[at + min(query + 4u, last) * params.heads]; }
    return row_stats(v);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let parts = vec2((params.keys + 4u * LANES - 1u) / (4u * LANES), params.heads / params.group);
    let tile = tile_of_workgroup(id, groups, parts);
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
    // What lies past the row's end is not read: it may be a NaN.
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
    let last_range = queries_of(max(min(first_key + 4u * LANES, length), 1u) - 1u, start, length);
    let end = select(0u, last_range.x + last_range.y, first_key < length);

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
        let launch_begin = max(params.begin, n * params.queries) - n * params.queries;
        let launch_end = min(params.end - n * params.queries, end);
        let last = max(launch_end, 1u) - 1u;
        let launch_size = sizes_below(launch_end, begin, size);
        let q_rows = StridedRows(b * params.q_batch + h * params.q_head, params.q_time, last);
        let out_rows = StridedRows(b * params.o_batch + h * params.o_head, params.o_time, last);
        let row = b * params.queries * params.heads + h;
        let origin = TileOrigin(b, h, start, last, keys);
        for (var query = max(first, launch_begin); query < launch_end; query += ROWS) {
            var p = tile_scores(tile_dots(QK, q_rows, query, k_at, params.width, lane), origin, query);
            p = tile_masked(p, query, begin, launch_size);
            let lane_query = query + lane % ROW_LANES;
            p.t0 = octet_probabilities_by_row(p.t0, lse_of_rows(row, lane_query, last));
            if ROWS > 8u { p.t1 = octet_probabilities_by_row(p.t1, lse_of_rows(row, lane_query + 8u, last)); }
            if ROWS > 16u {
                p.t2 = octet_probabilities_by_row(p.t2, lse_of_rows(row, lane_query + 16u, last));
                p.t3 = octet_probabilities_by_row(p.t3, lse_of_rows(row, lane_query + 24u, last));
            }
            let dropped = tile_dropout(p, origin, query);
            for (var c = 0u; c < params.value_width; c++) {
                add_dv(dv_at + c, exists, combine_rows(DO_V, out_rows, query, c, dropped, lane));
            }
            let dp = tile_dots(DO_V, out_rows, query, v_at, params.value_width, lane);
            var ds: Tile;
            ds.t0 = octet_gradient_by_row(dropped.t0, dp.t0, p.t0, delta_of_rows(row, lane_query, last));
            if ROWS > 8u { ds.t1 = octet_gradient_by_row(dropped.t1, dp.t1, p.t1, delta_of_rows(row, lane_query + 8u, last)); }
            if ROWS > 16u {
                ds.t2 = octet_gradient_by_row(dropped.t2, dp.t2, p.t2, delta_of_rows(row, lane_query + 16u, last));
                ds.t3 = octet_gradient_by_row(dropped.t3, dp.t3, p.t3, delta_of_rows(row, lane_query + 24u, last));
            }
            ds = tile_scale(ds, params.scale * LN_2);
            for (var c = 0u; c < params.width; c++) {
                add_dk(dk_at + c, exists, combine_rows(QK, q_rows, query, c, ds, lane));
            }
        }
    }
}
