// The gradients of the queries and of the terms by distance, on GPUs.
//
// P = 2^(S - lse);  dS = P * (dropout(dout v^T) - delta);  dq = dS k scale
//
// Grid: (ceil(Tq / 32), H * ceil(D / 64), B), or folded (grid.wgsl); tiles as in forward.wgsl.
//
// With LEARNED, `partial` gets the workgroup's part of the gradient of `distance`; a reduction over workgroups follows. An element of
// `distance` is one distance, and a distance is one diagonal of the tile. One invocation sums a diagonal, the same one for a distance in
// every tile. Distances beyond the ends of the table, and slopes, are summed in registers.
//
// Numeric: f32, over the keys in order.
//
// Joined: control, rng, grid, attention, attention_workgroup

const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec
const LEARNED: bool = true; // spec

@group(0) @binding(0) var<storage, read> q: array<f32>; // [B,H,Tq,D]
@group(0) @binding(1) var<storage, read> k: array<f32>; // [B,Hkv,Tk,D]
@group(0) @binding(2) var<storage, read> v: array<f32>; // [B,Hkv,Tk,Dv]
@group(0) @binding(3) var<storage, read> dout: array<f32>; // [B,H,Tq,Dv]
@group(0) @binding(4) var<storage, read> lse: array<f32>; // [B,Tq,H]
@group(0) @binding(5) var<storage, read> delta: array<f32>; // [B,Tq,H], row sums of dout * out
@group(0) @binding(6) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(7) var<storage, read> bias: array<f32>; // [B or 1,H or 1,Tq,Tk]
@group(0) @binding(8) var<storage, read> distance: array<f32>; // [H,columns]
@group(0) @binding(9) var<storage, read> control: Control;
@group(0) @binding(10) var<storage, read_write> dq: array<f32>; // [B,H,Tq,D]
@group(0) @binding(11) var<storage, read_write> partial: array<f32>; // [B,workgroups in x,H,columns] if LEARNED

fn load_owned(pair: bool, at: u32) -> f32 {
    if pair == DO_V { return dout[at]; }
    return q[at];
}
fn load_walked(pair: bool, at: u32) -> f32 {
    if pair == DO_V { return v[at]; }
    return k[at];
}

// The sum of diagonal `shift` of the shared gradients: walked row i + shift of owned row i.
fn diagonal(shift: i32) -> f32 {
    var sum = 0.0f;
    for (var i = max(0, -shift); i < min(i32(TILE), i32(TILE) - shift); i++) { sum += shared_tile[i * i32(SHARED_PITCH) + i + shift]; }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let parts = vec2((params.queries + TILE - 1u) / TILE, params.heads * ((params.width + CHANNELS - 1u) / CHANNELS));
    let tile = tile_of_workgroup(id, groups, parts);
    if tile.z >= params.planes { return; }
    let b = tile.z;
    let h = tile.y % params.heads;
    let channel = tile.y / params.heads * CHANNELS;
    let length = length_of(b);
    let start = start_of(length);
    let first_query = tile.x * TILE;
    let first = keys_of(first_query, start, length).x;
    let last_range = keys_of(min(first_query + TILE, params.queries) - 1u, start, length);
    let end = last_range.x + last_range.y;
    let queries = TileRows(b * params.q_batch + h * params.q_head, params.q_time, first_query, params.queries);
    let gradients = TileRows(b * params.o_batch + h * params.o_head, params.o_time, first_query, params.queries);
    let k_base = b * params.k_batch + h / params.group * params.k_head;
    let v_base = b * params.v_batch + h / params.group * params.v_head;

    // The part of `partial`, and what of it this invocation sums: distances that equal lid modulo the workgroup's size.
    let learned = LEARNED && channel == 0u;
    let at = ((b * parts.x + tile.x) * params.heads + h) * params.columns;
    let radius = i32((params.columns - params.slopes) / 2u);
    var below = 0.0f;
    var above = 0.0f;
    var slope = 0.0f;
    if learned {
        for (var d = 1 - radius + i32((lid + u32(radius) - 1u) % WORKGROUP); d < radius; d += i32(WORKGROUP)) {
            partial[at + params.slopes + u32(d + radius)] = 0.0f;
        }
    }
    var sums: array<f32, 32>;
    for (var e = 0u; e < 32u; e++) { sums[e] = 0.0f; }

    for (var key = first; key < end; key += TILE) {
        var s = workgroup_dots(QK, queries, TileRows(k_base, params.k_time, key, end), params.width, lid);
        let values = TileRows(v_base, params.v_time, key, end);
        var dp = workgroup_dots(DO_V, gradients, values, params.value_width, lid);
        for (var e = 0u; e < 16u; e++) {
            let i = first_query + lid / 8u + 8u * (e / 4u);
            let j = key + lid % 8u + 8u * (e % 4u);
            let range = keys_of(min(i, params.queries - 1u), start, length);
            var ds = 0.0f;
            if i < params.queries && j - range.x < range.y {
                let row = (b * params.queries + i) * params.heads + h;
                let p = probability(s[e] * params.scale + term(b, h, i, j, start), lse[row]);
                var dropped = dp[e];
                if DROPOUT { dropped *= dropout_factor(b, h, i, j); }
                ds = p * (dropped - delta[row]);
            }
            s[e] = ds;
        }
        share_tile(s, lid);
        workgroupBarrier();
        if learned {
            let apart = i32(key) - i32(first_query) - start;
            let shift = i32((lid - u32(apart)) % WORKGROUP);
            let nearest = select(shift, shift - i32(WORKGROUP), shift >= i32(TILE));
            let d = apart + nearest;
            let ds = diagonal(nearest);
            slope -= abs(f32(d)) * ds;
            if d <= -radius {
                below += ds;
            } else if d >= radius {
                above += ds;
            } else {
                partial[at + params.slopes + u32(d + radius)] += ds;
            }
        }
        sums = combine_rows(QK, TileRows(k_base, params.k_time, key, end), channel, params.width, sums, lid);
        workgroupBarrier();
    }

    for (var e = 0u; e < 32u; e++) {
        let r = first_query + lid / 8u + 8u * (e / 8u);
        let c = channel + lid % 8u + 8u * (e % 8u);
        if r < params.queries && c < params.width {
            dq[b * params.q_batch + h * params.q_head + r * params.q_time + c] = sums[e] * (params.scale * LN_2);
        }
    }
    if LEARNED {
        workgroupBarrier();
        shared_tile[lid] = below;
        shared_tile[WORKGROUP + lid] = above;
        shared_tile[2u * WORKGROUP + lid] = slope;
        workgroupBarrier();
        if learned && lid == 0u {
            for (var i = 1u; i < WORKGROUP; i++) {
                below += shared_tile[i];
                above += shared_tile[WORKGROUP + i];
                slope += shared_tile[2u * WORKGROUP + i];
            }
            if params.slopes > 0u { partial[at] = slope; }
            // A table of one column is its own lower and upper end.
            let one = radius == 0;
            if params.columns > params.slopes { partial[at + params.slopes] = below + select(0.0f, above, one); }
            if !one { partial[at + params.columns - 1u] = above; }
        }
    }
}
