// out = softmax(q k^T scale + terms) v for each batch row and head, for GPUs: tiles in workgroup memory
//
// q [B,H,Tq,D], k [B,Hkv,Tk,D], v [B,Hkv,Tk,Dv], out [B,H,Tq,Dv], each strided; lse [B,Tq,H], log2 of the sum of 2^score.
// Grid: (ceil(Tq / 32), H * ceil(Dv / 64), B). A workgroup owns 32 queries and 64 channels of their result; it walks the
// keys that any of the queries attends to, 32 at a time, with a running maximum and sum (online softmax, M. Milakov and
// N. Gimelshein 2018). Where values have more channels, scores are computed again for each 64 of them.
//
// Numeric: f32, over the keys in order. A query that attends to nothing gets 0 and an lse of EMPTY.
//
// Joined: control, rng, grid, attention, attention_workgroup

alias Elem = f32; // spec
const BIAS: bool = true; // spec
const DISTANCE: bool = true; // spec
const DROPOUT: bool = true; // spec

@group(0) @binding(0) var<storage, read> q: array<Elem>; // [B,H,Tq,D]
@group(0) @binding(1) var<storage, read> k: array<Elem>; // [B,Hkv,Tk,D]
@group(0) @binding(2) var<storage, read> v: array<Elem>; // [B,Hkv,Tk,Dv]
@group(0) @binding(3) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(4) var<storage, read> bias: array<Elem>; // [B or 1,H or 1,Tq,Tk]
@group(0) @binding(5) var<storage, read> distance: array<Elem>; // [H,columns]
@group(0) @binding(6) var<storage, read> control: Control;
@group(0) @binding(7) var<storage, read_write> out: array<Elem>; // [B,H,Tq,Dv]
@group(0) @binding(8) var<storage, read_write> lse: array<f32>; // [B,Tq,H]

var<workgroup> tops: array<f32, WORKGROUP>;
var<workgroup> factors: array<f32, SIDE>;

fn left(values: bool, at: u32) -> f32 { return q[at]; }
fn right(values: bool, at: u32) -> f32 {
    if values { return v[at]; }
    return k[at];
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let parts = vec2((params.queries + SIDE - 1u) / SIDE, params.heads * ((params.value_width + CHANNELS - 1u) / CHANNELS));
    let tile = own_part(id, groups, parts);
    if tile.z >= params.planes { return; }
    let b = tile.z;
    let h = tile.y % params.heads;
    let channel = tile.y / params.heads * CHANNELS;
    let length = length_of(b);
    let start = start_of(length);
    let first_query = tile.x * SIDE;
    let first = keys_of(first_query, start, length).x;
    let ultimate = keys_of(min(first_query + SIDE, params.queries) - 1u, start, length);
    let end = ultimate.x + ultimate.y;
    let queries = Rows(b * params.q_batch + h * params.q_head, params.q_time, first_query, params.queries);
    let k_base = b * params.k_batch + h / params.group * params.k_head;
    let v_base = b * params.v_batch + h / params.group * params.v_head;

    // For the softmax an invocation has half a row: 16 scores.
    let row = lid / 2u;
    let half = lid % 2u * (SIDE / 2u);
    let query = first_query + row;
    let own = keys_of(min(query, params.queries - 1u), start, length);
    var top = LOWEST;
    var sum = 0.0f;
    var o: array<f32, 32>;
    for (var e = 0u; e < 32u; e++) { o[e] = 0.0f; }

    for (var key = first; key < end; key += SIDE) {
        share(products(false, queries, Rows(k_base, params.k_time, key, end), params.width, lid), lid);
        workgroupBarrier();
        var highest = LOWEST;
        for (var e = 0u; e < SIDE / 2u; e++) {
            let at = row * SHARE_PITCH + half + e;
            let j = key + half + e;
            var s = LOWEST;
            if j - own.x < own.y && query < params.queries { s = shares[at] * params.scale + term(b, h, query, j, start); }
            shares[at] = s;
            highest = max(highest, s);
        }
        tops[lid] = highest;
        workgroupBarrier();
        let higher = max(top, max(tops[2u * row], tops[2u * row + 1u]));
        let factor = exp2(top - higher);
        top = higher;
        sum *= factor;
        for (var e = 0u; e < SIDE / 2u; e++) {
            let at = row * SHARE_PITCH + half + e;
            let p = select(exp2(shares[at] - top), 0.0f, shares[at] <= LOWEST);
            sum += p;
            if DROPOUT { shares[at] = p * kept(b, h, query, key + half + e); } else { shares[at] = p; }
        }
        if half == 0u { factors[row] = factor; }
        workgroupBarrier();
        for (var e = 0u; e < 32u; e++) { o[e] *= factors[lid / 8u + 8u * (e / 8u)]; }
        o = mix(true, Rows(v_base, params.v_time, key, end), channel, params.value_width, o, lid);
    }

    workgroupBarrier();
    tops[lid] = sum;
    workgroupBarrier();
    let whole = tops[2u * row] + tops[2u * row + 1u];
    if half == 0u {
        let some = whole > 0.0f;
        factors[row] = select(0.0f, 1.0f / whole, some);
        if channel == 0u && query < params.queries {
            lse[(b * params.queries + query) * params.heads + h] = select(EMPTY, top + log2(whole), some);
        }
    }
    workgroupBarrier();
    for (var e = 0u; e < 32u; e++) {
        let r = lid / 8u + 8u * (e / 8u);
        let c = channel + lid % 8u + 8u * (e % 8u);
        if first_query + r < params.queries && c < params.value_width {
            out[b * params.o_batch + h * params.o_head + (first_query + r) * params.o_time + c] = o[e] * factors[r];
        }
    }
}
