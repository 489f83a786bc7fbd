//! Tensors that stay on the device: rows appended to a state in place, or to a copy if the state is read otherwise;
//! stores with separate states; and how far a sequence may have come.

use seqloom_graph::{
    AttentionOptions, Control, DType, Following, Graph, GraphError, HostTensor, Init, ParamStore, Params,
    Program, Request, Start, StoreKind, Tensor,
};
use seqloom_tests::device::{open, shared};
use seqloom_tests::mid_graph::ids;

fn store() -> ParamStore {
    ParamStore::new(&shared(), Params::seeded(1), StoreKind::Inference).unwrap()
}

/// What records a program, and gives its outputs.
type Record = for<'g> fn(&'g Graph) -> Vec<(&'static str, Tensor<'g>)>;

/// A program whose outputs are those that `record` gives.
fn program<'a>(
    store: &ParamStore,
    record: impl for<'g> FnOnce(&'g Graph) -> Vec<(&'a str, Tensor<'g>)>,
) -> Result<Program, GraphError> {
    let g = store.inference_graph();
    let outputs = record(&g);
    Program::compile(store, &g, Request { outputs: &outputs, objective: None })
}

fn run(program: &Program, first: &[u32], rows: &[f32]) -> Result<(), GraphError> {
    let shape = [first.len(), 1, rows.len() / first.len()];
    let rows = HostTensor::f32(&shape, rows.to_vec()).unwrap();
    program.run(&[("first", &ids(&[first.len()], first)), ("rows", &rows)], &Control::default())
}

fn read(program: &Program, name: &str) -> Vec<f32> {
    program.read(name).unwrap().wait().unwrap()
}

/// A state [2, 3, 2] to which a row of each sequence is appended.
fn appended(g: &Graph) -> (Tensor<'_>, Tensor<'_>) {
    let cache = g.state("cache", &[2, 3, 2]);
    let rows = g.input("rows", &[2, 1, 2], DType::F32);
    let grown = cache.append(rows, g.following("first", 2, 1));
    g.keep("cache", grown);
    (cache, grown)
}

