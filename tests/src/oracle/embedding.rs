//! Embedding lookup and its gradient, and the sorted segments for the gradient's kernel.

/// `out[n] = table[ids[n]]`, the table being `[V, C]` and the result `[N, C]`; zeros for an id of V or more.
pub fn forward(channels: usize, table: &[f64], ids: &[u32]) -> Vec<f64> {
    let row = |id: u32| table.chunks(channels).nth(id as usize).map_or(vec![0.0; channels], <[f64]>::to_vec);
    ids.iter().flat_map(|&id| row(id)).collect()
}

/// `dtable[v] = Σ_{n: ids[n] = v} dy[n]`, `[V, C]`.
pub fn backward(vocab: usize, channels: usize, dy: &[f64], ids: &[u32]) -> Vec<f64> {
    let mut dtable = vec![0.0; vocab * channels];
    for (row, &id) in dy.chunks(channels).zip(ids) {
        for (slot, value) in dtable[id as usize * channels..][..channels].iter_mut().zip(row) {
            *slot += value;
        }
    }
    dtable
}

/// The positions of `ids` sorted by id, equal ids in their order, and where each id's run starts.
///
/// `order` has one entry per id; `starts` has `vocab + 1`, so that id `v` owns `order[starts[v]..starts[v+1]]`.
pub fn segments(vocab: usize, ids: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut order = Vec::with_capacity(ids.len());
    let mut starts = vec![0];
    for v in 0..vocab {
        order.extend((0..ids.len()).filter(|&n| ids[n] as usize == v).map(|n| n as u32));
        starts.push(order.len() as u32);
    }
    (order, starts)
}
