//! Losses against PyTorch: results and gradients, with each reduction, weights of rows and classes, and targets that do not count;
//! and what they refuse.

use seqloom_graph::{
    Arena, Control, CrossEntropyOptions, Graph, HostData, HostTensor, Init, Objective, ParamId, ParamStore,
    Params, Program, Request, StoreKind, Tensor,
};
use seqloom_nn::losses::{self, BceOptions, ClassOptions, CtcLossOptions, LossOptions, Reduction};
use seqloom_tests::case::weighted_sum;
use seqloom_tests::compare::Tolerance;
use seqloom_tests::device;
use seqloom_tests::golden::Golden;
use seqloom_tests::golden_model::{Recorded, assert_golden};

/// The golden values are exact to a float32; sums of at most some forty terms of size 10 are rounded to 6e-8 of that each, and
/// exp and ln come from a driver that may be off by some units in the last place.
const TOLERANCE: Tolerance = Tolerance { abs: 4e-6, rel: 2e-5 };

const REDUCTIONS: [(&str, Reduction); 3] =
    [("mean", Reduction::Mean), ("sum", Reduction::Sum), ("none", Reduction::None)];

/// Runs a case whose leaves are parameters; `record` gets them, and a way to the case's other tensors.
fn matches_torch(
    case: &str,
    leaves: &[&str],
    record: impl for<'g> Fn(&[Tensor<'g>], &dyn Fn(&str) -> Tensor<'g>) -> Tensor<'g>,
) {
    let golden = Golden::load("losses");
    let tensor = |name: &str| golden.tensor(&format!("{case}.{name}"));
    let mut params = Params::seeded(0);
    let ids: Vec<ParamId> =
        leaves.iter().map(|name| params.add(name, &tensor(name).shape(), Init::Zeros)).collect();
    assert_golden(&golden, case, params, &[], TOLERANCE, |g| {
        let leaves: Vec<_> = ids.iter().map(|&id| g.param(id)).collect();
        let y = record(&leaves, &|name| fixed(g, tensor(name)));
        let loss = weighted_sum(g, &[y], &[tensor("weight_y")]);
        Recorded { loss, outputs: vec![("y".to_owned(), y)] }
    });
}

/// A tensor that is known when recorded.
fn fixed<'g>(g: &'g Graph, tensor: &HostTensor) -> Tensor<'g> {
    match tensor.data() {
        HostData::F32(values) => g.literal(&tensor.shape(), values.clone()),
        HostData::U32(values) => g.literal_u32(&tensor.shape(), values.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_numbers() {
    for (reduction, kind) in REDUCTIONS {
        for weighted in [false, true] {
            let case = |loss: &str| format!("{loss}_{reduction}{}", if weighted { "_weighted" } else { "" });
            fn options<'g>(
                kind: Reduction,
                weighted: bool,
                get: &dyn Fn(&str) -> Tensor<'g>,
            ) -> LossOptions<'g> {
                LossOptions { reduction: kind, weight: weighted.then(|| get("weight")) }
            }
            matches_torch(&case("mse"), &["a"], |x, get| {
                losses::mse(x[0], get("target"), options(kind, weighted, get))
            });
            matches_torch(&case("mae"), &["a"], |x, get| {
                losses::mae(x[0], get("target"), options(kind, weighted, get))
            });
            matches_torch(&case("huber"), &["a"], |x, get| {
                losses::huber(x[0], get("target"), 0.75, options(kind, weighted, get))
            });
        }
    }
}

#[test]
fn of_classes() {
    let weighted = |case: &str, reduction: Reduction, smoothing, ignore_index| {
        matches_torch(&format!("classes_{case}"), &["logits"], |x, get| {
            let entropy = CrossEntropyOptions { ignore_index, label_smoothing: smoothing };
            let options = ClassOptions { entropy, classes: Some(get("classes")), loss: reduction.into() };
            losses::cross_entropy_weighted(x[0], get("target"), options)
        });
    };
    for (case, reduction) in REDUCTIONS {
        weighted(case, reduction, 0.0, None);
    }
    weighted("ignored_class", Reduction::Mean, 0.0, Some(1));
    weighted("ignored_none", Reduction::Mean, 0.0, Some(4));
    weighted("smoothed", Reduction::Mean, 0.1, None);
    weighted("smoothed_ignored", Reduction::Mean, 0.1, Some(4));
    weighted("smoothed_each", Reduction::None, 0.1, Some(1));
    matches_torch("classes_plain", &["logits"], |x, get| {
        let entropy = CrossEntropyOptions { ignore_index: Some(4), label_smoothing: 0.1 };
        losses::cross_entropy_weighted(
            x[0],
            get("target"),
            ClassOptions { entropy, ..ClassOptions::default() },
        )
    });
}

