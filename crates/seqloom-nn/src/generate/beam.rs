//! Beam search: the likeliest sequences of a model that gives the next token's probabilities.
//!
//! The search runs on the host and knows only [`StepModel::step`] of the model. It passes the last tokens and, for each
//! row, the row of the previous step that it continues; the model moves its own state (recurrent state, cache of keys
//! and values) accordingly and returns log-probabilities. Every sentence has as many rows as the beam is wide in every
//! step, live or idle, so one program of one shape serves the whole search.
//!
//! Greedy search is the beam of width 1: its one row always takes the likeliest token, and its first end is the end.
//!
//! A sentence is searched until no live sequence can enter the result. Log-probabilities are at most 0, so a sequence
//! never gets likelier as it grows, and its best possible score is its present log-probability over the greatest length
//! penalty. Stopping at the first `width` ends instead would lose longer sequences that are likelier.

use std::cmp::Ordering;

use crate::error::NnError;

/// The widest beam: far above what helps (Wu et al. 2016 use 2 to 4), and small enough that row counts do not overflow.
pub const MAX_WIDTH: usize = 4096;

/// A model that gives the next token's probabilities, row by row.
pub trait StepModel {
    /// The natural logarithms of the next token's probabilities, [rows, V] in row-major order, for rows that have just
    /// read `tokens`. Row r continues row `parents[r]` of the previous call; in the first call it is r itself.
    ///
    /// Idle rows are passed too, so the number of rows is the same in every call; the results for them do not matter.
    /// −∞ means that a token cannot follow.
    ///
    /// # Errors
    /// Whatever keeps the model from answering.
    fn step(&mut self, tokens: &[u32], parents: &[usize]) -> Result<Vec<f32>, NnError>;
}

/// A sequence that a search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// Its tokens, without the start and the end.
    pub tokens: Vec<u32>,
    /// ln P of all its tokens, the end among them if it was reached.
    pub log_prob: f64,
    /// What it is ranked by: `log_prob` over the length penalty.
    pub score: f64,
    /// Whether it ended; if not, it was cut off at the greatest length.
    pub ended: bool,
    /// For each token, and for the end if it was reached, the row of the call of [`StepModel::step`] that predicted it. The
    /// calls are numbered as the tokens are.
    pub rows: Vec<usize>,
}

/// How to search.
///
/// Each step extends the live sequences of a sentence by every token and ranks the results by ln P; equal ones by the
/// rank of what they extend, then by token, so that a search has one result. Those that end among the first `width` are
/// found, and the best `width` found so far by score are kept. The first `width` others live on. A token of ln P = −∞
/// never follows, and a sequence that nothing can follow is dropped.
///
/// A sentence is done when no live sequence can beat the worst of `width` kept ones: with p the ln P of the likeliest
/// live sequence, p / lp at the greatest length, `max_tokens` + 1, is not above that score. With a `length_penalty`
/// above 0 this bound is loose if `max_tokens` is much greater than the sequences' lengths, and the search takes long.
/// A width of 1 ends at its first end whatever the penalty, as greedy search does. Sequences still alive after
/// `max_tokens` tokens are cut off and ranked after those that ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeamSearch {
    /// Sequences kept of each sentence, k, and the most that are returned; 1 is greedy.
    pub width: usize,
    /// α ≥ 0 of Wu et al. 2016 (equation 14): found sequences are ranked by ln P / lp with lp = ((5 + n) / 6)^α, where
    /// n counts their tokens, the end included. 0 prefers short sequences; about 0.6 to 1 compensates for that.
    pub length_penalty: f64,
    /// Most tokens of a sequence, the end not counted.
    pub max_tokens: usize,
    /// The token that every sequence starts with and that no result holds.
    pub start: u32,
    /// The token that ends a sequence.
    pub end: u32,
}

/// A sequence that may still grow.
struct Live {
    tokens: Vec<u32>,
    rows: Vec<usize>,
    log_prob: f64,
}

