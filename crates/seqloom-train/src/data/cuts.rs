//! Which rows of a data set form which batch of an epoch.
//!
//! An epoch draws its rows in random order. By length, it then sorts them (equal ones stay in random order), cuts the sequence
//! into batches, and shuffles the batches. So a batch has little padding, all batches have the same number of rows, and
//! rows meet different others in each epoch.

use crate::random::{mix, permutation};

/// Batches of one size cut from a number of rows.
#[derive(Clone, Copy, Debug)]
pub struct Cuts {
    len: usize,
    /// Rows of a batch: at most all.
    pub(crate) rows: usize,
    /// Whether the last few rows form a smaller batch. Otherwise they wait until another epoch.
    pub(crate) every: bool,
}

impl Cuts {
    pub(crate) fn new(len: usize, rows: usize) -> Self {
        Self { len, rows: rows.min(len), every: false }
    }

    /// Batches of an epoch, at least 1.
    pub(crate) fn count(&self) -> u64 {
        let full = self.len.checked_div(self.rows).unwrap_or(0);
        let rest = self.len.checked_rem(self.rows).unwrap_or(0);
        (full + usize::from(self.every && rest > 0)).max(1) as u64
    }

    /// Batches in the order of the rows.
    pub(crate) fn in_order(&self) -> Vec<Vec<usize>> {
        self.cut(&(0..self.len).collect::<Vec<_>>())
    }

    /// Batches of rows in random order.
    pub(crate) fn shuffled(&self, seed: u64) -> Vec<Vec<usize>> {
        self.cut(&permutation(seed, self.len))
    }

    /// Batches, in random order, of rows with similar keys.
    pub(crate) fn by_length<K: Ord>(&self, seed: u64, mut key: impl FnMut(usize) -> K) -> Vec<Vec<usize>> {
        let mut rows = permutation(seed, self.len);
        // The rows left out are drawn at random too; otherwise they would always be the longest.
        rows.truncate(self.room());
        rows.sort_by_cached_key(|&row| key(row));
        let batches = self.cut(&rows);
        let order = permutation(mix(seed, u64::MAX), batches.len());
        order.into_iter().map(|batch| batches[batch].clone()).collect()
    }

    fn room(&self) -> usize {
        (self.count() as usize).saturating_mul(self.rows)
    }

    fn cut(&self, rows: &[usize]) -> Vec<Vec<usize>> {
        let kept = &rows[..rows.len().min(self.room())];
        kept.chunks(self.rows.max(1)).map(<[usize]>::to_vec).collect()
    }
}