#[test]
fn rows_are_written_where_the_state_lies() {
    let store = store();
    let sums = program(&store, |g| vec![("sum", appended(g).1.sum(1))]).unwrap();
    assert_eq!(sums.dispatches(), 2, "the new rows and the sum, no copy of the cache\n{}", sums.explain());
    run(&sums, &[0, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
    run(&sums, &[1, 0], &[10.0, 20.0, 30.0, 40.0]).unwrap();
    assert_eq!(read(&sums, "sum"), [11.0, 22.0, 33.0, 44.0]);
    run(&sums, &[1, 0], &[0.0; 4]).unwrap();
    assert_eq!(read(&sums, "sum"), [1.0, 2.0, 3.0, 4.0]);
    // Without room for another row nothing runs, and nothing changes.
    let error = run(&sums, &[1, 3], &[9.0; 4]).unwrap_err();
    assert!(
        matches!(&error, GraphError::OutOfRange { name, index: 1, value: 3, high: 2, .. } if name == "first")
    );
}

#[test]
fn a_state_that_is_read_otherwise_stays_as_it_was_until_the_end() {
    // What was before, asked for or part of something else; what is after, asked for; and what nothing keeps.
    let records: [Record; 4] = [
        |g| {
            let (before, after) = appended(g);
            vec![("before", before), ("after", after * 1.0)]
        },
        |g| {
            let (before, after) = appended(g);
            vec![("before", before * 2.0 - before), ("after", after + after * 0.0)]
        },
        |g| {
            let (before, after) = appended(g);
            vec![("after", after), ("before", before.slice(1, 0, 3))]
        },
        |g| {
            let before = g.state("cache", &[2, 3, 2]);
            let after = before.append(g.input("rows", &[2, 1, 2], DType::F32), g.following("first", 2, 1));
            vec![("after", after), ("before", before + 0.0)]
        },
    ];
    for (i, record) in records.into_iter().enumerate() {
        let (store, keeps) = (store(), i < 3);
        let program = program(&store, record).unwrap();
        run(&program, &[0, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        run(&program, &[1, 1], &[5.0, 6.0, 7.0, 8.0]).unwrap();
        let first = [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0];
        let both = [1.0, 2.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 7.0, 8.0, 3.0, 4.0];
        let alone = [0.0, 0.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 7.0, 8.0, 0.0, 0.0];
        assert_eq!(read(&program, "before"), if keeps { first } else { [0.0; 12] }, "record {i}");
        assert_eq!(read(&program, "after"), if keeps { both } else { alone }, "record {i}");
    }
}

#[test]
fn what_was_read_before_by_a_kernel_of_its_own_may_be_overwritten() {
    let store = store();
    let write = program(&store, |g| vec![("sum", appended(g).1.sum(1))]).unwrap();
    run(&write, &[0, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
    // The first two rows of both sequences change places.
    let exchange = program(&store, |g| {
        let cache = g.state("cache", &[2, 3, 2]);
        let parents = g.ids("parents", &[2], 2);
        let moved = cache.slice(1, 0, 2).reshape(&[2, 4]).gather_rows(parents).reshape(&[2, 2, 2]);
        g.keep("cache", cache.append(moved, Following::of(g.literal_u32(&[2], vec![0; 2]), 2)));
        vec![]
    })
    .unwrap();
    assert_eq!(exchange.dispatches(), 3, "{}", exchange.explain());
    exchange.run(&[("parents", &ids(&[2], &[1, 0]))], &Control::default()).unwrap();
    let read_all = program(&store, |g| vec![("all", g.state("cache", &[2, 3, 2]) * 1.0)]).unwrap();
    read_all.run(&[], &Control::default()).unwrap();
    let all = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0];
    assert_eq!(read(&read_all, "all"), all);
    // The state's own rows appended to it, and rows that a later kernel computes of it, are not in the way of themselves.
    let doubled = program(&store, |g| {
        let cache = g.state("cache", &[2, 3, 2]);
        let grown = cache.append(cache, Following::of(g.literal_u32(&[2], vec![0; 2]), 3));
        g.keep("cache", grown);
        vec![("both", grown + cache.transpose(0, 1).transpose(0, 1) * 2.0)]
    })
    .unwrap();
    doubled.run(&[], &Control::default()).unwrap();
    assert_eq!(read(&doubled, "both"), all.map(|x| 3.0 * x));
}

#[test]
fn an_output_of_the_cache_is_not_the_state_itself() {
    let store = store();
    let program = program(&store, |g| vec![("all", appended(g).1)]).unwrap();
    run(&program, &[0, 0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
    let held = program.read("all").unwrap();
    store.reset_states(false);
    assert_eq!(held.wait().unwrap()[..2], [1.0, 2.0]);
    assert_eq!(
        read(&program, "all")[..2],
        [1.0, 2.0],
        "an output is the last run's, whatever becomes of the state"
    );
}

#[test]
fn stores_with_their_own_states_share_parameters_alone() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", &[2], Init::Ones);
    // A device of its own, since it is counted.
    let device = open();
    let store = ParamStore::new(&device, params, StoreKind::Inference).unwrap();
    let bytes = store.bytes();
    let counting = |store: &ParamStore| {
        program(store, |g| {
            let next = g.state("count", &[2]) + g.param(weight);
            g.keep("count", next);
            vec![("count", next * 1.0)]
        })
        .unwrap()
    };
    let own = store.with_own_states();
    let (here, there) = (counting(&store), counting(&own));
    for _ in 0..3 {
        here.run(&[], &Control::default()).unwrap();
    }
    there.run(&[], &Control::default()).unwrap();
    assert_eq!((read(&here, "count")[0], read(&there, "count")[0]), (3.0, 1.0));
    own.reset_states(false);
    here.run(&[], &Control::default()).unwrap();
    there.run(&[], &Control::default()).unwrap();
    assert_eq!((read(&here, "count")[0], read(&there, "count")[0]), (4.0, 1.0));
    store.write(seqloom_graph::Arena::Params, 0, &[5.0, 5.0]).unwrap();
    there.run(&[], &Control::default()).unwrap();
    assert_eq!(read(&there, "count")[0], 6.0, "parameters are the same");
    assert_eq!((store.bytes(), own.bytes()), (bytes + 8, bytes + 8));
    // What only it held goes with it.
    let held = device.allocated_bytes();
    drop((own, there));
    assert!(device.allocated_bytes() < held);
}

#[test]
fn positions_are_bounded_by_what_they_index() {
    let store = store();
    let found = program(&store, |g| {
        let following = g.following("first", 2, 2);
        let table = g.literal(&[5, 1], vec![0.0, 1.0, 2.0, 3.0, 4.0]);
        let rows = table.gather_rows(following.positions()).reshape(&[2, 2]);
        vec![("rows", rows), ("ends", following.ends().to_f32())]
    })
    .unwrap();
    let first = |values: &[u32]| ids(&[2], values);
    found.run(&[("first", &first(&[3, 1]))], &Control::default()).unwrap();
    assert_eq!((read(&found, "rows"), read(&found, "ends")), (vec![3.0, 4.0, 1.0, 2.0], vec![5.0, 3.0]));
    let error = found.run(&[("first", &first(&[0, 4]))], &Control::default()).unwrap_err();
    assert!(matches!(error, GraphError::OutOfRange { index: 1, value: 4, low: 0, high: 3, .. }), "{error}");

    // Lengths of an attention over five keys: two new ones behind three at most.
    let attending = program(&store, |g| {
        let following = g.following("first", 2, 2);
        let [q, k] = [2, 5].map(|time| g.full(&[2, time, 1, 4], 1.0));
        let options = AttentionOptions {
            start: Start::AtEnd,
            lengths: Some(following.ends()),
            ..AttentionOptions::default()
        };
        vec![("y", q.attention(k, k, options))]
    })
    .unwrap();
    attending.run(&[("first", &first(&[3, 0]))], &Control::default()).unwrap();
    let error = attending.run(&[("first", &first(&[4, 0]))], &Control::default()).unwrap_err();
    assert!(matches!(error, GraphError::OutOfRange { index: 0, value: 4, high: 3, .. }), "{error}");

    // More steps than the table has rows fit nowhere.
    let none = program(&store, |g| {
        let table = g.literal(&[2, 1], vec![0.0, 1.0]);
        vec![("rows", table.gather_rows(g.following("first", 1, 3).positions()))]
    })
    .unwrap();
    let refused = none.run(&[("first", &ids(&[1], &[0]))], &Control::default());
    assert!(matches!(refused, Err(GraphError::OutOfRange { .. })));
}

/// How a program appends to the states `a` and `b` [1, 4, 64], in any order and with anything between; its results are kept.
type Both = for<'g> fn([Tensor<'g>; 2], [Tensor<'g>; 2], Following<'g>) -> [Tensor<'g>; 2];

/// Dispatches of a run, and what the states hold after two.
fn grown_pair(grow: Both) -> (usize, [Vec<f32>; 2]) {
    fn states(g: &Graph) -> [Tensor<'_>; 2] {
        ["a", "b"].map(|name| g.state(name, &[1, 4, 64]))
    }
    let store = store();
    let grown = program(&store, |g| {
        let rows = ["rows_a", "rows_b"].map(|name| g.input(name, &[1, 1, 64], DType::F32));
        let after = grow(states(g), rows, g.following("first", 1, 1));
        g.keep("a", after[0]);
        g.keep("b", after[1]);
        vec![]
    })
    .unwrap();
    for (first, value) in [(0, 1.0), (2, 2.0)] {
        let rows = [1.0, 10.0].map(|by| HostTensor::f32(&[1, 1, 64], vec![value * by; 64]).unwrap());
        let inputs = [("rows_a", &rows[0]), ("rows_b", &rows[1]), ("first", &ids(&[1], &[first]))];
        grown.run(&inputs, &Control::default()).unwrap();
    }
    let sums = program(&store, |g| ["a", "b"].into_iter().zip(states(g).map(|state| state.sum(2))).collect())
        .unwrap();
    sums.run(&[], &Control::default()).unwrap();
    (grown.dispatches(), ["a", "b"].map(|name| read(&sums, name).iter().map(|sum| sum / 64.0).collect()))
}

#[test]
fn keys_and_values_are_appended_by_one_dispatch() {
    let (dispatches, held) = grown_pair(|[a, b], [x, y], steps| [a.append(x, steps), b.append(y, steps)]);
    assert_eq!(dispatches, 1);
    assert_eq!(held, [[1.0, 0.0, 2.0, 0.0], [10.0, 0.0, 20.0, 0.0]]);
    // With a use of the first between them, and that the second's rows depend on.
    let (dispatches, held) = grown_pair(|[a, b], [x, y], steps| {
        let a = a.append(x, steps);
        [a, b.append(y + a.max(1).reshape(&[1, 1, 64]), steps)]
    });
    assert_eq!(dispatches, 4);
    assert_eq!(held, [[1.0, 0.0, 2.0, 0.0], [11.0, 0.0, 22.0, 0.0]]);
}

/// No kernel may read a buffer that it writes, so these are two dispatches, in the order of recording.
#[test]
fn rows_out_of_one_cache_into_the_other_are_appended_apart() {
    let (dispatches, held) = grown_pair(|[a, b], [_, y], steps| {
        let moved = b.slice(1, 0, 1);
        [a.append(moved, steps), b.append(y, steps)]
    });
    assert_eq!(dispatches, 2);
    assert_eq!(held, [[0.0, 0.0, 10.0, 0.0], [10.0, 0.0, 20.0, 0.0]]);
    let (dispatches, held) = grown_pair(|[a, b], [x, _], steps| {
        let a = a.append(x, steps);
        [a, b.append(a.slice(1, 0, 1), steps)]
    });
    assert_eq!(dispatches, 2);
    assert_eq!(held, [[1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 1.0, 0.0]]);
}

/// Where one of two cannot be written in place, the other is.
#[test]
fn one_of_two_caches_may_be_copied() {
    let (dispatches, held) =
        grown_pair(|[a, b], [x, y], steps| [a.append(x, steps) + a * 0.0, b.append(y, steps)]);
    assert!(dispatches > 2, "{dispatches}");
    assert_eq!(held, [[1.0, 0.0, 2.0, 0.0], [10.0, 0.0, 20.0, 0.0]]);
}
