//! Objects of another graph, another store or other parameters are refused by name and place, even if shapes agree, and
//! so is a meaningless request. Legitimate sharing of parameters still works.

use seqloom_graph::{
    Activation, Arena, AttentionOptions, Control, DType, Following, Graph, GraphError, HostTensor, Init,
    Lengths, Objective, Optimizer, ParamId, ParamStore, Params, Program, RATES, Request, StoreKind, Tensor,
};
use seqloom_nn::{Generate, LatentLm, LatentLmConfig, Linear, NnError, Vocab};
use seqloom_tests::device;
use seqloom_train::AdamW;

/// Numbers of the optimizer; learning rates are the control's.
const ADAM: AdamW = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.5, clip_norm: None };

/// A registry of one parameter 'w' [3] and a store of it.
fn one(value: f32) -> (Params, ParamId, ParamStore) {
    let mut params = Params::seeded(1);
    let w = params.add("w", &[3], Init::Values(vec![value; 3]));
    let store = ParamStore::new(&device::shared(), params.clone(), StoreKind::Training).unwrap();
    (params, w, store)
}

/// The error of compiling, which holds each of `parts` and names a line of this file.
#[track_caller]
fn refused(store: &ParamStore, g: &Graph, request: Request<'_, '_>, parts: &[&str]) -> GraphError {
    let error = Program::compile(store, g, request).map(drop).expect_err("the mistake");
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
    error
}

fn output<'a, 'g>(outputs: &'a [(&'a str, Tensor<'g>)]) -> Request<'a, 'g> {
    Request { outputs, objective: None }
}

fn loss<'g>(loss: Tensor<'g>) -> Request<'g, 'g> {
    Request { outputs: &[], objective: Some(Objective { loss, update: Some(&ADAM) }) }
}

fn values(program: &Program) -> Vec<f32> {
    let [y] = program.call(&[], &Control::default(), ["y"]).unwrap().wait().unwrap();
    y
}

#[test]
fn a_graph_is_compiled_over_its_own_parameters_alone() {
    let ((_, a, store_a), (_, _, store_b)) = (one(1.0), one(2.0));
    let before = store_b.read(Arena::Params).unwrap();
    let g = store_a.training_graph();
    let y = g.param(a) * 2.0;
    let parts = ["'w'", "identity.rs:"];
    let error = refused(&store_b, &g, output(&[("y", y)]), &parts);
    assert!(matches!(error, GraphError::ForeignStore { param: Some(_) }), "{error}");
    refused(&store_b, &g, loss(y.sum_all()), &parts);
    assert_eq!(store_b.read(Arena::Params).unwrap(), before);
    assert_eq!(values(&Program::compile(&store_a, &g, output(&[("y", y)])).unwrap()), [2.0; 3]);
}

#[test]
fn a_graph_that_reads_no_parameter_is_still_one_over_its_store() {
    let ((_, _, store_a), (_, _, store_b)) = (one(1.0), one(2.0));
    let g = store_a.inference_graph();
    let y = g.full(&[2], 3.0);
    let error = refused(&store_b, &g, output(&[("y", y)]), &["other parameters"]);
    assert!(matches!(error, GraphError::ForeignStore { param: None }), "{error}");
}

#[test]
fn a_layer_of_other_parameters_is_refused_where_it_is_used() {
    let (mut here, mut elsewhere) = (Params::seeded(1), Params::seeded(1));
    let own = Linear::new(&mut here, "head", 3, 2);
    let other = Linear::new(&mut elsewhere, "head", 3, 2);
    for g in [Graph::training(&here), Graph::inference(&here)] {
        let x = g.input("x", &[4, 3], DType::F32);
        assert!(!own.forward(x).is_poisoned());
        assert!(other.forward(x).is_poisoned(), "equal names, shapes and places make no equal parameters");
        let error = g.check().unwrap_err();
        assert!(matches!(error, GraphError::ForeignParam { id: 0, count: 2, .. }), "{error}");
        assert!(error.to_string().contains("identity.rs:"), "{error}");
    }
}

