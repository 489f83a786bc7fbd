//! The workloads by name, their cases, and the function that makes each.
//!
//! Names, sizes and constants are those of `bench/peers/README.md`, so lines of the peers can be compared with ours. A
//! new workload is one entry here.

use seqloom::device::{Device, DeviceOptions};

use super::subject::Subject;
use super::{attention, generate, kernels, language, large, matmul, transformer};
use crate::error::{Result, XtaskError};

/// Makes a case's subject on a device.
pub type Make = fn(&Device, &str) -> Result<Box<dyn Subject>>;

/// Cases that are measured in the same way.
pub struct Workload {
    pub name: &'static str,
    /// In words, above its table.
    pub title: &'static str,
    pub cases: &'static [&'static str],
    pub make: Make,
}

/// What `bench` measures as a step, in order.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "W1",
        title: "matrix product; _pipe: several queued, one wait",
        cases: &[
            "n256",
            "n512",
            "n1024",
            "n2048",
            "batched16",
            "n256_pipe",
            "n512_pipe",
            "n1024_pipe",
            "n2048_pipe",
            "batched16_pipe",
        ],
        make: matmul::subject,
    },
    Workload {
        name: "W2",
        title: "LSTM language model, one training step",
        cases: &["lstm1", "lstm2"],
        make: language::subject,
    },
    Workload {
        name: "W3",
        title: "GRU language model, one training step",
        cases: &["gru1", "gru2"],
        make: language::subject,
    },
    Workload {
        name: "W4",
        title: "decoder-only Transformer, one training step",
        cases: &["gpt"],
        make: transformer::decoder_only,
    },
    Workload {
        name: "W5",
        title: "encoder–decoder Transformer, one training step",
        cases: &["encdec"],
        make: transformer::encoder_decoder,
    },
    Workload {
        name: "W6",
        title: "causal attention alone; sdpa: fused, naive: composed",
        cases: &[
            "sdpa_fwd_T512",
            "sdpa_fwdbwd_T512",
            "sdpa_fwd_T1024",
            "sdpa_fwdbwd_T1024",
            "naive_fwd_T512",
            "naive_fwdbwd_T512",
            "naive_fwd_T1024",
            "naive_fwdbwd_T1024",
        ],
        make: attention::subject,
    },
    Workload {
        name: "W7",
        title: "128 tokens from the model of W4, with a cache of keys and values and without",
        cases: &["generate_kv", "generate_nocache"],
        make: generate::subject,
    },
    Workload { name: LARGE, title: "sizes that fill a GPU", cases: large::CASES, make: large::subject },
    Workload { name: KERNELS, title: "kernel families alone", cases: kernels::CASES, make: kernels::subject },
];

/// The workload that only a GPU runs in reasonable time.
const LARGE: &str = "large";

/// The one workload that the peers do not have.
const KERNELS: &str = "kernels";

/// Studies: how time follows one size. `bench --workload` takes them too.
pub const STUDIES: &[(&str, &[&str])] = &[
    ("ragged", &["rnn", "lstm", "gru"]),
    (
        "growth",
        &[
            "rnn_T",
            "lstm_T",
            "gru_T",
            "rnn_batch",
            "lstm_batch",
            "gru_batch",
            "rnn_layers",
            "lstm_layers",
            "gru_layers",
            "attention_T",
            "attention_memory",
        ],
    ),
];

/// A case that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub workload: &'static str,
    pub case: &'static str,
}

/// The workload of that name, if it is measured as a step.
pub fn workload(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

/// How a case's device is opened.
pub fn options(case: &str) -> DeviceOptions {
    DeviceOptions { half_products: large::is_half(case), ..DeviceOptions::default() }
}

/// Whether the peers have the workload too.
pub fn is_shared(name: &str) -> bool {
    shared().any(|workload| workload.name == name)
}

/// The workloads that the peers have too.
fn shared() -> impl Iterator<Item = &'static Workload> {
    WORKLOADS.iter().filter(|workload| workload.name != KERNELS)
}

/// Names and cases of all workloads.
fn everything() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    WORKLOADS.iter().map(|workload| (workload.name, workload.cases)).chain(STUDIES.iter().copied())
}

/// The cases of these workloads, or those among them that were asked for. `all` is every workload that peers have too,
/// except the large one.
///
/// # Errors
/// [`XtaskError::Unknown`] for a workload or case that does not exist.
pub fn asked(workloads: &[String], cases: &[String]) -> Result<Vec<Asked>> {
    let unknown = |what, asked: &str, known: Vec<&str>| {
        Err(XtaskError::Unknown { what, asked: asked.to_owned(), known: known.join(", ") })
    };
    let mut chosen: Vec<(&str, &[&str])> = Vec::new();
    for name in workloads {
        match everything().find(|(known, _)| known == name) {
            Some(found) => chosen.push(found),
            None if name == "all" => {
                chosen.extend(shared().filter(|w| w.name != LARGE).map(|w| (w.name, w.cases)));
            }
            None => {
                return unknown(
                    "workload",
                    name,
                    everything().map(|(name, _)| name).chain(["all"]).collect(),
                );
            }
        }
    }
    let known: Vec<&str> = chosen.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    if let Some(strange) = cases.iter().find(|case| !known.contains(&case.as_str())) {
        return unknown("case", strange, known);
    }
    let wanted = |case: &&&str| cases.is_empty() || cases.iter().any(|asked| asked == **case);
    Ok(chosen
        .iter()
        .flat_map(|(workload, all)| all.iter().filter(wanted).map(|case| Asked { workload, case }))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(workloads: &[&str], cases: &[&str]) -> Result<Vec<&'static str>> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Ok(asked(&owned(workloads), &owned(cases))?.into_iter().map(|asked| asked.case).collect())
    }

    #[test]
    fn cases_are_found_and_unknown_ones_refused_with_those_that_exist() {
        assert_eq!(names(&["W2"], &[]).unwrap(), ["lstm1", "lstm2"]);
        assert_eq!(names(&["W3", "W2"], &["lstm2", "gru1"]).unwrap(), ["gru1", "lstm2"]);
        assert_eq!(names(&["ragged"], &["gru"]).unwrap(), ["gru"]);
        let error = names(&["W9"], &[]).unwrap_err().to_string();
        assert!(error.contains("W1, W2, W3, W4") && error.ends_with("ragged, growth, all"), "{error}");
        assert!(names(&["W2"], &["gru1"]).unwrap_err().to_string().contains("lstm1, lstm2"));
    }

    #[test]
    fn all_is_every_workload_of_the_peers_and_no_study() {
        let all = names(&["all"], &[]).unwrap();
        let usual = shared().filter(|workload| workload.name != LARGE);
        assert_eq!(all.len(), usual.map(|workload| workload.cases.len()).sum::<usize>());
        assert!(is_shared("W1") && is_shared(LARGE) && !is_shared(KERNELS) && !is_shared("growth"));
        assert!(!all.contains(&"attention_memory") && !all.contains(&"transpose_1024x1024"));
    }
}
