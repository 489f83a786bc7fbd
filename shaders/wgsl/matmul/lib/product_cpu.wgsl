// The immediates of matrix products on CPU adapters. Strides count values, also where a kernel loads four at once.

struct Params {
    m: u32,
    n: u32,
    first: u32, // first p and end of the sum: 0 and K, unless the sum is cut
    end: u32,
    a_row: u32,
    a_col: u32,
    a_batch: u32,
    b_row: u32,
    b_col: u32,
    b_batch: u32,
    biased: u32, // 1: the sums start from the bias; 0: from 0
    batch: u32,
}
var<immediate> params: Params;