#[test]
fn a_model_of_other_parameters_generates_nothing() {
    let config = LatentLmConfig { vocab: Vocab::ids(5), state: 2, hidden: 3 };
    let (mut here, mut elsewhere) = (Params::seeded(1), Params::seeded(1));
    let (own, other) = (LatentLm::new(&mut here, config.clone()), LatentLm::new(&mut elsewhere, config));
    let store = ParamStore::new(&device::shared(), here, StoreKind::Inference).unwrap();
    assert_eq!(own.generator(&store).unwrap().greedy_ids(&[1], 3).unwrap().len(), 3);
    let error = other.generator(&store).map(drop).unwrap_err();
    assert!(matches!(error, NnError::Graph(GraphError::ForeignParam { .. })), "{error}");
}

#[test]
fn a_parameter_registered_after_the_graph_was_made_is_refused() {
    let (mut params, _, _) = one(1.0);
    let g = Graph::training(&params);
    let late = params.add("late", &[3], Init::Ones);
    assert!(g.param(late).is_poisoned());
    assert!(matches!(g.check(), Err(GraphError::ForeignParam { id: 1, count: 1, .. })));
}

#[test]
fn clones_of_a_registry_and_stores_of_them_share_its_parameters() {
    let (params, w, store) = one(1.0);
    let (mut left, mut right) = (params.clone(), params.clone());
    let stores = [
        store.clone(),
        store.with_own_states(),
        ParamStore::new(&device::shared(), params.clone(), StoreKind::Inference).unwrap(),
    ];
    for store in &stores {
        for g in [Graph::inference(&left), Graph::training(&right), stores[0].inference_graph()] {
            let y = g.param(w) + 1.0;
            assert_eq!(values(&Program::compile(store, &g, output(&[("y", y)])).unwrap()), [2.0; 3]);
        }
    }
    // What is registered after they parted is one's own.
    let (l, r) = (left.add("x", &[2], Init::Ones), right.add("x", &[2], Init::Ones));
    let g = Graph::inference(&left);
    assert!(!g.param(l).is_poisoned() && g.param(r).is_poisoned());
    let g = Graph::inference(&left);
    let y = g.param(l);
    let store = ParamStore::new(&device::shared(), right, StoreKind::Inference).unwrap();
    refused(&store, &g, output(&[("y", y)]), &["'x'", "identity.rs:"]);
}

#[test]
fn tensors_of_another_graph_are_no_outputs_and_no_loss() {
    let (params, w, store) = one(1.0);
    let (g, h) = (Graph::training(&params), Graph::training(&params));
    // The other graph is shorter, equally long or longer: an index into it may or may not name a node.
    let own = g.param(w).square().sum_all();
    for steps in [0, 1, 5] {
        let foreign = (0..steps).fold(h.param(w), |x, _| x.tanh());
        let named = [("own", own), ("stranger", foreign)];
        let error = refused(&store, &g, output(&named), &["'stranger'", "another graph", "identity.rs:"]);
        assert!(matches!(error, GraphError::ForeignOutput { .. }), "{error}");
        refused(&store, &g, loss(foreign.sum_all()), &["'loss'", "another graph", "identity.rs:"]);
    }
    Program::compile(&store, &g, loss(own)).unwrap();
}

