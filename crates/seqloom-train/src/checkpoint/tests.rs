//! Tests of checkpoints without a device: the file's format, and every reason to refuse one.

use super::*;
use crate::optim::adam::AdamW;
use seqloom_graph::{Init, Optimizer, Params};

fn specs(hidden: usize) -> Vec<ParamSpec> {
    let mut params = Params::seeded(1);
    params.add("embedding.weight", &[3, 2], Init::Ones);
    params.add("head.weight", &[hidden], Init::Ones);
    params.iter().cloned().collect()
}

fn state() -> State {
    State { version: VERSION, step: 7, applied: 6, seed: u64::MAX - 1, vocab: Some("a\n\"é🎉".to_owned()) }
}

fn checkpoint(path: &Path) -> Checkpoint {
    let mut tensors = BTreeMap::new();
    for prefix in ["", "adamw.m.", "adamw.v."] {
        for spec in specs(4) {
            let values = (0..spec.shape.elements()).map(|i| i as f32 / 3.0).collect();
            tensors.insert(format!("{prefix}{}", spec.name), Stored { shape: spec.shape.to_vec(), values });
        }
    }
    for (spec, count) in specs(4).iter().zip([6.0, 2.0]) {
        tensors.insert(format!("adamw.step.{}", spec.name), scalar(count));
    }
    Checkpoint { path: path.to_owned(), state: Some(state()), tensors }
}

/// What AdamW keeps for those parameters.
fn kept(hidden: usize) -> Vec<Vec<Kept>> {
    specs(hidden).iter().map(|spec| AdamW::default().states(&spec.shape)).collect()
}

impl<'a> Trained<'a> {
    fn adamw(states: &'a [Vec<Kept>]) -> Self {
        Self { optimizer: Some("adamw"), states }
    }
}

