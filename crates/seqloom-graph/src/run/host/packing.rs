//! Packed rows: the position of each true step, without padding.
//!
//! Rows are ranked by length, longest first (equal ones in their order). The steps of all rows are then laid out one
//! time step after the other: step t of the rows that reach it, by rank, and directly after them step t + 1. The live
//! rows of a step are always the first ones, so a kernel needs two numbers per step and no mask, and every product over
//! packed rows works only on true steps. (PyTorch's `PackedSequence` has the same order.) N, the number of rows, may
//! exceed what the lengths need, so batches with similar lengths share a program; surplus rows hold zeros.

use crate::ir::payload::Table;

/// The packing of a batch of rows.
#[derive(Debug)]
pub(crate) struct Packing {
    time: usize,
    /// Rows of the batch by rank, and their lengths.
    order: Vec<u32>,
    lengths: Vec<u32>,
    /// First packed row of each step, and one past the last of all.
    starts: Vec<u32>,
}

impl Packing {
    /// Of rows with these lengths, each from 1 to `time`.
    pub(crate) fn new(lengths: &[u32], time: usize) -> Self {
        let mut order: Vec<u32> = (0..lengths.len() as u32).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(lengths[row as usize]));
        let sorted: Vec<u32> = order.iter().map(|&row| lengths[row as usize]).collect();
        let mut starts = vec![0];
        for t in 0..time as u32 {
            let live = sorted.partition_point(|&length| length > t) as u32;
            starts.push(starts[t as usize] + live);
        }
        Self { time, order, lengths: sorted, starts }
    }

    /// Packed rows without surplus: the sum of the lengths.
    pub(crate) fn rows(&self) -> usize {
        self.starts.last().map_or(0, |&rows| rows as usize)
    }

    /// Step `t` of the row with this rank.
    fn at(&self, rank: usize, t: u32) -> usize {
        self.starts[t as usize] as usize + rank
    }

    /// A table for `rows` packed rows, at least [`Self::rows`].
    pub(crate) fn table(&self, table: Table, rows: usize) -> Vec<u32> {
        let (batch, time) = (self.order.len(), self.time);
        let padded = |rank: usize, t: u32| self.order[rank] as usize * time + t as usize;
        let each = || {
            self.lengths.iter().enumerate().flat_map(|(rank, &length)| (0..length).map(move |t| (rank, t)))
        };
        match table {
            Table::Steps => self.starts.windows(2).flat_map(|ends| [ends[0], ends[1] - ends[0]]).collect(),
            Table::Pack => inverse(rows, batch * time, each().map(|(r, t)| (self.at(r, t), padded(r, t)))),
            Table::Unpack => inverse(batch * time, rows, each().map(|(r, t)| (padded(r, t), self.at(r, t)))),
            Table::Order => self.order.clone(),
            Table::Rank => {
                inverse(batch, batch, self.order.iter().enumerate().map(|(r, &b)| (b as usize, r)))
            }
        }
    }
}

/// A table of `len` entries from pairs (index, entry); entries that no pair names are `none`.
fn inverse(len: usize, none: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Vec<u32> {
    let mut table = vec![none as u32; len];
    for (at, entry) in pairs {
        table[at] = entry as u32;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_by_rank() {
        // Ranks: rows 1 (3 steps), 0 and 3 (2 steps), 2 (1 step).
        let packing = Packing::new(&[2, 3, 1, 2], 4);
        assert_eq!(packing.rows(), 8);
        let table = |table| packing.table(table, 10);
        assert_eq!(table(Table::Steps), [0, 4, 4, 3, 7, 1, 8, 0]);
        assert_eq!(table(Table::Order), [1, 0, 3, 2]);
        assert_eq!(table(Table::Rank), [1, 0, 3, 2]);
        assert_eq!(table(Table::Pack), [4, 0, 12, 8, 5, 1, 13, 6, 16, 16]);
        assert_eq!(table(Table::Unpack), [1, 5, 10, 10, 0, 4, 7, 10, 3, 10, 10, 10, 2, 6, 10, 10]);
    }
}