/// A live sequence and a token that could follow it.
#[derive(Clone, Copy)]
struct Candidate {
    log_prob: f64,
    slot: usize,
    token: u32,
}

impl Candidate {
    /// Best first; no two candidates of a step are equal.
    fn order(&self, other: &Self) -> Ordering {
        let by_place = (self.slot, self.token).cmp(&(other.slot, other.token));
        other.log_prob.total_cmp(&self.log_prob).then(by_place)
    }
}

/// The search of one sentence; its rows are `first_row` and the `width` − 1 after it.
struct Sentence {
    first_row: usize,
    /// Likeliest first.
    live: Vec<Live>,
    /// The best so far, best first.
    found: Vec<Hypothesis>,
}

impl BeamSearch {
    /// Greedy search: one sequence a sentence.
    #[must_use]
    pub fn greedy(start: u32, end: u32, max_tokens: usize) -> Self {
        Self { width: 1, length_penalty: 0.0, max_tokens, start, end }
    }

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// [`NnError::BeamWidth`] for a width of 0 or above [`MAX_WIDTH`]; [`NnError::LengthPenalty`] for one that is not a number from 0.
    pub fn check(&self) -> Result<(), NnError> {
        if !(1..=MAX_WIDTH).contains(&self.width) {
            return Err(NnError::BeamWidth { width: self.width, most: MAX_WIDTH });
        }
        if !(self.length_penalty.is_finite() && self.length_penalty >= 0.0) {
            return Err(NnError::LengthPenalty { value: self.length_penalty });
        }
        Ok(())
    }

    /// Searches `sentences` sentences at once, with `width` rows each: rows 0 to k − 1 are the first one's, and so on. For
    /// each sentence its best sequences, best first, 1 to `width` of them.
    ///
    /// # Errors As [`Self::check`]; [`NnError::StepModel`] if the model answers for other rows or knows no end token;
    /// [`NnError::NotFinite`] if a log-probability of a live sequence is NaN or +∞; [`NnError::NoneAllowed`] with the
    /// number of a sentence whose sequences were all dropped; the model's own errors.
    pub fn run(&self, model: &mut impl StepModel, sentences: usize) -> Result<Vec<Vec<Hypothesis>>, NnError> {
        self.check()?;
        let rows = sentences * self.width;
        let new = |s| Sentence {
            first_row: s * self.width,
            live: vec![Live { tokens: Vec::new(), rows: Vec::new(), log_prob: 0.0 }],
            found: Vec::new(),
        };
        let mut searches: Vec<_> = (0..sentences).map(new).collect();
        let (mut tokens, mut parents) = (vec![self.start; rows], (0..rows).collect::<Vec<_>>());
        // One step more than tokens, so that the longest sequences can still end.
        for step in 0..=self.max_tokens {
            if searches.iter().all(|s| s.live.is_empty()) {
                break;
            }
            let answer = model.step(&tokens, &parents)?;
            let vocab = answer.len() / rows;
            if answer.len() % rows != 0 || vocab <= self.end as usize {
                let detail =
                    format!("{} log-probabilities for {rows} rows and end {}", answer.len(), self.end);
                return Err(NnError::StepModel { detail });
            }
            for (number, search) in searches.iter_mut().enumerate() {
                // Idle rows stay in place and read a token that every vocabulary has.
                let mine = search.first_row..search.first_row + self.width;
                mine.clone().for_each(|row| (tokens[row], parents[row]) = (self.end, row));
                let told = &answer[mine.start * vocab..mine.end * vocab];
                let slots = self.extend(search, told, vocab, step == self.max_tokens)?;
                if search.live.is_empty() && search.found.is_empty() {
                    return Err(NnError::NoneAllowed { row: number });
                }
                for (row, (live, slot)) in mine.clone().zip(search.live.iter().zip(slots)) {
                    parents[row] = mine.start + slot;
                    tokens[row] = live.tokens.last().copied().unwrap_or(self.end);
                }
            }
        }
        Ok(searches.into_iter().map(|s| s.found).collect())
    }

