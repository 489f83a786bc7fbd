// The immediates of the matrix products of GPUs. Strides count values, whatever a kernel loads at once; one of 0 broadcasts over
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
