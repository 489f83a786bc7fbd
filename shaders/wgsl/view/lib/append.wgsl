// Where the elements of new rows [B, T, C] stand in the tensor [B, S, C] that they are appended to, and the immediates of the kernels that
// append. Needs the binding `first`, and `divide`.
//
// The host checks that first[b] + T <= S. Rows past S are dropped here, so that none reaches into the next sequence.

struct Params {
    len: u32,      // B * T * C
    keys: u32,     // S
    time: u32,     // T
    channels: u32, // C
}

var<immediate> params: Params;

const NOWHERE: u32 = 0xffffffffu; // no tensor has an element of this number

fn appended(i: u32) -> u32 {
    let one = params.time * params.channels;
    let b = divide(i, one);
    // Among the elements of its sequence; S * C of them can be numbered, so this cannot wrap.
    let at = min(first[b], params.keys) * params.channels + (i - b * one);
    let all = params.keys * params.channels;
    return select(NOWHERE, b * all + at, at < all);
}