#[test]
fn tensors_of_another_graph_are_no_operands_in_any_place() {
    type Mistake = for<'g> fn(&'g Graph, Tensor<'g>, Tensor<'g>) -> Option<Tensor<'g>>;
    // A tensor [2, 2] of another graph, and ids [2] of it.
    let mistakes: &[(&str, Mistake)] = &[
        ("add", |g, x, _| Some(own(g) + x)),
        ("maximum", |g, x, _| Some(own(g).maximum(x))),
        ("swiglu", |g, x, _| Some(own(g).swiglu(x))),
        ("matmul", |g, x, _| Some(own(g).matmul(x))),
        ("concat", |g, x, _| Some(Tensor::concat(own(g), &[own(g), x], 0))),
        ("layer_norm", |g, x, _| Some(own(g).layer_norm(None, Some(x.slice(0, 0, 1).reshape(&[2])), 1e-5))),
        ("gather_rows", |g, _, ids| Some(own(g).gather_rows(ids))),
        ("cross_entropy", |g, _, ids| Some(own(g).cross_entropy(ids, None))),
        ("rnn", |g, x, _| Some(rows(g).rnn(x, own(g), Activation::Tanh, false, None).y)),
        ("attention", |g, x, _| {
            let own = own(g).reshape(&[1, 2, 1, 2]);
            Some(own.attention(own, x.reshape(&[1, 2, 1, 2]), AttentionOptions::default()))
        }),
        ("append", |g, x, _| {
            let first = Following::of(g.literal_u32(&[2], vec![0; 2]), 1);
            Some(own(g).append(x.slice(1, 0, 1), first))
        }),
        ("append", |g, _, ids| Some(own(g).append(own(g).slice(1, 0, 1), Following::of(ids, 1)))),
        ("pack", |g, _, ids| Some(Lengths::of(ids, 2).pack(rows(g)))),
        ("pack_ids", |g, _, ids| Some(g.lengths("lengths", 2, 1).pack_ids(ids.reshape(&[2, 1]), 0))),
        ("keep", |g, x, _| {
            let _ = g.state("state", &[2, 2]);
            g.keep("state", x);
            None
        }),
    ];
    let (_, _, store) = one(1.0);
    for (name, mistake) in mistakes {
        let (g, h) = (store.inference_graph(), store.inference_graph());
        // More nodes than the graph under test, so that their numbers mean nothing there.
        let _ = (0..9).fold(h.full(&[2, 2], 1.0), |x, _| x.tanh());
        check(&g, &h, name, *mistake);
    }
    fn check<'g>(g: &'g Graph, h: &'g Graph, name: &str, mistake: Mistake) {
        let (x, ids) = (h.input("x", &[2, 2], DType::F32), h.ids("ids", &[2], 2));
        let result = mistake(g, x, ids);
        assert!(result.is_none_or(Tensor::is_poisoned), "{name}");
        let error = [g.check(), h.check()].into_iter().find_map(Result::err).expect(name);
        assert!(matches!(error, GraphError::ForeignTensor { op, .. } if op == name), "{name}: {error}");
        assert!(error.to_string().contains("identity.rs:"), "{error}");
    }
    fn own(g: &Graph) -> Tensor<'_> {
        g.input("own", &[2, 2], DType::F32)
    }
    fn rows(g: &Graph) -> Tensor<'_> {
        g.input("rows", &[2, 1, 2], DType::F32)
    }
}

#[test]
fn an_output_has_a_name_of_its_own() {
    let (_, w, store) = one(1.0);
    let g = store.training_graph();
    let (a, b) = (g.param(w), g.param(w) * 2.0);
    refused(&store, &g, output(&[("y", a), ("z", b), ("y", b)]), &["'y'", "twice", "identity.rs:"]);
    for name in ["loss", "grad_norm", "skipped"] {
        for update in [Some(&ADAM as &dyn Optimizer), None] {
            let objective = Some(Objective { loss: b.sum_all(), update });
            let request = Request { outputs: &[(name, a)], objective };
            let error = refused(&store, &g, request, &[name, "twice", "identity.rs:"]);
            assert!(matches!(error, GraphError::OutputTwice { .. }), "{error}");
        }
        // Without an objective they are names as any other.
        Program::compile(&store, &g, output(&[(name, a)])).unwrap().read(name).map(drop).unwrap();
    }
    // One tensor may have several names.
    let program = Program::compile(&store, &g, output(&[("y", b), ("again", b)])).unwrap();
    let [y, again] = program.call(&[], &Control::default(), ["y", "again"]).unwrap().wait().unwrap();
    assert_eq!(y, again);
}

