// out = softmax(q k^T scale + terms) v for each batch row and head, on GPUs: tiles in workgroup memory.
//
// Shapes: q [B,H,Tq,D], k [B,Hkv,Tk,D], v [B,Hkv,Tk,Dv], out [B,H,Tq,Dv], each strided; lse [B,Tq,H], log2 of the sum of 2^score.
// Grid: (ceil(Tq / 32), H * ceil(Dv / 64), B), or folded (grid.wgsl). A workgroup owns 32 queries and 64 channels of their result. It
// walks the keys that any of the queries attends to, 32 at a time, with a running maximum and a running sum (online softmax, M. Milakov
// and N. Gimelshein 2018; FlashAttention, T. Dao et al. 2022). Where values have more than 64 channels, each 64 compute the scores again.
//
// Numeric: f32, over the keys in order. A query that attends to nothing gets 0, and EMPTY as its lse.
//
// Joined: control, rng, grid, attention, attention_workgroup

const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

@group(0) @binding(0) var<storage, read> q: array<f32>; // [B,H,Tq,D]
@group(0) @binding(1) var<storage, read> k: array<f32>; // [B,Hkv,Tk,D]
@group(0) @binding(2) var<storage, read> v: array<f32>; // [B,Hkv,Tk,Dv]
@group(0) @binding(3) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [B or 1,H or 1,Tq,Tk]
@group(0) @binding(5) var<storage, read> distance: array<f32>; // [H,columns]
@group(0) @binding(6) var<storage, read> control: Control;
@group(0) @binding(7) var<storage, read_write> out: array<f32>; // [B,H,Tq,Dv]
@group(0) @binding(8) var<storage, read_write> lse: array<f32>; // [B,Tq,H]

var<workgroup> halves: array<f32, WORKGROUP>;
var<workgroup> corrections: array<f32, TILE>;

fn load_owned(pair: bool, at: u32) -> f32 { return q[at]; }
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
    let parts = vec2((params.queries + TILE - 1u) / TILE, params.heads * ((params.value_width + CHANNELS - 1u) / CHANNELS));
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
    let k_base = b * params.k_batch + h / params.group * params.k_head;
    let v_base = b * params.v_batch + h / params.group * params.v_head;

    // For the softmax an invocation has half a row: 16 scores.
    let row = lid / 2u;
    let half = lid % 2u * (TILE / 2u);
    let query = first_query + row;
    let range = keys_of(min(query, params.queries - 1u), start, length);
    var running_max = LOWEST;
    var running_sum = 0.0f;
    var o: array<f32, 32>;
    for (var e = 0u; e < 32u; e++) { o[e] = 0.0f; }

    for (var key = first; key < end; key += TILE) {
        share_tile(workgroup_dots(QK, queries, TileRows(k_base, params.k_time, key, end), params.width, lid), lid);
        workgroupBarrier();
        var tile_max = LOWEST;
        for (var e = 0u; e < TILE / 2u; e++) {
            let at = row * SHARED_PITCH + half + e;
            let j = key + half + e;
            var s = LOWEST;
            if j - range.x < range.y && query < params.queries { s = shared_tile[at] * params.scale + term(b, h, query, j, start); }
            shared_tile[at] = s;
            tile_max = max(tile_max, s);
        }
        halves[lid] = tile_max;
        workgroupBarrier();
        let new_max = max(running_max, max(halves[2u * row], halves[2u * row + 1u]));
        let correction = exp2(running_max - new_max);
        running_max = new_max;
        running_sum *= correction;
        for (var e = 0u; e < TILE / 2u; e++) {
            let at = row * SHARED_PITCH + half + e;
            let p = select(exp2(shared_tile[at] - running_max), 0.0f, shared_tile[at] <= LOWEST);
            running_sum += p;
            if DROPOUT { shared_tile[at] = p * dropout_factor(b, h, query, key + half + e); } else { shared_tile[at] = p; }
        }
        if half == 0u { corrections[row] = correction; }
        workgroupBarrier();
        for (var e = 0u; e < 32u; e++) { o[e] *= corrections[lid / 8u + 8u * (e / 8u)]; }
        o = combine_rows(DO_V, TileRows(v_base, params.v_time, key, end), channel, params.value_width, o, lid);
    }

    workgroupBarrier();
    halves[lid] = running_sum;
    workgroupBarrier();
    let whole = halves[2u * row] + halves[2u * row + 1u];
    if half == 0u {
        let some = whole > 0.0f;
        corrections[row] = select(0.0f, 1.0f / whole, some);
        if channel == 0u && query < params.queries {
            lse[(b * params.queries + query) * params.heads + h] = select(EMPTY, running_max + log2(whole), some);
        }
    }
    workgroupBarrier();
    for (var e = 0u; e < 32u; e++) {
        let r = lid / 8u + 8u * (e / 8u);
        let c = channel + lid % 8u + 8u * (e % 8u);
        if first_query + r < params.queries && c < params.value_width {
            out[b * params.o_batch + h * params.o_head + (first_query + r) * params.o_time + c] = o[e] * corrections[r];
        }
    }
}
