//! Two programs over files of one's own, by the public face alone: a multivariate series of CSV that an LSTM forecasts, and ragged
//! sentences of JSON Lines that are classified, with early stopping and the best weights kept.

use std::path::Path;

use seqloom::Result;
use seqloom::prelude::custom::*;

/// Forecasts the next hour from a day; the held-out last fifth's mean squared error.
fn forecast(path: &Path) -> Result<f64> {
    let series = Table::read_csv(path)?.matrix(&["load", "wind"])?;
    let hours = Columns::new().windows("day", 2, 0..24, series.clone()).windows("next", 2, 24..25, series);
    let (train, held_out) = hours.samples()?.split_end(0.2)?;
    let mut params = Params::seeded(1);
    let lstm = Lstm::new(&mut params, "lstm", RecurrentConfig::new(2, 32));
    let head = Linear::new(&mut params, "head", 32, 2);
    let device = Device::open(DeviceOptions::default())?;
    let optimizer = AdamW { lr: 1e-2, ..AdamW::default() };
    let mut trainer = Trainer::new(&device, params, optimizer, |g, batch: &Inputs| {
        let batch = batch.bind(g);
        let last = lstm.forward(batch.get("day"), None, None).output.slice(1, 23, 1);
        losses::mse(head.forward(last), batch.get("next"), losses::Reduction::Mean)
    })?;
    for batch in train.batches(32).epochs(20).prefetched(2) {
        trainer.step(&batch)?;
    }
    trainer.evaluate_all(held_out.batches(32).in_order().every_row())
}

/// Classifies sentences; the best loss over held-out ones, and the epochs that were trained.
fn classify(path: &Path, checkpoint: &Path) -> Result<(f64, u64)> {
    let table = Table::read_json_lines(path)?;
    let (texts, (classes, names)) = (table.texts("text")?, table.classes("mood")?);
    let codec = TextCodec::words(&texts, WordOptions::default())?;
    let texts = texts.iter().map(|text| codec.encode(text)).collect::<Result<_>>()?;
    let data = Columns::new().sequences("words", "lengths", texts).ids("class", &[], classes).samples()?;
    let (train, held_out) = data.split(0.2, 1)?;
    let mut params = Params::seeded(1);
    let embedding = Embedding::new(&mut params, "embedding", codec.size(), 16);
    let lstm = Lstm::new(&mut params, "lstm", RecurrentConfig::new(16, 32));
    let head = Linear::new(&mut params, "head", 32, names.len());
    let device = Device::open(DeviceOptions::default())?;
    let optimizer = AdamW { lr: 1e-2, ..AdamW::default() };
    let mut trainer = Trainer::new(&device, params, optimizer, |g, batch: &Inputs| {
        let (batch, lengths) = (batch.bind(g), batch.bind(g).lengths("lengths"));
        let states = lstm.forward(embedding.forward(batch.get("words")), None, Some(lengths)).output;
        cross_entropy(head.forward(lengths.mean(states)), batch.get("class"), None)
    })?;
    let mut stopping = EarlyStopping { min_delta: 1e-3, ..EarlyStopping::new(3) };
    let mut epochs = train.batches(16).by_length().epochs(40);
    loop {
        for batch in epochs.by_ref().take(train.len() / 16) {
            trainer.step(&batch)?;
        }
        match stopping.observe(trainer.evaluate_all(held_out.batches(16).by_length().every_row())?) {
            Verdict::Best => trainer.save(checkpoint)?,
            Verdict::Stop => break,
            Verdict::Wait => {}
        }
        if epochs.len() == 0 {
            break;
        }
    }
    trainer.load(checkpoint)?;
    let best = trainer.evaluate_all(held_out.batches(16).by_length().every_row())?;
    Ok((best, epochs.position() / epochs.per_epoch()))
}

#[test]
fn a_series_of_csv_is_forecast() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("series.csv");
    // Wind of six hours ago and the time of day make the load.
    let wind = |hour: i32| (f64::from(hour) * 0.37).sin();
    let row = |hour| {
        let day = (f64::from(hour) * std::f64::consts::TAU / 24.0).cos();
        format!("{hour},{:.4},{:.4}\n", 0.6 * day - 0.4 * wind(hour - 6), wind(hour))
    };
    let rows: String = (0..500).map(row).collect();
    std::fs::write(&path, format!("hour,load,wind\n{rows}")).unwrap();
    let error = forecast(&path).unwrap();
    // The variance is 0.4; an hour before as the forecast has an error of 0.04.
    println!("mean squared error {error}");
    assert!(error < 0.01, "{error}");
}

#[test]
fn ragged_sentences_are_classified_until_it_brings_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.jsonl");
    let words = ["the", "film", "was", "and", "its", "plot", "music", "so", "very"];
    let pick = |seed: usize, of: usize| (seed.wrapping_mul(0x9E37_79B9) >> 7) % of;
    // "not" turns the mood that the last word names.
    let line = |n: usize| {
        let filler: Vec<&str> = (0..2 + pick(n, 12)).map(|i| words[pick(n * 31 + i + 7, 9)]).collect();
        let (good, turned) = (pick(n * 3 + 1, 2) == 1, pick(n * 5 + 2, 2) == 1);
        let text = format!(
            "{} {}{}",
            filler.join(" "),
            if turned { "not " } else { "" },
            if good { "good" } else { "bad" }
        );
        format!("{{\"text\": \"{text}\", \"mood\": \"{}\"}}\n", if good != turned { "fine" } else { "poor" })
    };
    std::fs::write(&path, (0..400).map(line).collect::<String>()).unwrap();
    let (loss, epochs) = classify(&path, &folder.path().join("best.safetensors")).unwrap();
    println!("loss {loss} after {epochs} epochs");
    // Guessing is ln 2 = 0.69; one of eight wrong at certainty would be more than this.
    assert!(loss < 0.1, "{loss}");
    assert!((4..40).contains(&epochs), "it did not stop early, {epochs}");
}
