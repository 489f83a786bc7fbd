//! Positions from a dependency tree: how many edges lie between two words.
//!
//! A parser gives each word's head. The distance of two words in that tree says more about their relation than the
//! number of words between them. Distances are data, so they come with each sentence as small numbers that the host
//! computes once. They become a learned term of the score, as distances along the line do in
//! [`crate::attention::relative_positions`].

use seqloom_graph::{Graph, Init, ParamId, Params, Tensor};

use crate::error::NnError;

/// Distances between all words of a sentence [T, T] in row-major order, computed from each word's head (`None` for a
/// root): the number of edges on the path between two words, at most `max_distance`. Words of different trees have
/// distance `max_distance`.
///
/// # Errors
/// [`NnError::Tree`] if a word depends on one that does not exist, or on itself through others.
///
/// ```
/// # use seqloom_nn::tree_distances;
/// // "the cat sleeps": the → cat → sleeps.
/// assert_eq!(tree_distances(&[Some(1), Some(2), None], 8).unwrap(), [0, 1, 2, 1, 0, 1, 2, 1, 0]);
/// ```
pub fn tree_distances(heads: &[Option<usize>], max_distance: usize) -> Result<Vec<u32>, NnError> {
    let words = heads.len();
    // By word, itself and the words above it, nearest first.
    let mut above = Vec::with_capacity(words);
    for word in 0..words {
        let mut path = vec![word];
        let mut at = word;
        while let Some(head) = heads[at] {
            if head >= words || path.len() > words {
                return Err(NnError::Tree { word, head, words });
            }
            path.push(head);
            at = head;
        }
        above.push(path);
    }
    let far = u32::try_from(max_distance).unwrap_or(u32::MAX);
    let apart = |a: &[usize], b: &[usize]| {
        let joint = a
            .iter()
            .enumerate()
            .find_map(|(up, word)| b.iter().position(|other| other == word).map(|down| up + down));
        joint.map_or(far, |edges| u32::try_from(edges).unwrap_or(u32::MAX).min(far))
    };
    Ok(above.iter().flat_map(|a| above.iter().map(move |b| apart(a, b))).collect())
}

/// Learned terms by distance in a tree.
///
/// Formula: bias\[b, h, i, j\] = W[distance(b, i, j), h].
///
/// Shapes: distances [B, T, T] of u32 → [B, H, T, T], the `bias` of attention; parameter `weight` [max_distance + 1,
/// H], zeros initially.
///
/// Errors: a distance over `max_distance` is found on the host when the program is run.
#[derive(Clone, Copy, Debug)]
pub struct TreePositions {
    weight: ParamId,
    max_distance: usize,
}

impl TreePositions {
    /// Registers the table as `name.weight`, for distances up to `max_distance`.
    pub fn new(params: &mut Params, name: &str, heads: usize, max_distance: usize) -> Self {
        params.scope(name, |params| Self {
            weight: params.add("weight", &[max_distance.saturating_add(1), heads], Init::Zeros),
            max_distance,
        })
    }

    /// The input that distances are fed to: [B, T, T] of u32, each at most `max_distance`.
    #[track_caller]
    pub fn distances<'g>(&self, g: &'g Graph, name: &str, rows: usize, time: usize) -> Tensor<'g> {
        g.ids(name, &[rows, time, time], self.max_distance.saturating_add(1))
    }

    /// Records the bias: distances [B, T, T] → [B, H, T, T].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, distances: Tensor<'g>) -> Tensor<'g> {
        let terms = distances.graph().param(self.weight).gather_rows(distances);
        terms.transpose(2, 3).transpose(1, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_symmetric_and_capped() {
        // 0 → 1 → 2 → 3, and 4 alone.
        let found = tree_distances(&[Some(1), Some(2), Some(3), None, None], 2).unwrap();
        assert_eq!(found[..5], [0, 1, 2, 2, 2]);
        for i in 0..5 {
            for j in 0..5 {
                assert_eq!(found[i * 5 + j], found[j * 5 + i]);
            }
        }
    }

    #[test]
    fn circles_and_words_that_do_not_exist_are_refused() {
        assert!(matches!(tree_distances(&[Some(1), Some(0)], 4), Err(NnError::Tree { .. })));
        assert!(matches!(tree_distances(&[Some(0)], 4), Err(NnError::Tree { .. })));
        assert!(matches!(
            tree_distances(&[None, Some(7)], 4),
            Err(NnError::Tree { word: 1, head: 7, words: 2 })
        ));
        assert!(tree_distances(&[], 4).unwrap().is_empty());
    }
}
