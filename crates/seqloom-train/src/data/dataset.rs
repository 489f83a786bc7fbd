//! Batches of one's own data: it says how many rows it has and makes a batch of some; the order of rows, epochs, splits and
//! positions are here and in [`Course`].

use std::sync::Arc;

use seqloom_nn::{Batch, Inputs, NnError};

use crate::data::course::{Course, Source};
use crate::data::cuts::Cuts;
use crate::error::{Error, Result};
use crate::random::{mix, permutation};

/// What a data set may fail with: any error, by `?`.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// Rows of any kind, in memory or read when they are asked for.
///
/// ```
/// # use seqloom_nn::Inputs;
/// # use seqloom_train::{Dataset, LoadError, Samples};
/// struct Squares;
///
/// impl Dataset for Squares {
///     type Batch = Inputs;
///
///     fn len(&self) -> usize {
///         100
///     }
///
///     fn batch(&self, rows: &[usize], _seed: u64) -> Result<Inputs, LoadError> {
///         let x: Vec<f32> = rows.iter().map(|&row| row as f32).collect();
///         let y = x.iter().map(|x| x * x).collect();
///         Ok(Inputs::new().floats("x", &[rows.len(), 1], x).floats("y", &[rows.len(), 1], y))
///     }
/// }
///
/// let (train, held_out) = Samples::new(Squares).split(0.2, 1).unwrap();
/// assert_eq!((train.len(), held_out.len()), (80, 20));
/// assert_eq!(train.batches(16).seeded(7).epochs(3).len(), 15);
/// ```
pub trait Dataset {
    /// What a step is fed with: [`Inputs`], or a type of one's own.
    type Batch: Batch + From<NnError>;

    /// Number of rows.
    fn len(&self) -> usize;

    /// Whether it has no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A batch of these rows, by their numbers from 0. `seed` is another number for each batch of a course, and the same
    /// when the course is resumed: whatever is drawn (crops, masks, noise) is drawn from it.
    ///
    /// # Errors
    /// Whatever goes wrong; the batch's step returns it as [`NnError::Load`] with the batch's number.
    fn batch(&self, rows: &[usize], seed: u64) -> Result<Self::Batch, LoadError>;

    /// Steps of a row, for batches of similar lengths ([`SampleBatches::by_length`]).
    fn steps(&self, _row: usize) -> usize {
        1
    }
}

/// A data set made of a function ([`Samples::from_fn`]).
#[derive(Clone, Debug)]
pub struct FromFn<F> {
    len: usize,
    make: F,
}

impl<B: Batch + From<NnError>, F: Fn(&[usize]) -> Result<B, LoadError>> Dataset for FromFn<F> {
    type Batch = B;

    fn len(&self) -> usize {
        self.len
    }

    fn batch(&self, rows: &[usize], _seed: u64) -> Result<B, LoadError> {
        (self.make)(rows)
    }
}

/// Rows of a data set, all or the part that a split left. A clone shares the data.
#[derive(Debug)]
pub struct Samples<D> {
    data: Arc<D>,
    /// Numbers of its rows.
    rows: Arc<[usize]>,
}

impl<D> Clone for Samples<D> {
    fn clone(&self) -> Self {
        Self { data: Arc::clone(&self.data), rows: Arc::clone(&self.rows) }
    }
}

impl<F: Fn(&[usize]) -> Result<Inputs, LoadError>> Samples<FromFn<F>> {
    /// `len` rows, of which a function makes batches.
    #[must_use]
    pub fn from_fn(len: usize, make: F) -> Self {
        Self::new(FromFn { len, make })
    }
}

impl<D: Dataset> Samples<D> {
    /// All rows of a data set.
    #[must_use]
    pub fn new(data: D) -> Self {
        let rows = (0..data.len()).collect();
        Self { data: Arc::new(data), rows }
    }

    /// The data set.
    #[must_use]
    pub fn data(&self) -> &D {
        &self.data
    }

    /// Number of its rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Holds out a fraction of the rows, drawn by `seed`: (the rest, the held-out rows). Twice gives three parts.
    ///
    /// # Errors
    /// [`Error::HoldOut`] unless 0 < held_out < 1 and both parts have a row.
    pub fn split(&self, held_out: f64, seed: u64) -> Result<(Self, Self)> {
        let drawn: Vec<usize> =
            permutation(seed, self.len()).into_iter().map(|place| self.rows[place]).collect();
        self.parted(&drawn, held_out)
    }

    /// Holds out the last rows, for data in the order of time: (the rest, the held-out rows).
    ///
    /// # Errors
    /// As [`Samples::split`].
    pub fn split_end(&self, held_out: f64) -> Result<(Self, Self)> {
        self.parted(&self.rows, held_out)
    }

