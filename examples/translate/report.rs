//! The scores of a trained model: translations beside their references, in figures and in a picture.

use std::path::Path;

use seqloom::graph::HostData;
use seqloom::prelude::*;
use seqloom::train::bleu::Case;
use seqloom::train::dates::DateSentence;
use seqloom::train::{AttentionMap, attention_map};

use crate::data::{Data, skipped};
use crate::error::Result;
use crate::settings::Settings;

/// Translations that are printed.
const SAMPLES: usize = 5;

/// What was trained, how, and the results: printed, and `summary.json`.
#[derive(serde::Serialize)]
pub struct Summary {
    pub adapter: String,
    pub task: String,
    pub model: Settings,
    pub parameters: usize,
    pub training_pairs: usize,
    /// Lines that were not trained on, by reason.
    pub left_out: Vec<String>,
    pub steps: u64,
    /// The last step's, in nats per piece; none for a model that was only loaded.
    pub training_loss: Option<f32>,
    /// Target pieces per second, with each sentence's end and the time of compiling included.
    pub tokens_per_s: f64,
    pub training_s: f64,
    pub test: Test,
    pub total_s: f64,
}

/// The test's figures.
#[derive(serde::Serialize)]
pub struct Test {
    pub pairs: usize,
    /// Lines that were not translated, by reason.
    pub left_out: Vec<String>,
    pub perplexity: f64,
    /// Translations that are their reference, piece by piece.
    pub exact: usize,
    /// sacrebleu's, 0 to 100; for files.
    pub bleu: Option<f64>,
    /// For dates read letter by letter with attention.
    pub attention: Option<Fields>,
    #[serde(skip)]
    samples: Vec<[String; 3]>,
}

/// The share of the attention on a date field's letters while the model writes that field, averaged over all letters of
/// all test sentences, 0 to 1.
#[derive(Clone, Copy, Default, serde::Serialize)]
pub struct Fields {
    pub year: f64,
    pub month: f64,
    pub day: f64,
    /// The same for attention spread evenly over the sentence.
    pub even: f64,
}

impl Test {
    /// Scores the translations of the test's sentences, one for each, in their order.
    pub fn new(data: &Data, settings: &Settings, perplexity: f64, found: &[Translation]) -> Result<Self> {
        let told =
            found.iter().map(|t| data.target.decode(&t.tokens)).collect::<seqloom::Result<Vec<_>>>()?;
        let references: Vec<&str> = data.texts.iter().map(|(_, target)| target.as_str()).collect();
        let right = found.iter().zip(data.test.pairs()).filter(|(t, (_, ids))| t.ended && t.tokens == *ids);
        let case = if settings.lower_case { Case::Lower } else { Case::Sensitive };
        let bleu = match data.dates {
            Some(_) => None,
            None => Some(corpus_bleu(&told, &references, case)?.score),
        };
        let samples = data.texts.iter().zip(&told).take(SAMPLES);
        Ok(Self {
            pairs: found.len(),
            left_out: skipped(data.test.skipped()),
            perplexity,
            exact: right.count(),
            bleu,
            attention: data.dates.as_deref().and_then(|dates| fields(dates, found)),
            samples: samples.map(|((s, t), told)| [s.clone(), told.clone(), t.clone()]).collect(),
        })
    }
}

/// Where a model attended while it wrote the letters of `0000-00-00`; `None` without attention, or with pieces that are
/// not letters.
fn fields(dates: &[DateSentence], found: &[Translation]) -> Option<Fields> {
    let (mut sum, mut counted) = (Fields::default(), 0.0);
    for (date, translation) in dates.iter().zip(found) {
        let map = translation.attention.as_ref()?;
        let letters = date.text.len();
        let HostData::F32(weights) = map.data() else { return None };
        if map.shape().last() != Some(&letters) {
            return None;
        }
        // A result that is not a date has no year to look for.
        if translation.tokens.len() != date.iso.len() {
            continue;
        }
        let places = [(0..4, &date.year), (5..7, &date.month), (8..10, &date.day)];
        let shares = places.clone().map(|(rows, place)| {
            let on_place = |row: usize| weights[row * letters..][place.clone()].iter().sum::<f32>();
            rows.clone().map(|row| f64::from(on_place(row))).sum::<f64>() / rows.len() as f64
        });
        let even = places.iter().map(|(_, place)| place.len() as f64).sum::<f64>() / (3 * letters) as f64;
        let [year, month, day] = shares;
        sum = Fields {
            year: sum.year + year,
            month: sum.month + month,
            day: sum.day + day,
            even: sum.even + even,
        };
        counted += 1.0;
    }
    let mean = |sum: f64| sum / counted;
    (counted > 0.0).then(|| Fields {
        year: mean(sum.year),
        month: mean(sum.month),
        day: mean(sum.day),
        even: mean(sum.even),
    })
}

