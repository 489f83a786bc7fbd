//! Fusion: which operations are fused, with the same results as unfused.

use seqloom_device::Device;
use seqloom_graph::{
    Arena, Control, DType, Graph, HostTensor, Init, ParamId, ParamStore, Params, Program, Request, StoreKind,
    Tensor,
};
use seqloom_kernels::matmul::Tile;
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::device;
use seqloom_tests::skip::skip_part;

const ROWS: usize = 4;

/// Compiles `forward` of x [4, 6] and two parameters, w [5, 6] and b [5], for inference.
fn forward(
    forward: impl for<'g> Fn(Tensor<'g>, Tensor<'g>, Tensor<'g>) -> Tensor<'g>,
) -> (Program, Vec<f32>) {
    forward_on(&device::shared(), forward)
}

fn forward_on(
    device: &Device,
    forward: impl for<'g> Fn(Tensor<'g>, Tensor<'g>, Tensor<'g>) -> Tensor<'g>,
) -> (Program, Vec<f32>) {
    let mut params = Params::seeded(5);
    let ids: [ParamId; 2] =
        [params.add("w", &[5, 6], Init::Normal(1.0)), params.add("b", &[5], Init::Normal(1.0))];
    let g = Graph::inference(&params);
    let y = forward(g.input("x", &[ROWS, 6], DType::F32), g.param(ids[0]), g.param(ids[1]));
    let store = ParamStore::new(device, params, StoreKind::Inference).unwrap();
    let program = Program::compile(&store, &g, Request { outputs: &[("y", y)], objective: None }).unwrap();
    let x = HostTensor::f32(&[ROWS, 6], (0..ROWS * 6).map(|i| (i as f32).sin()).collect()).unwrap();
    program.run(&[("x", &x)], &Control::default()).unwrap();
    let values = program.read("y").unwrap().wait().unwrap();
    (program, values)
}

/// Whether products go by the kernels for CPU adapters.
fn multiplies_by_rows(device: &Device) -> bool {
    Tile::all(device.facts()).contains(&Tile::Rows(8))
}

/// On a GPU the tail of a product is part of its kernel; on a CPU adapter one pipeline multiplies for all models, and the
/// tail is a pass of its own.
#[test]
fn bias_and_activation_ride_on_the_matmul_of_a_gpu() {
    let gpu = device::shared_as_gpu();
    let (plain, product) = forward_on(&gpu, |x, w, _| x.matmul_t(w));
    let (fused, activated) = forward_on(&gpu, |x, w, b| (x.matmul_t(w) + b).tanh());
    assert_eq!(plain.dispatches(), 1, "{}", plain.explain());
    assert_eq!(fused.dispatches(), 1, "{}", fused.explain());
    assert!(fused.memory().own() <= plain.memory().own(), "no room for what is fused away");
    assert!(product != activated);

    let (apart, same) = forward(|x, w, b| (x.matmul_t(w) + b).tanh());
    let passes = if multiplies_by_rows(&device::shared()) { 2 } else { 1 };
    assert_eq!(apart.dispatches(), passes, "{}", apart.explain());
    // The two kernels add in other orders; tanh makes no error larger.
    assert_close("fused", &activated, &same, Tolerance { abs: 2e-6, rel: 2e-6 });
}

