//! Products in half precision: used only if a device was opened for them, has what they need, and no gradients are
//! asked for.
//!
//! Each test holds on any adapter. With cooperative matrices it checks their results; without, only that asking for
//! them changes nothing, and it says so.

use seqloom_device::{AdapterKind, Device, DeviceOptions, Facts, Subgroups};
use seqloom_graph::{
    Control, DType, Graph, HostTensor, Init, Objective, ParamStore, Params, Program, Request, StoreKind,
    Tensor,
};
use seqloom_kernels::matmul::{Problem, cooperative};
use seqloom_kernels::tune::trusts_half;
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::skip::skip_part;

/// A product of the sizes that matrices want.
const FITS: Problem = Problem {
    batch: 1,
    m: 64,
    n: 64,
    k: 64,
    trans_a: false,
    trans_b: false,
    a_batched: true,
    b_batched: true,
};

/// Why results of cooperative matrices stay unseen.
const UNSEEN: &str = "results of cooperative matrices: the adapter has none that suit";

/// A discrete GPU, whatever the adapter is: CPU adapters never multiply by cooperative matrices.
fn open(half_products: bool) -> Device {
    let kind = Some(AdapterKind::Discrete);
    let options = DeviceOptions { no_cache: true, half_products, kind, ..DeviceOptions::default() };
    let device = Device::open(options).expect("these tests need a device");
    let facts = device.facts();
    println!("adapter: {} ({}), cooperative matrices: {:?}", facts.name, facts.driver, facts.cooperative);
    device
}

/// Compiles `body` of these inputs for inference and runs it: dispatches as text, and the results.
fn infer(
    device: &Device,
    inputs: &[HostTensor],
    body: impl for<'g> Fn(&[Tensor<'g>]) -> Tensor<'g>,
) -> (String, Vec<f32>) {
    let params = Params::seeded(1);
    let g = Graph::inference(&params);
    let names: Vec<_> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    let tensors: Vec<_> =
        names.iter().zip(inputs).map(|(name, input)| g.input(name, &input.shape(), DType::F32)).collect();
    let y = body(&tensors);
    let store = ParamStore::new(device, params, StoreKind::Inference).unwrap();
    let program = Program::compile(&store, &g, Request { outputs: &[("y", y)], objective: None }).unwrap();
    let given: Vec<_> = names.iter().map(String::as_str).zip(inputs).collect();
    program.run(&given, &Control::default()).unwrap();
    (program.explain(), program.read("y").unwrap().wait().unwrap())
}

/// Eighths from −1 to 1: 16-bit floats hold them, and f32 the sums of their products.
fn eighths(shape: &[usize], step: usize) -> HostTensor {
    let count = shape.iter().product();
    HostTensor::f32(shape, (0..count).map(|i: usize| (i * step % 17) as f32 / 8.0 - 1.0).collect()).unwrap()
}

#[test]
fn a_device_uses_cooperative_matrices_only_if_asked_and_right() {
    let (plain, asked) = (open(false), open(true));
    assert_eq!(plain.facts().cooperative, None, "enabled unasked");
    assert!(!trusts_half(&plain).unwrap());
    let has = Device::adapters()[asked.facts().index].cooperative;
    assert_eq!(asked.facts().cooperative, has);
    // Matrices that suit must prove right. The answer is kept, as is another one.
    let suits = cooperative::suits(&FITS, asked.facts());
    if !suits {
        skip_part(UNSEEN);
    }
    assert_eq!(trusts_half(&asked).unwrap(), suits);
    assert_eq!(trusts_half(&asked).unwrap(), suits);
    asked.note("cooperative matrices", "wrong");
    assert!(!trusts_half(&asked).unwrap());
}

