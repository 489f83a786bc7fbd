// The immediates of the matrix products of CPU adapters. Strides count values, whatever a kernel loads at once.

struct Params {
    m: u32,
    n: u32,
    first: u32, // the sum's first p and its end: 0 and K, unless it is cut
    end: u32,
    a_row: u32,
    a_col: u32,
    a_batch: u32,
    b_row: u32,
    b_col: u32,
    b_batch: u32,
    biased: u32, // whether the sums start with the bias, and not with 0
    batch: u32,
}
var<immediate> params: Params;
