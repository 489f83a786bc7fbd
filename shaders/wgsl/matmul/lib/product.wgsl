// The immediates of matrix products on GPUs. Strides count values, also where a kernel loads four at once. A stride of 0 broadcasts over
// the batch.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,
    a_col: u32,
    a_batch: u32,
    b_row: u32,
    b_col: u32,
    b_batch: u32,
    batch: u32,
    block: u32, // values of p that are added one by one, if LONG
    view: View,
}
var<immediate> params: Params;
