//! Corpus BLEU against sacrebleu's own figures: `golden/bleu.json`, which `golden/bleu.py` writes.

use std::path::Path;

use serde_json::Value;

use seqloom_train::bleu::Case;
use seqloom_train::corpus_bleu;

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/bleu.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let all: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    all["cases"].as_array().expect("a list of cases").clone()
}

fn strings<'a>(case: &'a Value, key: &str) -> Vec<&'a str> {
    let list = case[key].as_array().expect("a list of sentences");
    list.iter().map(|sentence| sentence.as_str().expect("a sentence")).collect()
}

fn four<T>(case: &Value, key: &str, read: fn(&Value) -> Option<T>) -> Vec<T> {
    let list: Vec<T> = case[key].as_array().into_iter().flatten().filter_map(read).collect();
    assert_eq!(list.len(), 4, "{key}");
    list
}

/// Counts agree exactly, so the figures differ only by the rounding of a few f64 operations.
fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0)
}

#[test]
fn every_figure_is_sacrebleus() {
    let cases = cases();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    for case in &cases {
        let name = case["name"].as_str().expect("a name");
        let fold = if case["lowercase"].as_bool().expect("a flag") { Case::Lower } else { Case::Sensitive };
        let bleu = corpus_bleu(&strings(case, "hypotheses"), &strings(case, "references"), fold).unwrap();
        assert_eq!(bleu.matches[..], four(case, "matches", Value::as_u64), "{name}: matches");
        assert_eq!(bleu.totals[..], four(case, "totals", Value::as_u64), "{name}: totals");
        assert_eq!(Some(bleu.hypothesis_tokens), case["hypothesis_tokens"].as_u64(), "{name}");
        assert_eq!(Some(bleu.reference_tokens), case["reference_tokens"].as_u64(), "{name}");
        let precisions = four(case, "precisions", Value::as_f64);
        for (ours, theirs) in bleu.precisions.into_iter().zip(precisions) {
            assert!(close(ours, theirs), "{name}: precision {ours}, not {theirs}");
        }
        let (score, bp) = (case["score"].as_f64().expect("a score"), case["bp"].as_f64().expect("a penalty"));
        assert!(close(bleu.score, score), "{name}: score {}, not {score}", bleu.score);
        assert!(close(bleu.brevity_penalty, bp), "{name}: penalty {}, not {bp}", bleu.brevity_penalty);
        assert_eq!(Some(&*bleu.to_string()), case["printed"].as_str(), "{name}");
    }
}

#[test]
fn the_cases_cover_what_they_are_there_for() {
    let cases = cases();
    let scores: Vec<f64> = cases.iter().filter_map(|case| case["score"].as_f64()).collect();
    assert!(scores.contains(&0.0) && scores.iter().any(|&s| s > 20.0));
    assert!(cases.iter().any(|case| case["bp"].as_f64().is_some_and(|bp| bp > 0.0 && bp < 1.0)));
    let empty = |case: &Value| strings(case, "hypotheses").contains(&"");
    assert!(cases.iter().any(empty));
}
