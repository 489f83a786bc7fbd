//! Windows bound in place: each program gives the bits of the one that copies them, and has fewer dispatches. The
//! tensor that holds them stays as long as they are read, and is not written over.

use seqloom_graph::{DType, Graph, HostTensor, ParamStore, Params, Program, Request, StoreKind, Tensor};
use seqloom_kernels::Control;
use seqloom_nn::{AttentionConfig, MultiHeadAttention, Place};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::device;
use seqloom_tests::mid_graph::{check, ids, wave};

/// Rows of this many elements begin at multiples of 256 bytes.
const WIDTH: usize = 64;

/// How a program cuts rows out of a matrix.
type Cut = for<'g> fn(Tensor<'g>, usize, usize) -> Tensor<'g>;

fn in_place(x: Tensor<'_>, start: usize, rows: usize) -> Tensor<'_> {
    x.slice(0, start, rows)
}

/// Behind a leading axis of two sequences the rows of one are no single piece, so this copies.
fn copied(x: Tensor<'_>, start: usize, rows: usize) -> Tensor<'_> {
    let all = x.shape();
    let both = x.reshape(&[1, all[0], all[1]]).pad(0, 0, 1);
    both.slice(1, start, rows).slice(0, 0, 1).reshape(&[rows, all[1]])
}

/// Runs what `record` makes of `operands` with both cuts, and compares outputs, loss and gradients. Gives how many dispatches
/// each takes: in place and copied.
fn compare(
    operands: &[HostTensor],
    record: impl for<'g> Fn(&'g Graph, &[Tensor<'g>], Cut) -> Recorded<'g>,
) -> [usize; 2] {
    let mut least = [usize::MAX; 2];
    for device in [device::shared(), device::shared_as_gpu()] {
        let cases: [Case; 2] =
            [in_place as Cut, copied].map(|cut| Case::compile(&device, operands, |g, x| record(g, x, cut)));
        let [here, apart] = &cases;
        // The second run meets what the first one left in the slots.
        for _ in 0..2 {
            assert_eq!(here.loss().to_bits(), apart.loss().to_bits(), "{}", here.program().explain());
            for (a, b) in here.outputs().iter().zip(apart.outputs()) {
                assert_same_bits("output", a, &b);
            }
            for (a, b) in here.gradients().iter().zip(apart.gradients()) {
                assert_same_bits("gradient", a, &b);
            }
        }
        for (least, case) in least.iter_mut().zip(&cases) {
            *least = case.program().dispatches().min(*least);
        }
    }
    least
}

fn matrices() -> [HostTensor; 2] {
    [wave(&[4, WIDTH], 0), wave(&[WIDTH, WIDTH], 1)]
}

#[test]
fn a_window_of_a_computed_tensor_costs_no_dispatch() {
    let [here, apart] = compare(&matrices(), |_, x, cut| {
        let product = x[0].matmul_t(x[1]);
        let (top, rest) = (cut(product, 0, 1), cut(product, 1, 3));
        let y = rest.matmul(x[1].tanh());
        Recorded { outputs: vec![y, top.softmax()], loss: y.square().mean_all() }
    });
    assert!(here + 2 <= apart, "{here} dispatches in place, {apart} with copies");
}

/// A sum that would be inlined is in memory for its windows; a window of a window lies in what the first lies in.
#[test]
fn pointwise_results_reshaped_ones_and_windows_have_windows() {
    compare(&matrices(), |_, x, cut| {
        let sum = x[0] * 2.0 + x[0].tanh();
        let inner = cut(cut(sum, 1, 3), 1, 2);
        let reshaped = sum.reshape(&[2, 2 * WIDTH]);
        let last = cut(reshaped, 1, 1).reshape(&[2, WIDTH]);
        let y = inner.matmul_t(x[1]) + last.matmul_t(x[1]);
        Recorded { outputs: vec![y, inner], loss: (y * last).sum_all() }
    });
}

#[test]
fn a_window_that_begins_anywhere_else_is_copied() {
    let operands = [wave(&[4, 60], 0), wave(&[60, 60], 1)];
    let program = |start: usize| {
        let case = Case::compile(&device::shared(), &operands, |_, x| {
            let y = x[0].matmul_t(x[1]).slice(0, start, 1).softmax();
            Recorded { outputs: vec![y], loss: x[1].sum_all() }
        });
        let _ = case.loss();
        (case.program().dispatches(), case.outputs().remove(0))
    };
    let (first, second) = (program(0), program(1));
    assert_eq!(first.0 + 1, second.0, "the first row lies where every adapter can bind it");
    for (_, row) in [first, second] {
        assert_close("a sum", &[row.iter().sum()], &[1.0], Tolerance { abs: 1e-5, rel: 0.0 });
    }
}

/// The tensor is read for the last time by name where a pass could take its place, while a window of it is read in the same
/// pass, or later.
#[test]
fn nothing_is_written_over_a_tensor_with_living_windows() {
    compare(&matrices(), |_, x, cut| {
        let product = x[0].matmul_t(x[1]);
        let centred = product - cut(product, 3, 1).broadcast_to(&[4, WIDTH]);
        let y = centred.exp().softmax();
        Recorded { outputs: vec![y], loss: y.square().sum_all() }
    });
    compare(&matrices(), |_, x, cut| {
        let product = x[0].matmul_t(x[1]);
        let row = cut(product, 2, 1);
        // Passes that would each take the memory of the one before, and products that take whatever slot is free.
        let long = ((product * 0.5).matmul_t(x[1]).tanh()).matmul_t(x[1]).softmax();
        let y = long.matmul_t(x[1]) + row.matmul_t(x[1]).broadcast_to(&[4, WIDTH]);
        Recorded { outputs: vec![y * 1.0], loss: y.square().mean_all() }
    });
}

#[test]
fn the_gradient_of_logits_spares_a_window_that_is_read_later() {
    let targets = ids(&[WIDTH], &[3; WIDTH]);
    compare(&[wave(&[WIDTH, 8], 0), wave(&[WIDTH, 8], 1), targets], |_, x, cut| {
        let logits = x[0].matmul_t(x[1]);
        let of_row = cut(logits, 5, 1).tanh().square().sum_all();
        Recorded { outputs: vec![], loss: of_row * logits.cross_entropy(x[2], None) }
    });
}

/// A result that somebody reads, a gradient, and one that nothing needs.
#[test]
fn windows_may_be_results_and_may_be_dead() {
    compare(&[wave(&[1, WIDTH], 0), wave(&[3, WIDTH], 1), wave(&[4, WIDTH], 2)], |_, x, cut| {
        let joined = Tensor::concat(x[0], &[x[1]], 0);
        let product = joined * x[2];
        let _dead = cut(product, 1, 1).exp().matmul_t(x[2]);
        Recorded { outputs: vec![cut(product, 2, 2), product], loss: (product * product).sum_all() }
    });
    check(&matrices(), |x| {
        let product = x[0].matmul_t(x[1]);
        vec![in_place(product, 1, 2).tanh() * in_place(product, 2, 2)]
    });
}

#[test]
fn a_state_is_not_appended_to_in_place_while_a_window_is_to_be_read() {
    let store = ParamStore::new(&device::shared(), Params::seeded(1), StoreKind::Inference).unwrap();
    let program = |record: for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>| {
        let g = store.inference_graph();
        let cache = g.state("cache", &[1, 4, WIDTH]);
        let row = cache.slice(1, 2, 1);
        let grown = cache.append(g.input("rows", &[1, 1, WIDTH], DType::F32), g.following("first", 1, 1));
        g.keep("cache", grown);
        let result = record(row, grown);
        Program::compile(&store, &g, Request { outputs: &[("y", result)], objective: None }).unwrap()
    };
    let run = |program: &Program, first: u32, value: f32| {
        let rows = HostTensor::f32(&[1, 1, WIDTH], vec![value; WIDTH]).unwrap();
        program.run(&[("rows", &rows), ("first", &ids(&[1], &[first]))], &Control::default()).unwrap();
        program.read("y").unwrap().wait().unwrap()[0]
    };
    // Of what is after, in place: the new row and one dispatch that reads it.
    let after = program(|_, grown| grown.slice(1, 2, 1) * 3.0);
    assert_eq!(after.dispatches(), 2, "{}", after.explain());
    assert_eq!(run(&after, 2, 5.0), 15.0);
    // Of what was before, read once all is appended.
    let before = program(|row, grown| row * 2.0 + grown.slice(1, 2, 1));
    assert_eq!(run(&before, 2, 7.0), 2.0 * 5.0 + 7.0);
    assert_eq!(run(&before, 2, 1.0), 2.0 * 7.0 + 1.0);
}

/// Rows that a product reads out of a state by an embedding of its own, with what follows as its tail: the tail is recorded
/// behind the appending, and so runs behind it.
#[test]
fn a_state_is_not_appended_to_in_place_while_a_tail_is_to_read_it() {
    let store = ParamStore::new(&device::shared(), Params::seeded(1), StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let cache = g.state("cache", &[1, 4, WIDTH]);
    let rows = cache.reshape(&[4, WIDTH]).gather_rows(g.ids("ids", &[1], 4));
    let grown = cache.append(g.input("rows", &[1, 1, WIDTH], DType::F32), g.following("first", 1, 1));
    g.keep("cache", grown);
    let request = Request { outputs: &[("y", rows + 1.0)], objective: None };
    let program = Program::compile(&store, &g, request).unwrap();
    let run = |value: f32| {
        let rows = HostTensor::f32(&[1, 1, WIDTH], vec![value; WIDTH]).unwrap();
        let zero = ids(&[1], &[0]);
        let inputs = [("rows", &rows), ("first", &zero), ("ids", &zero)];
        program.run(&inputs, &Control::default()).unwrap();
        program.read("y").unwrap().wait().unwrap()[0]
    };
    assert_eq!([run(5.0), run(6.0)], [1.0, 6.0], "{}", program.explain());
}

/// One row is projected by one product, several are by three; the results are the same.
#[test]
fn queries_keys_and_values_of_a_single_row_are_one_product() {
    let config = AttentionConfig { key_heads: 2, ..AttentionConfig::new(2 * WIDTH, 4) };
    let projected = |rows: usize| {
        let mut params = Params::seeded(3);
        let layer = MultiHeadAttention::new(&mut params, "attention", config.clone());
        let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
        let bias = (0..4 * WIDTH).map(|i| (i as f32 * 0.3).sin()).collect::<Vec<_>>();
        store.write(seqloom_graph::Arena::Params, 1, &bias).unwrap();
        let g = store.inference_graph();
        let x = (0..rows * 2 * WIDTH).map(|i| (i % (2 * WIDTH)) as f32 * 0.01 - 0.5).collect();
        let x = g.literal(&[1, rows, 2 * WIDTH], x);
        let (q, kv) = layer.project(x, Place::From(0));
        let sums = [q, kv.keys, kv.values].map(|t| t.slice(1, 0, 1).softmax());
        let names = ["q", "k", "v"];
        let outputs: Vec<_> = names.into_iter().zip(sums).collect();
        let program = Program::compile(&store, &g, Request { outputs: &outputs, objective: None }).unwrap();
        program.run(&[], &Control::default()).unwrap();
        let read = names.map(|name| program.read(name).unwrap().wait().unwrap());
        (program.dispatches(), read)
    };
    let (one, two) = (projected(1), projected(2));
    assert_eq!([one.0, two.0], [1 + 3, 3 + 3]);
    for (one, two) in one.1.iter().zip(&two.1) {
        assert_close("a part", one, two, Tolerance { abs: 1e-6, rel: 1e-5 });
    }
}