fn fault(result: Result<Checkpoint>) -> CheckpointFault {
    match result {
        Err(Error::Checkpoint { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read_and_equal_states_give_equal_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let written = checkpoint(&path);
    written.save().unwrap();
    let read = Checkpoint::read(&path).unwrap();
    assert_eq!(read, written);
    assert_eq!(read.vocab().unwrap().chars().unwrap(), ['a', '\n', '"', 'é', '🎉']);
    assert_eq!(written.encode().unwrap(), std::fs::read(&path).unwrap());
}

#[test]
fn every_truncation_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let whole = checkpoint(&path).encode().unwrap();
    for length in [0, 5, 8, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let fault = fault(Checkpoint::read(&path));
        assert!(
            matches!(fault, CheckpointFault::Truncated { has, .. } if has == length as u64),
            "{length}: {fault}"
        );
    }
    assert_eq!(announced(&whole), Some(whole.len() as u64));
    std::fs::write(&path, [whole.as_slice(), b"more"].concat()).unwrap();
    assert!(matches!(fault(Checkpoint::read(&path)), CheckpointFault::Damaged { .. }));
    std::fs::write(&path, "no safetensors file at all").unwrap();
    let _ = fault(Checkpoint::read(&path));
}

#[test]
fn numbers_that_are_none_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    for value in [f32::NAN, f32::INFINITY] {
        let mut bad = checkpoint(&path);
        bad.tensors.get_mut("head.weight").unwrap().values[2] = value;
        std::fs::write(&path, bad.encode().unwrap()).unwrap();
        let fault = fault(Checkpoint::read(&path));
        assert!(
            matches!(&fault, CheckpointFault::NotFinite { name, index: 2, .. } if name == "head.weight"),
            "{fault}"
        );
    }
}

#[test]
fn another_model_is_told_by_its_names() {
    let mut other = checkpoint(Path::new("model"));
    let moved = other.tensors.remove("head.weight").unwrap();
    other.tensors.insert("tail.weight".to_owned(), moved);
    let fault = other.matches(&specs(4), Some(&Trained::adamw(&kept(4)))).unwrap_err();
    let names = |name: &str| vec![name.to_owned()];
    let (missing, extra, misshapen) = (names("head.weight"), names("tail.weight"), Vec::new());
    assert_eq!(fault, CheckpointFault::Mismatch { missing, extra, misshapen });
    assert!(fault.to_string().contains("head.weight"));
}

#[test]
fn other_shapes_are_told_with_both() {
    let fault = checkpoint(Path::new("model")).matches(&specs(5), None).unwrap_err();
    let misshapen = Misshapen { name: "head.weight".to_owned(), has: vec![4], needs: vec![5] };
    let told = vec![misshapen];
    assert_eq!(fault, CheckpointFault::Mismatch { missing: vec![], extra: vec![], misshapen: told });
    assert!(
        fault.to_string().ends_with("tensor 'head.weight' has shape [4], the model needs [5]"),
        "{fault}"
    );
    let fault =
        checkpoint(Path::new("model")).matches(&specs(5), Some(&Trained::adamw(&kept(5)))).unwrap_err();
    assert!(matches!(fault, CheckpointFault::Mismatch { misshapen, .. } if misshapen.len() == 3));
}

#[test]
fn all_that_differs_is_told_at_once() {
    let mut other = checkpoint(Path::new("model"));
    for name in ["embedding.weight", "adamw.v.head.weight"] {
        other.tensors.remove(name);
    }
    let stray = Stored { shape: vec![], values: vec![1.0] };
    other.tensors.insert("first".to_owned(), stray.clone());
    other.tensors.insert("second".to_owned(), stray);
    let message = other.matches(&specs(5), Some(&Trained::adamw(&kept(5)))).unwrap_err().to_string();
    for part in [
        r#"missing ["adamw.v.head.weight", "embedding.weight"]"#,
        r#"not in the model ["first", "second"]"#,
        "'head.weight' has shape [4], the model needs [5]",
        "'adamw.m.head.weight' has",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn parameters_alone_are_enough_for_inference_only() {
    let mut foreign = checkpoint(Path::new("model"));
    foreign.state = None;
    foreign.matches(&specs(4), None).unwrap();
    let carried = Stored { shape: vec![1], values: vec![0.5] };
    foreign.tensors.insert("carried.lstm.h".to_owned(), carried);
    foreign.matches(&specs(4), Some(&Trained::adamw(&kept(4)))).unwrap();
    foreign.matches(&specs(4), None).unwrap();
    foreign.tensors.retain(|name, _| !name.starts_with("adamw.") && !name.starts_with("carried."));
    foreign.matches(&specs(4), None).unwrap();
    assert!(matches!(
        foreign.matches(&specs(4), Some(&Trained::adamw(&kept(4)))),
        Err(CheckpointFault::Mismatch { .. })
    ));
}

#[test]
fn other_versions_and_types_are_refused() {
    let mut newer = checkpoint(Path::new("model"));
    for version in [0, VERSION + 1] {
        newer.state = Some(State { version, ..state() });
        let fault = decode(&newer.encode().unwrap(), |_| false).unwrap_err();
        assert_eq!(fault, CheckpointFault::Version { has: version, newest: VERSION });
    }
    let half = TensorView::new(Dtype::F16, vec![2], &[0; 4]).unwrap();
    let bytes = safetensors::serialize([("half", half)], None).unwrap();
    assert!(matches!(decode(&bytes, |_| false), Err(CheckpointFault::DType { .. })));
    assert!(decode(&bytes, |name| name == "half").unwrap().1.is_empty());
}

/// Version 1 had one count, of steps, and every parameter's updates were those.
#[test]
fn a_file_of_the_first_version_counts_steps_as_updates() {
    let mut older = checkpoint(Path::new("model"));
    older.tensors.retain(|name, _| !name.contains(UPDATES));
    older.tensors.get_mut("adamw.m.head.weight").unwrap().values = vec![0.0; 4];
    let json = r#"{"version":1,"step":7,"seed":5,"vocab":null}"#;
    older.state = None;
    let bytes = older.encode().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = HashMap::from([(KEY.to_owned(), json.to_owned())]);
    let bytes = safetensors::serialize(file.iter(), Some(metadata)).unwrap();
    let (state, tensors) = decode(&bytes, |_| false).unwrap();
    let wanted = State { version: VERSION, step: 7, applied: 7, seed: 5, vocab: None };
    assert_eq!(state.as_ref(), Some(&wanted));
    assert_eq!(tensors["adamw.step.embedding.weight"], scalar(7.0));
    assert_eq!(tensors["adamw.step.head.weight"], scalar(0.0), "it was never updated");
    Checkpoint { path: "model".into(), state, tensors }
        .matches(&specs(4), Some(&Trained::adamw(&kept(4))))
        .unwrap();
}

#[test]
fn a_path_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none").join("model.safetensors");
    let error = checkpoint(&path).save().unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    assert!(matches!(error, Error::Io { action: "write", .. }));
}

#[test]
fn states_of_another_optimizer_are_told_by_its_name() {
    let states = kept(4);
    let sgd = Trained { optimizer: Some("sgd"), states: &states };
    let fault = checkpoint(Path::new("model")).matches(&specs(4), Some(&sgd)).unwrap_err();
    assert_eq!(fault, CheckpointFault::Optimizer { has: "adamw".to_owned(), needs: "sgd".to_owned() });
    assert!(fault.to_string().contains("'adamw', not those of 'sgd'"), "{fault}");
    // Its parameters serve any optimizer.
    checkpoint(Path::new("model")).matches(&specs(4), None).unwrap();
}