/// Draws the attention of the test's first sentence, if there is any.
pub fn draw(path: &Path, data: &Data, found: &[Translation]) -> Result<bool> {
    let (Some((source, _)), Some(translation)) = (data.test.pairs().first(), found.first()) else {
        return Ok(false);
    };
    let Some(HostData::F32(weights)) = translation.attention.as_ref().map(HostTensor::data) else {
        return Ok(false);
    };
    let mut target = data.target.labels(&translation.tokens)?;
    // The end is looked for as any piece.
    target.extend(translation.ended.then(|| "(end)".to_owned()));
    let source = data.source.labels(source)?;
    attention_map(path, AttentionMap { title: &data.name, source: &source, target: &target, weights })?;
    Ok(true)
}

impl Summary {
    /// Prints samples and figures.
    pub fn print(&self) {
        let Test { pairs, perplexity, exact, .. } = self.test;
        for [source, told, reference] in &self.test.samples {
            println!("{source}\n  → {told}");
            if told != reference {
                println!("  = {reference}");
            }
        }
        let Self { steps, training_s, tokens_per_s, .. } = self;
        println!("\n{steps} steps, {training_s:.0} s of training, {tokens_per_s:.0} target pieces/s");
        println!(
            "test perplexity {perplexity:.3}, {exact} of {pairs} exact ({:.1} %)",
            100.0 * exact as f64 / pairs as f64
        );
        if let Some(bleu) = self.test.bleu {
            println!("BLEU {bleu:.2}");
        }
        if let Some(Fields { year, month, day, even }) = self.test.attention {
            let [year, month, day, even] = [year, month, day, even].map(|share| 100.0 * share);
            println!(
                "attention on its field: year {year:.0} %, month {month:.0} %, day {day:.0} % (spread evenly: {even:.0} %)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test stops at the first surprise.

    use std::slice::from_ref;

    use super::*;

    #[test]
    fn attention_is_counted_on_the_letters_of_its_field() {
        // Month 0..1, day 2..3, year 4..6.
        let date = DateSentence {
            text: "3.4.21".to_owned(),
            iso: "2021-03-04".to_owned(),
            year: 4..6,
            month: 0..1,
            day: 2..3,
        };
        let mut map = vec![0.0; 11 * 6];
        for row in 0..11 {
            match row {
                // The year's four letters look at both of its digits, the first also at a full stop.
                0 => (map[3], map[4], map[5]) = (0.5, 0.25, 0.25),
                1..4 => (map[row * 6 + 4], map[row * 6 + 5]) = (0.5, 0.5),
                // The month's look at the month, the day's at the month too.
                _ => map[row * 6] = 1.0,
            }
        }
        let attention = Some(HostTensor::f32(&[11, 6], map).unwrap());
        let whole = Translation { tokens: vec![4; 10], log_prob: 0.0, score: 0.0, ended: true, attention };
        let one = |date: &DateSentence, told: &Translation| fields(from_ref(date), from_ref(told));
        let Fields { year, month, day, even } = one(&date, &whole).unwrap();
        assert_eq!((year, month, day), (0.875, 1.0, 0.0));
        assert!((even - 4.0 / 18.0).abs() < 1e-12);
        // Results that are not dates are left out; without attention, or with other pieces, there is no figure.
        let cut = Translation { tokens: vec![4; 9], ..whole.clone() };
        let both = fields(&[date.clone(), date.clone()], &[whole.clone(), cut.clone()]).unwrap();
        assert_eq!(both.year, 0.875);
        assert!(one(&date, &cut).is_none());
        assert!(one(&date, &Translation { attention: None, ..whole.clone() }).is_none());
        assert!(one(&DateSentence { text: "3.4.2021".to_owned(), ..date }, &whole).is_none());
    }
}