#[test]
fn of_labels() {
    for (case, reduction) in REDUCTIONS {
        matches_torch(&format!("bce_{case}"), &["logits"], |x, get| {
            losses::bce_with_logits(x[0], get("target"), reduction)
        });
    }
    matches_torch("bce_positive", &["logits"], |x, get| {
        let options = BceOptions { pos_weight: Some(get("positive")), ..BceOptions::default() };
        losses::bce_with_logits(x[0], get("target"), options)
    });
}

#[test]
fn of_labels_without_places() {
    for (case, reduction) in REDUCTIONS {
        matches_torch(&format!("ctc_{case}"), &["logits"], |x, get| {
            let options = CtcLossOptions { loss: reduction.into(), ..CtcLossOptions::default() };
            losses::ctc_loss(x[0].log_softmax(), get("target"), get("steps"), get("labels"), options)
        });
    }
}

#[test]
fn of_pairs() {
    for (case, reduction) in REDUCTIONS {
        matches_torch(&format!("cosine_{case}"), &["a", "b"], |x, get| {
            losses::cosine_embedding(x[0], x[1], get("labels"), 0.1, reduction)
        });
    }
    matches_torch("contrastive", &["a", "b"], |x, _| losses::contrastive(x[0], x[1], 0.5));
}

#[test]
fn what_has_no_meaning_is_refused_by_name() {
    let refused = |record: &dyn for<'g> Fn(&'g Graph) -> Tensor<'g>, says: &str| {
        let g = Graph::inference(&Params::seeded(0));
        let _ = record(&g);
        let error = g.check().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    refused(&|g| losses::mse(g.full(&[3, 1], 0.0), g.full(&[3], 0.0), Reduction::Mean), "mse");
    refused(&|g| losses::huber(g.full(&[3], 0.0), g.full(&[3], 0.0), 0.0, Reduction::Mean), "delta is 0");
    refused(
        &|g| losses::mae(g.full(&[3], 0.0), g.full(&[3], 0.0), LossOptions::weighted(g.full(&[2], 1.0))),
        "[2]",
    );
    fn bce<'g>(g: &'g Graph, targets: &[usize], weight: &[usize]) -> Tensor<'g> {
        let options = BceOptions { pos_weight: Some(g.full(weight, 1.0)), ..BceOptions::default() };
        losses::bce_with_logits(g.full(&[3, 2], 0.0), g.full(targets, 0.0), options)
    }
    refused(&|g| bce(g, &[3], &[2]), "logits [3, 2] against targets [3]");
    refused(&|g| bce(g, &[3, 2], &[3]), "broadcast_to");
    refused(&|g| losses::contrastive(g.full(&[3, 2], 0.0), g.full(&[2, 2], 0.0), 1.0), "contrastive");
    refused(&|g| losses::contrastive(g.full(&[3, 2], 0.0), g.full(&[3, 2], 0.0), f32::NAN), "temperature");
    refused(
        &|g| {
            losses::cosine_embedding(
                g.full(&[3, 2], 0.0),
                g.full(&[3, 2], 0.0),
                g.full(&[2], 1.0),
                0.0,
                Reduction::Mean,
            )
        },
        "cosine_embedding",
    );
    let classes = |g: &Graph, size: usize, ignore_index| {
        let entropy = CrossEntropyOptions { ignore_index, label_smoothing: 0.0 };
        let options =
            ClassOptions { entropy, classes: Some(g.full(&[size], 1.0)), ..ClassOptions::default() };
        let _ = losses::cross_entropy_weighted(g.full(&[2, 4], 0.0), g.ids("t", &[2], 4), options);
    };
    for (size, ignore_index, says) in [(3, None, "of 4 classes"), (4, Some(5), "ignore_index 5")] {
        let g = Graph::inference(&Params::seeded(0));
        classes(&g, size, ignore_index);
        let error = g.check().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// A mask of nothing: the loss and its gradient are 0, not NaN.
#[test]
fn a_mask_of_nothing_moves_nothing() {
    let trained = |weights: Vec<f32>| {
        let mut params = Params::seeded(3);
        let a = params.add("a", &[3], Init::Ones);
        let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
        let g = store.training_graph();
        let weight = g.literal(&[3], weights);
        let loss = losses::mse(g.param(a), g.full(&[3], 3.0), LossOptions::weighted(weight));
        let objective = Some(Objective { loss, update: None });
        let request = Request { outputs: &[], objective };
        let program = Program::compile(&store, &g, request).unwrap();
        let control = Control { loss_scale: 1.0, ..Control::default() };
        program.run(&[], &control).unwrap();
        let loss = program.read("loss").unwrap().wait().unwrap()[0];
        (loss, store.read(Arena::Grads).unwrap()[0].clone())
    };
    assert_eq!(trained(vec![0.0; 3]), (0.0, vec![0.0; 3]));
    assert_eq!(trained(vec![0.0, 2.0, 0.0]), (4.0, vec![0.0, -4.0, 0.0]));
}