    fn parted(&self, rows: &[usize], held_out: f64) -> Result<(Self, Self)> {
        let last =
            if held_out > 0.0 && held_out < 1.0 { (rows.len() as f64 * held_out).round() } else { 0.0 };
        let rest = rows.len().saturating_sub(last as usize);
        if rest == 0 || rest == rows.len() {
            return Err(Error::HoldOut { fraction: held_out, rows: rows.len() });
        }
        let part = |rows: &[usize]| Self { data: Arc::clone(&self.data), rows: rows.into() };
        Ok((part(&rows[..rest]), part(&rows[rest..])))
    }

    /// Batches of `rows` rows: by default one epoch, shuffled with seed 0 (see [`SampleBatches`]).
    #[must_use]
    pub fn batches(&self, rows: usize) -> SampleBatches<D> {
        let cuts = Cuts::new(self.len(), rows);
        Course::over(Picks { samples: self.clone(), cuts, order: Picking::Shuffled, seed: 0 })
    }
}

/// An iterator over batches of [`Samples`], by default of one epoch, shuffled with seed 0.
///
/// An epoch has max(1, N / B) batches of N rows; the remaining N mod B wait until another epoch, unless every row is
/// asked for. Fewer rows than B give batches of all of them.
pub type SampleBatches<D> = Course<Picks<D>>;

/// The rows of samples, B to a batch: what [`SampleBatches`] are cut from.
#[derive(Debug)]
pub struct Picks<D> {
    samples: Samples<D>,
    cuts: Cuts,
    order: Picking,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Picking {
    Shuffled,
    InOrder,
    ByLength,
}

impl<D> Clone for Picks<D> {
    fn clone(&self) -> Self {
        Self { samples: self.samples.clone(), ..*self }
    }
}

impl<D: Dataset> SampleBatches<D> {
    /// Shuffles by this seed, and gives the data set its numbers from it.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        self.with(|source| source.seed = seed)
    }

    /// Takes the rows in their order.
    #[must_use]
    pub fn in_order(self) -> Self {
        self.with(|source| source.order = Picking::InOrder)
    }

    /// Puts rows of similar lengths ([`Dataset::steps`]) together, in random order, so that little is padding.
    #[must_use]
    pub fn by_length(self) -> Self {
        self.with(|source| source.order = Picking::ByLength)
    }

    /// Every epoch has every row, the last few in a smaller batch: for figures over a whole set.
    #[must_use]
    pub fn every_row(self) -> Self {
        self.with(|source| source.cuts.every = true)
    }
}

/// An epoch's batches, each the numbers of its rows.
#[derive(Clone, Debug)]
pub struct PickPlan {
    epoch: u64,
    batches: Vec<Vec<usize>>,
}

impl<D: Dataset> Source for Picks<D> {
    type Batch = D::Batch;
    type Plan = PickPlan;

    /// [`NnError::Batch`] if there are no rows in the data or in a batch.
    fn check(&self) -> Result<(), NnError> {
        let detail = match (self.samples.len(), self.cuts.rows) {
            (0, _) => "the data set has no rows",
            (_, 0) => "batches of 0 rows hold nothing",
            _ => return Ok(()),
        };
        Err(NnError::Batch { detail: detail.to_owned() })
    }

    fn per_epoch(&self) -> u64 {
        self.cuts.count()
    }

    fn plan(&self, epoch: u64) -> PickPlan {
        let (seed, Samples { data, rows }) = (mix(self.seed, epoch), &self.samples);
        let batches = match self.order {
            Picking::InOrder => self.cuts.in_order(),
            Picking::Shuffled => self.cuts.shuffled(seed),
            Picking::ByLength => self.cuts.by_length(seed, |place| data.steps(rows[place])),
        };
        PickPlan { epoch, batches }
    }

