//! Positions sorted by id, made on the host for the gradient of an embedding.
//!
//! Summing the rows of each id on the device without atomics needs to know which rows they are. The ids come from the
//! host anyway, so a counting sort there, O(N + V), replaces any scan of V×N on the device; the order within an id is the
//! order of positions, which fixes the order of the sum.

/// `(order \[N\], starts [V+1])`: the positions of id v are `order[starts[v]..starts[v+1]]`, ascending. Every id is < `vocab`.
pub(crate) fn sort(ids: &[u32], vocab: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; vocab + 1];
    for &id in ids {
        starts[id as usize + 1] += 1;
    }
    for v in 0..vocab {
        starts[v + 1] += starts[v];
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; ids.len()];
    for (position, &id) in ids.iter().enumerate() {
        let slot = &mut next[id as usize];
        order[*slot as usize] = position as u32;
        *slot += 1;
    }
    (order, starts)
}

#[cfg(test)]
mod tests {
    #[test]
    fn positions_are_grouped_by_id_in_order() {
        let (order, starts) = super::sort(&[2, 0, 2, 3, 0], 5);
        assert_eq!(order, [1, 4, 0, 2, 3]);
        assert_eq!(starts, [0, 2, 2, 4, 5, 5]);
    }
}
