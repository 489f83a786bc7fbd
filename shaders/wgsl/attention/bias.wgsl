// The gradient of an additive bias, on GPUs.
//
// dbias[b,h,i,j] = dS[b,h,i,j], summed over the batch rows and heads that share the bias;
// P = 2^(S - lse);  dS = P * (dropout(dout v^T) - delta)
//
// Grid: (ceil(Tq / 32), ceil(Tk / 32), biases), or folded (grid.wgsl). A workgroup owns one tile of one bias and goes over the batch
// rows and heads that share it. Where batch rows share a bias, a launch has those from params.begin to params.end. A launch that does
// not begin with batch row 0 adds to the one before.
//
// Numeric: f32, over batch rows, then heads, in order.
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
@group(0) @binding(10) var<storage, read_write> dbias: array<f32>; // [B or 1,H or 1,Tq,Tk]

fn load_owned(pair: bool, at: u32) -> f32 {
    if pair == DO_V { return dout[at]; }
    return q[at];
}
fn load_walked(pair: bool, at: u32) -> f32 {
    if pair == DO_V { return v[at]; }
    return k[at];
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let parts = vec2((params.queries + TILE - 1u) / TILE, (params.keys + TILE - 1u) / TILE);
    let tile = tile_of_workgroup(id, groups, parts);
    if tile.z >= params.planes { return; }
    let first_query = tile.x * TILE;
    let key = tile.y * TILE;
    // Which batch rows and heads share this bias: one of a kind, or all.
    let heads = select(1u, params.heads, params.bias_head > 0u);
    let bias_b = tile.z / heads;
    let bias_h = tile.z % heads;
    let b0 = select(params.begin, bias_b, params.bias_batch > 0u);
    let b1 = select(params.end, bias_b + 1u, params.bias_batch > 0u);
    let h0 = select(0u, bias_h, params.bias_head > 0u);
    let h1 = select(params.heads, bias_h + 1u, params.bias_head > 0u);
    var sums: array<f32, 16>;
    for (var e = 0u; e < 16u; e++) { sums[e] = 0.0f; }

    for (var b = b0; b < b1; b++) {
        let length = length_of(b);
        let start = start_of(length);
        let first = keys_of(first_query, start, length).x;
        let last_range = keys_of(min(first_query + TILE, params.queries) - 1u, start, length);
        let end = last_range.x + last_range.y;
        let heads_here = select(h0, h1, key < end && key + TILE > first);
        for (var h = h0; h < heads_here; h++) {
            let queries = TileRows(b * params.q_batch + h * params.q_head, params.q_time, first_query, params.queries);
            let gradients = TileRows(b * params.o_batch + h * params.o_head, params.o_time, first_query, params.queries);
            let k_base = b * params.k_batch + h / params.group * params.k_head;
            let v_base = b * params.v_batch + h / params.group * params.v_head;
            var s = workgroup_dots(QK, queries, TileRows(k_base, params.k_time, key, end), params.width, lid);
            var dp = workgroup_dots(DO_V, gradients, TileRows(v_base, params.v_time, key, end), params.value_width, lid);
            for (var e = 0u; e < 16u; e++) {
                let i = first_query + lid / 8u + 8u * (e / 4u);
                let j = key + lid % 8u + 8u * (e % 4u);
                let range = keys_of(min(i, params.queries - 1u), start, length);
                if i < params.queries && j - range.x < range.y {
                    let row = (b * params.queries + i) * params.heads + h;
                    let p = probability(s[e] * params.scale + term(b, h, i, j, start), lse[row]);
                    var dropped = dp[e];
                    if DROPOUT { dropped *= dropout_factor(b, h, i, j); }
                    sums[e] += p * (dropped - delta[row]);
                }
            }
        }
    }

    for (var e = 0u; e < 16u; e++) {
        let i = first_query + lid / 8u + 8u * (e / 4u);
        let j = key + lid % 8u + 8u * (e % 4u);
        if i < params.queries && j < params.keys {
            let at = bias_b * params.bias_batch + bias_h * params.bias_head + i * params.keys + j;
            if params.begin > 0u { sums[e] += dbias[at]; }
            dbias[at] = sums[e];
        }
    }
}