/// One row: a launch costs more than its arithmetic, so on CPU adapters its product takes along the norm before it and what
/// follows, as long as nobody else reads the normalised row.
#[test]
fn a_norm_and_a_residual_ride_on_the_product_of_a_row() {
    let device = device::shared();
    let compiled = |branch: for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>| {
        let mut params = Params::seeded(5);
        let w = params.add("w", &[8, 8], Init::Normal(1.0));
        let (weight, bias) =
            (params.add("weight", &[8], Init::Normal(1.0)), params.add("bias", &[8], Init::Normal(1.0)));
        let g = Graph::inference(&params);
        let x = g.input("x", &[1, 8], DType::F32);
        let y = x.layer_norm(Some(g.param(weight)), Some(g.param(bias)), 1e-5);
        let out = branch(y, g.param(w)) + x;
        let store = ParamStore::new(&device, params, StoreKind::Inference).unwrap();
        let program =
            Program::compile(&store, &g, Request { outputs: &[("out", out)], objective: None }).unwrap();
        let x = HostTensor::f32(&[1, 8], (0..8).map(|i| (i as f32).sin()).collect()).unwrap();
        program.run(&[("x", &x)], &Control::default()).unwrap();
        (program.dispatches(), program.read("out").unwrap().wait().unwrap())
    };
    let (alone, first) = compiled(|y, w| y.matmul_t(w).gelu());
    // The same with a second reader of the norm, which adds nothing.
    let (read_twice, second) = compiled(|y, w| y.matmul_t(w).gelu() + y * 0.0);
    assert_eq!(alone, if multiplies_by_rows(&device) { 1 } else { 2 });
    assert_eq!(read_twice, 2, "the norm and the product");
    assert_close("out", &first, &second, Tolerance { abs: 2e-5, rel: 2e-5 });
}

/// The gated layer over two products.
fn gated<'g>(x: Tensor<'g>, w: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    let other = x.graph().literal(&[5, 6], (0..30).map(|i| (i as f32).cos()).collect());
    (x.matmul_t(w) + b).swiglu(x.matmul_t(other))
}

/// Every activation of a feed-forward layer, with its bias; of a gated one the two products alone are left.
#[test]
fn activations_ride_on_the_matmul_of_a_gpu() {
    type Activate = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
    let gpu = device::shared_as_gpu();
    let activations: [Activate; 4] = [|x| x.relu(), |x| x.gelu(), |x| x.gelu_tanh(), |x| x.silu()];
    for activate in activations {
        let (fused, values) = forward_on(&gpu, |x, w, b| activate(x.matmul_t(w) + b));
        assert_eq!(fused.dispatches(), 1, "{}", fused.explain());
        let (_, same) = forward(|x, w, b| activate(x.matmul_t(w) + b));
        // The two kernels add in other orders, and no slope of an activation is above 1.2.
        assert_close("fused", &values, &same, Tolerance { abs: 3e-6, rel: 3e-6 });
    }
    let (fused, values) = forward_on(&gpu, gated);
    assert_eq!(fused.dispatches(), 2, "{}", fused.explain());
    // Gates of size 3 multiply the rounding of the sums.
    assert_close("gated", &values, &forward(gated).1, Tolerance { abs: 1e-5, rel: 1e-5 });
}

/// Also on an adapter whose products take no other tail.
#[test]
fn a_bias_rides_on_the_matmul_everywhere() {
    for rows in [1, ROWS] {
        let (program, sums) = forward(|x, w, b| x.slice(0, 0, rows).matmul_t(w) + b);
        assert_eq!(program.dispatches(), 1, "{}", program.explain());
        let (_, products) = forward(|x, w, _| x.slice(0, 0, rows).matmul_t(w));
        let (_, bias) = forward(|_, _, b| b * 1.0);
        let expected: Vec<_> =
            products.iter().enumerate().map(|(i, product)| product + bias[i % 5]).collect();
        // The bias is the first or the last of seven terms.
        assert_close("biased", &sums, &expected, Tolerance { abs: 2e-6, rel: 2e-6 });
    }
}