    /// One step of one sentence over its rows' log-probabilities [k, V]. Returns, for each sequence alive after the
    /// step, the live sequence before it that it extends.
    fn extend(
        &self,
        search: &mut Sentence,
        told: &[f32],
        vocab: usize,
        last: bool,
    ) -> Result<Vec<usize>, NnError> {
        let mut candidates = Vec::with_capacity(search.live.len() * vocab);
        for (slot, (live, told)) in search.live.iter().zip(told.chunks_exact(vocab)).enumerate() {
            for (token, &log_prob) in (0u32..).zip(told) {
                if log_prob.is_nan() || log_prob == f32::INFINITY {
                    return Err(NnError::NotFinite { id: token as usize });
                }
                if log_prob > f32::NEG_INFINITY {
                    let log_prob = live.log_prob + f64::from(log_prob);
                    candidates.push(Candidate { log_prob, slot, token });
                }
            }
        }
        // Each live sequence has one end, so at least k of the first 2k go on, if there are that many.
        let considered = 2 * self.width;
        if candidates.len() > considered {
            candidates.select_nth_unstable_by(considered, Candidate::order);
            candidates.truncate(considered);
        }
        candidates.sort_unstable_by(Candidate::order);
        let (mut next, mut slots) = (Vec::with_capacity(self.width), Vec::with_capacity(self.width));
        let mut ended = vec![false; search.live.len()];
        for (rank, Candidate { log_prob, slot, token }) in candidates.into_iter().enumerate() {
            let before = &search.live[slot];
            let rows = || [&before.rows[..], &[search.first_row + slot]].concat();
            if token == self.end {
                if rank < self.width {
                    ended[slot] = true;
                    search.found.push(self.hypothesis(before.tokens.clone(), rows(), log_prob, true));
                }
            } else if next.len() < self.width && !last {
                let tokens = [&before.tokens[..], &[token]].concat();
                next.push(Live { tokens, rows: rows(), log_prob });
                slots.push(slot);
            }
        }
        let before = std::mem::replace(&mut search.live, next);
        if last {
            let cut = before.into_iter().zip(ended).filter(|(_, ended)| !ended);
            search.found.extend(cut.map(|(l, _)| self.hypothesis(l.tokens, l.rows, l.log_prob, false)));
        }
        self.keep_best(&mut search.found);
        if self.is_done(search) {
            search.live.clear();
        }
        Ok(slots)
    }

    fn hypothesis(&self, tokens: Vec<u32>, rows: Vec<usize>, log_prob: f64, ended: bool) -> Hypothesis {
        let score = self.score(log_prob, tokens.len() + usize::from(ended));
        Hypothesis { tokens, log_prob, score, ended, rows }
    }

    /// ln P over the length penalty of this many tokens.
    fn score(&self, log_prob: f64, length: usize) -> f64 {
        log_prob / ((5.0 + length as f64) / 6.0).powf(self.length_penalty)
    }

    /// Keeps the best `width`: ended sequences before those that were cut off, then by score, equal ones by their
    /// tokens.
    fn keep_best(&self, found: &mut Vec<Hypothesis>) {
        found.sort_by(|a, b| {
            let by_score = b.ended.cmp(&a.ended).then(b.score.total_cmp(&a.score));
            by_score.then_with(|| a.tokens.cmp(&b.tokens))
        });
        found.truncate(self.width);
    }

    /// Whether no live sequence can beat the worst of `width` kept ones.
    fn is_done(&self, search: &Sentence) -> bool {
        // The live ones are in order, so the first is the likeliest.
        let (Some(worst), Some(live)) = (search.found.get(self.width - 1), search.live.first()) else {
            return false;
        };
        self.width == 1 || self.score(live.log_prob, self.max_tokens.saturating_add(1)) <= worst.score
    }
}

#[cfg(test)]
#[path = "beam_tests.rs"]
mod tests;