/// What both ways hold exactly comes out the same: every layout, batches, edges, one tile and many, with and without a tail.
#[test]
fn products_of_halves_are_exact() {
    let (plain, half) = (open(false), open(true));
    let taken = trusts_half(&half).unwrap();
    if !taken {
        skip_part(UNSEEN);
    }
    type Body = for<'g> fn(&[Tensor<'g>]) -> Tensor<'g>;
    let cases: [(&[usize], &[usize], Body); 7] = [
        (&[64, 64], &[64, 64], |x| x[0].matmul(x[1])),
        (&[19, 72], &[72, 36], |x| x[0].matmul(x[1])),
        (&[150, 92], &[172, 92], |x| x[0].matmul_t(x[1])),
        (&[90, 152], &[90, 172], |x| x[0].t_matmul(x[1])),
        (&[3, 40, 52], &[3, 52, 60], |x| x[0].matmul(x[1])),
        (&[2, 30, 92], &[172, 92], |x| x[0].matmul_t(x[1]).relu()),
        // Enough tiles for the large ones.
        (&[1040, 24], &[24, 1032], |x| x[0].matmul(x[1])),
    ];
    for (a, b, body) in cases {
        let inputs = [eighths(a, 7919), eighths(b, 104_729)];
        let (_, wanted) = infer(&plain, &inputs, body);
        let (explained, has) = infer(&half, &inputs, body);
        assert_eq!(explained.contains("matmul_cooperative"), taken, "{a:?} {b:?}: {explained}");
        assert_same_bits(&format!("{a:?} {b:?}"), &has, &wanted);
    }
}

/// An operand between two halves is rounded to the nearer, before the product and not behind it.
#[test]
fn operands_are_rounded_and_sums_are_not() {
    let device = open(true);
    let taken = trusts_half(&device).unwrap();
    if !taken {
        skip_part(UNSEEN);
    }
    let (rows, depth) = (32, 4096);
    // 1 + 2⁻¹² is 1 in half precision; 4096 of them are no 16-bit float's sum of ones beyond 2048.
    let x = HostTensor::f32(&[rows, depth], vec![1.0 + 2.0f32.powi(-12); rows * depth]).unwrap();
    let ones = HostTensor::f32(&[rows, depth], vec![1.0; rows * depth]).unwrap();
    let (_, has) = infer(&device, &[x, ones], |x| x[0].matmul_t(x[1]));
    let wanted = if taken { 4096.0 } else { 4097.0 };
    assert_close("sums", &has, &vec![wanted; rows * rows], Tolerance { abs: 0.0, rel: 1e-6 });
}

/// Gradients of any size are kept: with an objective all products are f32.
#[test]
fn training_stays_in_full_precision() {
    let device = open(true);
    let mut params = Params::seeded(3);
    let w = params.add("w", &[64, 64], Init::Normal(1.0));
    let g = Graph::training(&params);
    let y = g.input("x", &[64, 64], DType::F32).matmul_t(g.param(w));
    let request =
        Request { outputs: &[("y", y)], objective: Some(Objective { loss: y.sum_all(), update: None }) };
    let store = ParamStore::new(&device, params, StoreKind::Training).unwrap();
    let program = Program::compile(&store, &g, request).unwrap();
    assert!(!program.explain().contains("matmul_cooperative"), "{}", program.explain());
}

#[test]
fn the_kernel_refuses_what_it_cannot_do() {
    let facts = open(true).facts().clone();
    let mut without = facts.clone();
    without.cooperative = None;
    let mut cpu = facts.clone();
    cpu.kind = AdapterKind::Cpu;
    cpu.cooperative = Some(16);
    let mut small = facts.clone();
    (small.cooperative, small.max_workgroup_bytes) = (Some(16), 16384);
    for (what, facts) in [("no matrices", without), ("a CPU", cpu), ("too little workgroup memory", small)] {
        assert!(!cooperative::suits(&FITS, &facts), "{what}");
        let error = cooperative::lower(&FITS, &facts, None).expect_err(what);
        assert!(error.to_string().contains("cooperative"), "{error}");
    }
    let capable = Facts {
        cooperative: Some(16),
        subgroups: Some(Subgroups { min: 32, max: 32 }),
        max_workgroup_bytes: 32768,
        ..facts
    };
    assert!(cooperative::suits(&FITS, &capable));
    for (what, problem) in
        [("fewer rows than a matrix has", Problem { m: 7, ..FITS }), ("no fours", Problem { k: 66, ..FITS })]
    {
        assert!(!cooperative::suits(&problem, &capable), "{what}");
    }
}
