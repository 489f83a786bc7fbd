// The gradients of keys and values, on GPUs.
//
// P = 2^(S - lse);  dS = P * (dropout(dout v^T) - delta);  dk = dS^T q scale;  dv = dropout(P)^T dout
//
// Grid: (ceil(Tk / 32), Hkv * ceil(max(D, Dv) / 64), B), or folded (grid.wgsl). A workgroup owns 32 keys and 64 channels of both
// gradients. It walks the queries that attend to any of its keys, 32 at a time, for one head after another of those that share the key
// head: the heads numbered params.begin to params.end. A launch that does not begin with head 0 adds to the one before.
//
// Numeric: f32, over heads and queries in order.
//
// Joined: control, rng, grid, attention, attention_workgroup

const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

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
@group(0) @binding(10) var<storage, read_write> dk: array<f32>; // [B,Hkv,Tk,D]
@group(0) @binding(11) var<storage, read_write> dv: array<f32>; // [B,Hkv,Tk,Dv]

fn load_owned(pair: bool, at: u32) -> f32 {
    if pair == DO_V { return v[at]; }
    return k[at];
}
fn load_walked(pair: bool, at: u32) -> f32 {
    if pair == DO_V { return dout[at]; }
    return q[at];
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let slices = (max(params.width, params.value_width) + CHANNELS - 1u) / CHANNELS;
    let parts = vec2((params.keys + TILE - 1u) / TILE, params.heads / params.group * slices);
    let tile = tile_of_workgroup(id, groups, parts);
    if tile.z >= params.planes { return; }
    let b = tile.z;
    let key_heads = params.heads / params.group;
    let key_head = tile.y % key_heads;
    let channel = tile.y / key_heads * CHANNELS;
    let length = length_of(b);
    let start = start_of(length);
    let first_key = tile.x * TILE;
    let first = queries_of(first_key, start, length).x;
    // Keys past the row's end have no queries, so the last that has some may come before the tile's last.
    let last_range = queries_of(max(min(first_key + TILE, length), 1u) - 1u, start, length);
    let end = select(0u, last_range.x + last_range.y, first_key < length);
    let k_base = b * params.k_batch + key_head * params.k_head;
    let v_base = b * params.v_batch + key_head * params.v_head;
    let keys = TileRows(k_base, params.k_time, first_key, min(length, params.keys));
    let values = TileRows(v_base, params.v_time, first_key, min(length, params.keys));
    var of_keys: array<f32, 32>;
    var of_values: array<f32, 32>;
    for (var e = 0u; e < 32u; e++) {
        of_keys[e] = 0.0f;
        of_values[e] = 0.0f;
    }

    for (var n = params.begin; n < params.end; n++) {
        let h = key_head * params.group + n;
        let q_base = b * params.q_batch + h * params.q_head;
        let out_base = b * params.o_batch + h * params.o_head;
        for (var query = first; query < end; query += TILE) {
            let queries = TileRows(q_base, params.q_time, query, end);
            let gradients = TileRows(out_base, params.o_time, query, end);
            var s = workgroup_dots(QK, keys, queries, params.width, lid);
            var dp = workgroup_dots(DO_V, values, gradients, params.value_width, lid);
            for (var e = 0u; e < 16u; e++) {
                let j = first_key + lid / 8u + 8u * (e / 4u);
                let i = query + lid % 8u + 8u * (e % 4u);
                let range = queries_of(j, start, length);
                var p = 0.0f;
                var ds = 0.0f;
                if i - range.x < range.y {
                    let row = (b * params.queries + i) * params.heads + h;
                    p = probability(s[e] * params.scale + term(b, h, i, j, start), lse[row]);
                    ds = -p * delta[row];
                    if DROPOUT { p *= dropout_factor(b, h, i, j); }
                    ds = fma(p, dp[e], ds);
                }
                s[e] = p;
                dp[e] = ds;
            }
            share_tile(s, lid);
            of_values = combine_rows(DO_V, gradients, channel, params.value_width, of_values, lid);
            workgroupBarrier();
            share_tile(dp, lid);
            of_keys = combine_rows(QK, queries, channel, params.width, of_keys, lid);
            workgroupBarrier();
        }
    }

    for (var e = 0u; e < 32u; e++) {
        let r = first_key + lid / 8u + 8u * (e / 8u);
        let c = channel + lid % 8u + 8u * (e % 8u);
        if r < params.keys && c < params.width {
            let at = k_base + r * params.k_time + c;
            var x = of_keys[e] * (params.scale * LN_2);
            if params.begin > 0u { x += dk[at]; }
            dk[at] = x;
        }
        if r < params.keys && c < params.value_width {
            let at = v_base + r * params.v_time + c;
            var x = of_values[e];
            if params.begin > 0u { x += dv[at]; }
            dv[at] = x;
        }
    }
}