    fn cut(&self, plan: &PickPlan, step: usize) -> Result<D::Batch, NnError> {
        let places = plan.batches.get(step).map(Vec::as_slice).unwrap_or_default();
        let rows: Vec<usize> = places.iter().map(|&place| self.samples.rows[place]).collect();
        let number = plan.epoch * self.per_epoch() + step as u64;
        let made = self.samples.data.batch(&rows, mix(mix(self.seed, u64::MAX), number));
        let mut batch = made.map_err(|source| NnError::Load { batch: number, source: source.into() })?;
        if batch.token_count() == 0 {
            let inputs = std::mem::take(batch.inputs_mut());
            *batch.inputs_mut() = inputs.counting(rows.len());
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use seqloom_graph::HostData;

    /// Rows that hold their own number, as many steps as its last digit says; a batch with row 99 cannot be loaded.
    struct Numbers(usize);

    impl Dataset for Numbers {
        type Batch = Inputs;

        fn len(&self) -> usize {
            self.0
        }

        fn batch(&self, rows: &[usize], seed: u64) -> Result<Inputs, LoadError> {
            if rows.contains(&99) {
                return Err(std::io::Error::other("row 99 is unreadable").into());
            }
            let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
            Ok(Inputs::new().ids("rows", &[rows.len()], rows).ids("seed", &[1], vec![(seed >> 32) as u32]))
        }

        fn steps(&self, row: usize) -> usize {
            row % 10
        }
    }

    fn ids(batch: &Inputs, name: &str) -> Vec<u32> {
        match batch.host(name).map(seqloom_graph::HostTensor::data) {
            Some(HostData::U32(ids)) => ids.clone(),
            _ => Vec::new(),
        }
    }

    fn rows(batches: SampleBatches<Numbers>) -> Vec<Vec<u32>> {
        batches.map(|batch| ids(&batch, "rows")).collect()
    }

    #[test]
    fn epochs_are_shuffled_by_seed_and_positions_repeat() {
        let samples = Samples::new(Numbers(25));
        let all = rows(samples.batches(6).seeded(3).epochs(2));
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [6; 8]);
        assert_ne!(all[..4], all[4..]);
        assert_ne!(all, rows(samples.batches(6).seeded(4).epochs(2)));
        assert_eq!(rows(samples.batches(6).seeded(3).epochs(2).starting_at(5)), all[5..]);
        // What is drawn for a batch follows from its number, too.
        let seeds = |from| samples.batches(6).steps(9).starting_at(from).map(|b| ids(&b, "seed")[0]);
        let drawn: Vec<_> = seeds(0).collect();
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 9);
        assert_eq!(seeds(4).collect::<Vec<_>>(), drawn[4..]);
        assert_ne!(drawn[0], ids(&samples.batches(6).seeded(1).batch(0), "seed")[0]);
    }

    #[test]
    fn every_row_comes_once_when_asked_and_batches_weigh_what_they_hold() {
        let samples = Samples::new(Numbers(25));
        let batches = || samples.batches(6).every_row();
        assert_eq!(batches().map(|b| b.token_count()).collect::<Vec<_>>(), [6, 6, 6, 6, 1]);
        let seen: Vec<u32> = rows(batches()).concat();
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 25);
        assert_eq!(rows(batches().in_order()).concat(), (0..25).collect::<Vec<_>>());
        assert_eq!(rows(samples.batches(99)).len(), 1, "fewer rows than asked for: all of them");
    }

    #[test]
    fn rows_of_like_lengths_share_a_batch() {
        let samples = Samples::new(Numbers(90));
        let batches = rows(samples.batches(9).by_length());
        for batch in &batches {
            assert!(batch.iter().all(|row| row % 10 == batch[0] % 10), "{batch:?}");
        }
        let order: Vec<u32> = batches.iter().map(|batch| batch[0] % 10).collect();
        assert!(!order.is_sorted(), "{order:?}");
    }

    #[test]
    fn splits_share_nothing_and_follow_their_seed() {
        let samples = Samples::new(Numbers(40));
        let (train, held) = samples.split(0.25, 7).unwrap();
        let of = |samples: &Samples<Numbers>| rows(samples.batches(5).in_order()).concat();
        assert_eq!((train.len(), held.len()), (30, 10));
        let all: BTreeSet<_> = of(&train).into_iter().chain(of(&held)).collect();
        assert_eq!(all.len(), 40);
        assert_eq!(of(&held), of(&samples.split(0.25, 7).unwrap().1));
        assert_ne!(of(&held), of(&samples.split(0.25, 8).unwrap().1));
        assert_eq!(of(&samples.split_end(0.25).unwrap().1), (30..40).collect::<Vec<_>>());
        // A part of a part.
        let (_, last) = samples.split_end(0.5).unwrap().1.split_end(0.5).unwrap();
        assert_eq!(of(&last), (30..40).collect::<Vec<_>>());
        for fraction in [0.0, 1.0, -1.0, f64::NAN, 0.001, 0.999] {
            assert!(matches!(samples.split(fraction, 1), Err(Error::HoldOut { rows: 40, .. })), "{fraction}");
        }
    }

    #[test]
    fn what_cannot_be_loaded_is_told_by_its_batch() {
        let mut batches = Samples::new(Numbers(100)).batches(10).in_order().epochs(2);
        let faults: Vec<_> = batches.by_ref().map(|b| b.fault().map(ToString::to_string)).collect();
        assert_eq!(faults.iter().flatten().count(), 2);
        assert_eq!(faults[19].as_deref(), Some("batch 19 cannot be loaded: row 99 is unreadable"));
        assert!(Samples::new(Numbers(0)).batches(3).check().is_err());
        assert!(Samples::new(Numbers(3)).batches(0).next().unwrap().fault().is_some());
        let by_function = Samples::from_fn(4, |rows| {
            Ok(Inputs::new().floats("x", &[rows.len()], rows.iter().map(|&row| row as f32).collect()))
        });
        assert_eq!(by_function.batches(2).next().unwrap().dim("x", 0), 2);
    }
}