#[test]
fn names_of_inputs_states_and_outputs_do_not_meet() {
    let (_, w, store) = one(1.0);
    let g = store.inference_graph();
    let y = g.input("w", &[3], DType::F32) + g.state("w", &[3]) * 10.0 + g.param(w) * 100.0;
    g.keep("w", y);
    let program = Program::compile(&store, &g, output(&[("w", y)])).unwrap();
    let x = HostTensor::f32(&[3], vec![1.0; 3]).unwrap();
    for expected in [101.0, 1111.0] {
        let [y] = program.call(&[("w", &x)], &Control::default(), ["w"]).unwrap().wait().unwrap();
        assert_eq!(y, [expected; 3]);
    }
}

#[test]
fn an_input_is_given_once() {
    let (_, _, store) = one(1.0);
    let g = store.inference_graph();
    // Recorded twice it is one input.
    let y = g.input("x", &[3], DType::F32) + g.input("x", &[3], DType::F32);
    let program = Program::compile(&store, &g, output(&[("y", y)])).unwrap();
    let [a, b] = [1.0, 2.0].map(|value| HostTensor::f32(&[3], vec![value; 3]).unwrap());
    let error = program.run(&[("x", &a), ("x", &b)], &Control::default()).unwrap_err();
    assert!(matches!(&error, GraphError::InputGivenTwice { name } if name == "x"), "{error}");
    let [y] = program.call(&[("x", &a)], &Control::default(), ["y"]).unwrap().wait().unwrap();
    assert_eq!(y, [2.0; 3]);
}

#[test]
fn a_request_asks_for_something() {
    let (_, w, store) = one(1.0);
    let g = store.inference_graph();
    let y = g.param(w) + g.state("s", &[3]);
    assert!(matches!(refused(&store, &g, Request::default(), &[]), GraphError::NothingAsked));
    // A state that is kept is something.
    g.keep("s", y);
    Program::compile(&store, &g, Request::default()).unwrap().run(&[], &Control::default()).unwrap();
}

#[test]
fn a_loss_that_no_parameter_reaches_is_refused() {
    let (_, w, store) = one(1.0);
    for update in [Some(&ADAM as &dyn Optimizer), None] {
        // A parameter that is not read, and one through which no gradient flows.
        for reads in [false, true] {
            let g = store.training_graph();
            let x = g.input("x", &[3], DType::F32);
            let loss = if reads { g.param(w).detach() + x } else { x }.sum_all();
            let request = Request { outputs: &[], objective: Some(Objective { loss, update }) };
            let error = refused(&store, &g, request, &["no parameter", "identity.rs:"]);
            assert!(matches!(error, GraphError::ConstantLoss { .. }), "{error}");
        }
    }
}

#[test]
fn a_parameter_that_nothing_reads_is_left_alone() {
    let mut params = Params::seeded(1);
    let [used, detached, unread] =
        ["used", "detached", "unread"].map(|name| params.add(name, &[3], Init::Ones));
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let g = store.training_graph();
    let y = (g.param(used) * g.param(detached).detach()).sum_all();
    let program = Program::compile(&store, &g, loss(y)).unwrap();
    // With weight decay, which would move a parameter whose gradient is 0.
    let control = Control { lr: [0.1; RATES], loss_scale: 1.0, ..Control::default() };
    program.run(&[], &control).unwrap();
    let after = store.read(Arena::Params).unwrap();
    assert_ne!(after[used.index()], [1.0; 3]);
    for left in [detached, unread] {
        assert_eq!(after[left.index()], [1.0; 3]);
        for moment in [Arena::State("m"), Arena::State("v")] {
            assert_eq!(store.read(moment).unwrap()[left.index()], [0.0; 3]);
        }
    }
}
