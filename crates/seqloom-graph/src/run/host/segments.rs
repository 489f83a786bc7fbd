//! Positions sorted by id, and picks sorted by element, made on the host for the gradients of an embedding and of picks.
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

/// `order [M]`, `starts [M+1]`, `places [M]` of picks from [O, L, I] by an index [O, K, I]: the picks of element `places[p]` are
/// `order[starts[p]..starts[p+1]]`, ascending. Behind the last element the ranges are empty and the places no element's. Picks are
/// sorted and not counted by element, since a tensor may have far more elements than are picked.
pub(crate) fn picks(index: &[u32], [count, len, inner]: [usize; 3]) -> Vec<Vec<u32>> {
    let element = |pick: usize| {
        let (line, i) = (pick / inner, pick % inner);
        ((line / count) * len + index[pick] as usize) * inner + i
    };
    let mut order: Vec<usize> = (0..index.len()).collect();
    order.sort_by_key(|&pick| element(pick));
    let (mut starts, mut places) = (Vec::new(), Vec::new());
    for (at, &pick) in order.iter().enumerate() {
        let place = element(pick) as u32;
        if places.last() != Some(&place) {
            starts.push(at as u32);
            places.push(place);
        }
    }
    starts.resize(index.len() + 1, index.len() as u32);
    places.resize(index.len(), u32::MAX);
    vec![order.into_iter().map(|pick| pick as u32).collect(), starts, places]
}

#[cfg(test)]
mod tests {
    #[test]
    fn picks_are_grouped_by_element_in_order() {
        // From [2, 3, 2], two along the middle axis.
        let sorted = super::picks(&[2, 0, 2, 1, 0, 1, 1, 1], [2, 3, 2]);
        assert_eq!(sorted[0], [1, 3, 0, 2, 4, 6, 5, 7]);
        assert_eq!(sorted[1], [0, 1, 2, 4, 5, 6, 8, 8, 8]);
        assert_eq!(sorted[2], [1, 3, 4, 6, 8, 9, u32::MAX, u32::MAX]);
        assert_eq!(super::picks(&[], [0, 3, 2]), [vec![], vec![0], vec![]]);
    }

    #[test]
    fn positions_are_grouped_by_id_in_order() {
        let (order, starts) = super::sort(&[2, 0, 2, 3, 0], 5);
        assert_eq!(order, [1, 4, 0, 2, 3]);
        assert_eq!(starts, [0, 2, 2, 4, 5, 5]);
    }
}
