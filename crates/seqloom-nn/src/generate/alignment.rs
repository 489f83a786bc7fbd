//! Labels from the scores of each step, as a model trained by CTC gives them.
//!
//! It is on the host, because its result has no shape that is known before.

use crate::error::NnError;

/// The labels that the likeliest class of each step gives (Graves et al. 2006, best path decoding): steps of one class in a row
/// are one, and then blanks are left out.
///
/// Shapes: scores [B, T, V] as `shape` says, logits or logarithms of chances, row-major; `lengths` \[B\], all T if `None` → a
/// list of labels for each sequence. Of equal scores the first class counts.
///
/// # Errors
/// Scores or lengths that do not fit the shape, a blank that is no class, and a score that is NaN or +∞.
pub fn ctc_greedy(
    scores: &[f32],
    shape: [usize; 3],
    lengths: Option<&[u32]>,
    blank: u32,
) -> Result<Vec<Vec<u32>>, NnError> {
    let [batch, time, classes] = shape;
    let refused = |detail: String| Err(NnError::Batch { detail });
    let needed = batch.checked_mul(time).and_then(|steps| steps.checked_mul(classes));
    if needed != Some(scores.len()) {
        return refused(format!("{} scores for [{batch}, {time}, {classes}]", scores.len()));
    }
    if blank as usize >= classes {
        return refused(format!("class {blank} as the blank of {classes}"));
    }
    let full = vec![u32::try_from(time).unwrap_or(u32::MAX); batch];
    let lengths = lengths.unwrap_or(&full);
    if lengths.len() != batch {
        return refused(format!("{} lengths for {batch} sequences", lengths.len()));
    }
    if let Some(length) = lengths.iter().find(|length| **length as usize > time) {
        return refused(format!("a length of {length} in sequences of {time} steps"));
    }
    let mut all = Vec::with_capacity(batch);
    for (b, &length) in lengths.iter().enumerate() {
        let (mut labels, mut before) = (Vec::new(), blank);
        for t in 0..length as usize {
            let class = likeliest(&scores[(b * time + t) * classes..][..classes])?;
            if class != before && class != blank {
                labels.push(class);
            }
            before = class;
        }
        all.push(labels);
    }
    Ok(all)
}

/// The first class of the greatest score.
fn likeliest(scores: &[f32]) -> Result<u32, NnError> {
    let mut best = 0;
    for (id, &score) in scores.iter().enumerate() {
        if score.is_nan() || score == f32::INFINITY {
            return Err(NnError::NotFinite { id });
        }
        if score > scores[best] {
            best = id;
        }
    }
    Ok(u32::try_from(best).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores in which these classes of 3 win, one for each step.
    fn winning(classes: &[usize]) -> Vec<f32> {
        classes.iter().flat_map(|&win| (0..3).map(move |v| if v == win { 1.0 } else { -1.0 })).collect()
    }

    #[test]
    fn runs_are_one_label_and_blanks_part_equal_ones() {
        let scores = winning(&[0, 1, 1, 0, 1, 2, 2, 0, 2, 1, 1, 1, 0, 0, 2, 2]);
        let labels = |lengths, blank| ctc_greedy(&scores, [2, 8, 3], lengths, blank).unwrap();
        assert_eq!(labels(None, 0), [vec![1, 1, 2], vec![2, 1, 2]]);
        assert_eq!(labels(Some(&[3, 0]), 0), [vec![1], vec![]]);
        assert_eq!(labels(None, 2), [vec![0, 1, 0, 1, 0], vec![1, 0]]);
        assert_eq!(ctc_greedy(&[0.5; 3], [1, 1, 3], None, 2).unwrap(), [[0]]);
        assert_eq!(ctc_greedy(&[], [0, 4, 3], None, 0).unwrap(), Vec::<Vec<u32>>::new());
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let refused = |scores: &[f32], shape, lengths: Option<&[u32]>, blank, words: &str| {
            let message = ctc_greedy(scores, shape, lengths, blank).unwrap_err().to_string();
            assert!(message.contains(words), "{message}: no {words:?}");
        };
        refused(&[0.0; 5], [1, 2, 3], None, 0, "5 scores");
        refused(&[0.0; 6], [usize::MAX, 2, 3], None, 0, "6 scores");
        refused(&[0.0; 6], [1, 2, 3], None, 3, "blank of 3");
        refused(&[0.0; 6], [1, 2, 3], Some(&[1, 1]), 0, "2 lengths");
        refused(&[0.0; 6], [1, 2, 3], Some(&[3]), 0, "a length of 3");
        refused(&[0.0, f32::NAN, 0.0], [1, 1, 3], None, 0, "NaN or +inf for id 1");
    }
}