#[test]
fn a_part_of_a_parameter_is_read_where_it_lies() {
    let parts = |rows: usize, second: usize, told: bool| {
        let mut params = Params::seeded(5);
        let w = params.add("w", &[3 * rows, 8], Init::Normal(1.0));
        let g = Graph::inference(&params);
        let x = g.input("x", &[ROWS, 8], DType::F32);
        let y = x.matmul_t(g.param(w).slice(0, second, rows));
        let part = g.param(w).slice(0, second, rows);
        let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
        let outputs = &[("y", y), ("part", part)][..1 + usize::from(told)];
        let program = Program::compile(&store, &g, Request { outputs, objective: None }).unwrap();
        let x: Vec<f32> = (0..ROWS * 8).map(|i| (i as f32).sin()).collect();
        let fed = HostTensor::f32(&[ROWS, 8], x.clone()).unwrap();
        program.run(&[("x", &fed)], &Control::default()).unwrap();
        let read = |name: &str| program.read(name).unwrap().wait().unwrap();
        let whole = store.read(Arena::Params).unwrap().remove(0);
        if told {
            assert_eq!(read("part"), whole[second * 8..][..rows * 8], "an output is a copy of its own");
        }
        let mut expected = Vec::new();
        for row in x.chunks_exact(8) {
            for weights in whole[second * 8..][..rows * 8].chunks_exact(8) {
                expected.push(row.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>());
            }
        }
        assert_close("y", &read("y"), &expected, Tolerance { abs: 2e-6, rel: 2e-6 });
        program.dispatches()
    };
    // A row has 32 bytes: the eighth begins where any adapter can bind, the third does not.
    assert_eq!((parts(8, 8, false), parts(3, 3, false)), (1, 2));
    assert_eq!(parts(8, 8, true), 2);
}

#[test]
fn a_chain_of_pointwise_operations_is_one_dispatch() {
    let (program, _) = forward(|x, _, _| ((x * 2.0 + 1.0).sigmoid() * x.tanh() - x.square()).gelu());
    assert_eq!(program.dispatches(), 1, "{}", program.explain());
}

#[test]
fn a_pointwise_head_rides_on_the_reduction() {
    let (program, _) = forward(|x, _, _| (x.square() + 1.0).sum(1));
    assert_eq!(program.dispatches(), 1, "{}", program.explain());
}

#[test]
fn positions_and_a_scale_ride_on_the_embedding() {
    fn rows<'g>(w: Tensor<'g>) -> Tensor<'g> {
        w.gather_rows(w.graph().literal_u32(&[2, 3], vec![4, 0, 1, 1, 3, 4]))
    }
    fn positions<'g>(w: Tensor<'g>) -> Tensor<'g> {
        w.graph().literal(&[3, 6], (0..18).map(|i| i as f32).collect())
    }
    let (program, sum) = forward(|_, w, _| rows(w) * 2.0 + positions(w));
    assert_eq!(program.dispatches(), 1, "{}", program.explain());
    let (_, plain) = forward(|_, w, _| rows(w));
    for (i, (sum, row)) in sum.iter().zip(&plain).enumerate() {
        assert_eq!(*sum, row * 2.0 + (i % 18) as f32);
    }
}

#[test]
fn a_residual_sum_rides_on_the_norm() {
    // The sum is read by others too.
    let (program, both) = forward(|x, _, _| {
        let sum = x * 2.0 + 1.0;
        Tensor::concat(sum.layer_norm(None, None, 1e-5), &[sum], 1)
    });
    let (apart, _) = forward(|x, _, _| Tensor::concat(x.layer_norm(None, None, 1e-5), &[x], 1));
    assert_eq!(program.dispatches(), apart.dispatches(), "{}", program.explain());
    let (_, sum) = forward(|x, _, _| x * 2.0 + 1.0);
    for (row, sum) in both.chunks(12).zip(sum.chunks(6)) {
        assert_eq!(row[6..], *sum);
    }
    // Read before the norm, the sum must lie in memory when it runs.
    let (early, _) = forward(|x, _, _| {
        let sum = x * 2.0 + 1.0;
        let top = sum.max(1);
        sum.layer_norm(None, None, 1e-5).sum(1) + top
    });
    assert_eq!(early.dispatches(), 5, "{}", early.explain());
}

#[test]
fn a_sum_of_more_tensors_than_a_kernel_binds_takes_several() {
    let (_, one) = forward(|x, w, _| x.matmul_t(w));
    let (program, sum) =
        forward(|x, w, _| (2..=20).fold(x.matmul_t(w), |sum, i| sum + x.matmul_t(w * i as f32)));
    assert!(program.dispatches() > 20, "{}", program.explain());
    for (sum, one) in sum.iter().zip(&one) {
        // Twenty sums of five products: some twenty roundings of 6e-8 each.
        assert!((sum - one * 210.0).abs() <= 1e-5 * (1.0 + sum.abs()), "{sum} {one}");
    }
}

#[test]
fn what_nothing_reads_is_not_computed() {
    let (lean, _) = forward(|x, w, _| x.matmul_t(w));
    let (same, _) = forward(|x, w, _| {
        let _ = x.exp().matmul_t(w).softmax();
        x.matmul_t(w)
    });
    assert_eq!(lean.dispatches(), same.dispatches(), "{}", same.explain());
}

#[test]
fn what_is_written_twice_is_computed_once() {
    let (once, _) = forward(|x, w, _| x.matmul_t(w).softmax());
    let (twice, _) = forward(|x, w, _| (x.matmul_t(w).softmax() + x.matmul_t(w).softmax()) * 0.5);
    assert!(twice.dispatches() <= once.dispatches() + 1, "{}", twice.explain());
}

/// Operands of the same shape, from the start again, held along rows, stretched in the middle, transposed, of ids, and dropout.
fn every_access<'g>(g: &'g Graph, inner: usize) -> (Tensor<'g>, Vec<(&'static str, HostTensor)>) {
    let mut fed = Vec::new();
    let mut input = |name: &'static str, dims: &[usize]| {
        let of = (0..dims.iter().product()).map(|i: usize| (i as f32 * 0.7 + name.len() as f32).sin());
        fed.push((name, HostTensor::f32(dims, of.collect()).unwrap()));
        g.input(name, dims, DType::F32)
    };
    let same = input("a", &[2, 3, 4, inner]);
    let repeated = same * input("ab", &[inner]) + input("abc", &[1]);
    let held = repeated + input("abcd", &[2, 3, 1, 1]);
    let stretched = held * input("abcde", &[2, 1, 4, inner]) - input("abcdef", &[2, 1, 4, 1]);
    let turned = stretched + input("abcdefg", &[2, 4, 3, inner]).transpose(1, 2);
    fed.push(("ids", HostTensor::u32(&[2, 3], vec![0, 1, 2, 3, 4, 5]).unwrap()));
    let ids = g.ids("ids", &[2, 3], 6).to_f32().reshape(&[2, 3, 1, 1]);
    ((turned * ids).gelu().dropout(0.3), fed)
}

/// An adapter that takes four neighbours at once computes what one does that takes each on its own.
#[test]
fn neighbours_are_taken_at_once_where_that_is_cheap() {
    let on = |device: &Device, inner: usize| {
        let params = Params::seeded(5);
        let g = Graph::training(&params);
        let (y, fed) = every_access(&g, inner);
        let outputs = [("y", y), ("sum", y.sum(0)), ("most", y.max(1))];
        let store = ParamStore::new(device, params, StoreKind::Inference).unwrap();
        let program = Program::compile(&store, &g, Request { outputs: &outputs, objective: None }).unwrap();
        let fed: Vec<_> = fed.iter().map(|(name, tensor)| (*name, tensor)).collect();
        program.run(&fed, &Control { seed: 3, ..Control::default() }).unwrap();
        let labels: Vec<_> = program.infos().iter().map(|info| info.label.clone()).collect();
        let read = |(name, _): &(&str, Tensor<'_>)| program.read(name).unwrap().wait().unwrap();
        (outputs.iter().map(read).collect::<Vec<_>>(), labels)
    };
    let usual = device::shared();
    for (inner, width) in [(8, "Value=4"), (6, "Value=1")] {
        let (each, _) = on(&device::shared_as_gpu(), inner);
        let (at_once, labels) = on(&usual, inner);
        // The same operations on the same numbers, which a compiler may contract.
        for (each, at_once) in each.iter().zip(&at_once) {
            assert_close("neighbours", at_once, each, Tolerance { abs: 2e-6, rel: 2e-6 });
        }
        if usual.facts().is_cpu() {
            // Six ids become numbers one by one.
            let mut others = labels.iter().filter(|label| !label.ends_with(" 6"));
            assert!(others.all(|label| label.contains(width)), "{labels:?}");
        } else {
            skip_part("which kernels a CPU adapter takes");
        }
    }
}
