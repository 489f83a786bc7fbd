//! Joining tensors: how many dispatches it takes and what they move, which parts are read where they lie, what simplification makes
//! of it, and sums of padded slices, which become it.

use seqloom_device::Device;
use seqloom_graph::{Control, HostTensor, ParamStore, Params, Program, Request, StoreKind, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::compare::assert_same_bits;
use seqloom_tests::device;
use seqloom_tests::mid_graph::{check_on, wave};
use seqloom_tests::oracle::array::Array;
use seqloom_tests::oracle::operations as oracle;

/// Parts that one dispatch joins.
const PARTS: usize = 7;

fn devices() -> [Device; 2] {
    [device::shared(), device::shared_as_gpu()]
}

fn array(x: &HostTensor) -> Array {
    let seqloom_graph::HostData::F32(data) = x.data() else { panic!("floats") };
    Array { shape: x.shape().to_vec(), data: data.iter().map(|&x| f64::from(x)).collect() }
}

/// Joined by the oracle; f64 holds every f32.
fn joined(parts: &[&Array], axis: usize) -> Vec<f32> {
    let (first, rest) = parts.split_first().unwrap();
    let all = rest.iter().fold((*first).clone(), |all, part| oracle::concat(&all, part, axis));
    all.data.iter().map(|&x| x as f32).collect()
}

/// A program of inputs, and what it gives.
fn run(
    device: &Device,
    operands: &[HostTensor],
    record: impl for<'g> Fn(&[Tensor<'g>]) -> Tensor<'g>,
) -> (Program, Vec<f32>) {
    let store = ParamStore::new(device, Params::seeded(1), StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let names: Vec<_> = (0..operands.len()).map(|at| format!("x{at}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(operands).collect();
    let x: Vec<_> = named.iter().map(|(name, host)| g.feed(name, host)).collect();
    let y = record(&x);
    let program = Program::compile(&store, &g, Request { outputs: &[("y", y)], objective: None }).unwrap();
    program.run(&named, &Control::default()).unwrap();
    let values = program.read("y").unwrap().wait().unwrap();
    (program, values)
}

/// Dispatches whose kernel has this name.
fn of_kernel(program: &Program, kernel: &str) -> usize {
    program.infos().iter().filter(|info| info.label.starts_with(&format!("{kernel}["))).count()
}

/// Nothing runs but what joins; that writes the result once, and reads as much.
fn moves_each_element_once(program: &Program, parts: usize, elements: usize) {
    let infos = program.infos();
    assert_eq!(infos.len(), parts.div_ceil(PARTS), "{}", program.explain());
    assert_eq!(of_kernel(program, "concat"), infos.len(), "{}", program.explain());
    assert_eq!(infos.iter().map(|info| info.bytes).sum::<u64>(), 8 * elements as u64);
}

#[test]
fn any_number_of_parts_along_every_axis_of_every_rank() {
    let shapes: [&[usize]; 4] = [&[3], &[2, 4], &[2, 3, 4], &[2, 3, 2, 5]];
    for (shape, axis) in shapes.iter().flat_map(|shape| (0..shape.len()).map(move |axis| (*shape, axis))) {
        for count in [2, 3, 7, 8, 40] {
            // Sizes of the axis from 0 to 4; the second and every fifth part after it are empty.
            let parts: Vec<_> = (0..count)
                .map(|at| {
                    let mut dims = shape.to_vec();
                    dims[axis] = (at + 4) % 5;
                    wave(&dims, at)
                })
                .collect();
            let arrays: Vec<_> = parts.iter().map(array).collect();
            let want = joined(&arrays.iter().collect::<Vec<_>>(), axis);
            let filled = parts.iter().filter(|part| part.shape().elements() > 0).count();
            for device in devices() {
                let (program, got) = run(&device, &parts, |x| Tensor::concat(x[0], &x[1..], axis as isize));
                assert_same_bits(&format!("{count} along {axis} of {shape:?}"), &got, &want);
                if filled > 1 {
                    moves_each_element_once(&program, filled, want.len());
                }
            }
        }
    }
}

#[test]
fn one_part_is_itself_and_one_tensor_may_be_several_parts() {
    let x = wave(&[3, 4], 1);
    for device in devices() {
        let (program, got) = run(&device, std::slice::from_ref(&x), |x| Tensor::concat(x[0], &[], 1).tanh());
        let (_, want) = run(&device, std::slice::from_ref(&x), |x| x[0].tanh());
        assert_eq!(program.dispatches(), 1, "{}", program.explain());
        assert_same_bits("alone", &got, &want);
        let (program, got) = run(&device, std::slice::from_ref(&x), |x| Tensor::concat(x[0], &[x[0]; 8], 1));
        assert_same_bits("nine times", &got, &joined(&[&array(&x); 9], 1));
        moves_each_element_once(&program, 9, got.len());
    }
}

#[test]
fn not_a_number_and_negative_zero_are_moved_as_they_are() {
    let odd = [f32::from_bits(0x7fc0_1234), -0.0, f32::NEG_INFINITY, f32::from_bits(1)];
    let x = HostTensor::f32(&[2, 2], odd.to_vec()).unwrap();
    for device in devices() {
        let (_, got) = run(&device, std::slice::from_ref(&x), |x| Tensor::concat(x[0], &[x[0]], 0));
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&got), bits(&[odd, odd].concat()));
    }
}

/// Slices, stretched and turned tensors whose rows are neighbours are no tensors of their own; others are copied before.
#[test]
fn parts_are_read_where_they_lie_if_their_rows_are() {
    type Record = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
    let in_place: [(&str, Record); 5] = [
        ("windows", |x| Tensor::concat(x.slice(1, 0, 7), &[x.slice(1, 1, 7), x.slice(1, 2, 7)], 2)),
        ("rolled columns", |x| Tensor::concat(x.slice(2, 3, 5), &[x.slice(2, 0, 3)], 2)),
        ("backwards and in steps", |x| {
            Tensor::concat(x.flip(&[1]).slice(1, 1, 4), &[x.slice_step(1, 1, 4, 2)], 2)
        }),
        ("turned", |x| {
            let turned = x.transpose(0, 1);
            Tensor::concat(turned, &[turned.slice(2, 0, 4)], 2)
        }),
        ("stretched", |x| {
            let row = x.slice(0, 1, 1).slice(1, 2, 1).broadcast_to(&[2, 9, 8]);
            Tensor::concat(x, &[row], 2)
        }),
    ];
    let copied: [(&str, Record); 3] = [
        ("columns along rows", |x| Tensor::concat(x.slice(2, 1, 4), &[x.slice(2, 3, 4)], 1)),
        ("last axis backwards", |x| Tensor::concat(x.flip(&[2]), &[x], 2)),
        ("rows in two ways", |x| {
            let (rows, columns) = (x.reshape(&[2, 3, 3, 8]), x.reshape(&[2, 9, 2, 4]));
            let (left, right) = (rows.slice(1, 1, 2), columns.slice(1, 2, 3).slice(2, 0, 2));
            Tensor::concat(left.reshape(&[2, 2, 3, 8]), &[right.reshape(&[2, 2, 3, 4])], 3)
        }),
    ];
    let x = wave(&[2, 9, 8], 1);
    for device in devices() {
        for (name, record) in in_place.into_iter().chain(copied) {
            let (program, got) = run(&device, std::slice::from_ref(&x), |x| record(x[0]));
            // A tensor that is made of numbers and not of views, so that its parts lie in memory.
            let (plain, want) = run(&device, std::slice::from_ref(&x), |x| record(x[0] * 1.5) / 1.5);
            assert!(plain.dispatches() > program.dispatches(), "{name}: {}", plain.explain());
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-6, "{name}: {got} {want}");
            }
            assert_eq!(of_kernel(&program, "concat"), 1, "{name}: {}", program.explain());
        }
        for (name, record) in in_place {
            let (program, _) = run(&device, std::slice::from_ref(&x), |x| record(x[0]));
            assert_eq!(program.dispatches(), 1, "{name}: {}", program.explain());
        }
    }
}

#[test]
fn what_is_joined_twice_is_joined_once() {
    let parts: Vec<_> = (0..12).map(|at| wave(&[2, 3], at)).collect();
    let arrays: Vec<_> = parts.iter().map(array).collect();
    let all: Vec<_> = arrays.iter().collect();
    for device in devices() {
        let (program, got) = run(&device, &parts, |x| {
            let [left, right] = [&x[..6], &x[6..]].map(|x| Tensor::concat(x[0], &x[1..], 1));
            Tensor::concat(left, &[right], 1)
        });
        assert_same_bits("nested", &got, &joined(&all, 1));
        moves_each_element_once(&program, 12, got.len());
        // Along another axis it is another concatenation.
        let (program, got) = run(&device, &parts, |x| {
            let [left, right] = [&x[..6], &x[6..]].map(|x| Tensor::concat(x[0], &x[1..], 1));
            Tensor::concat(left, &[right], 0)
        });
        let halves = [&all[..6], &all[6..]].map(|half| joined(half, 1));
        assert_same_bits("across", &got, &halves.concat());
        assert_eq!(program.dispatches(), 3, "{}", program.explain());
        // What others read too lies in memory: it is one part and not six.
        let (program, _) = run(&device, &parts, |x| {
            let left = Tensor::concat(x[0], &x[1..7], 1);
            left.softmax().sum_all() + Tensor::concat(left, &x[7..], 1).softmax().sum_all()
        });
        assert_eq!(of_kernel(&program, "concat"), 2, "{}", program.explain());
    }
}

#[test]
fn a_slice_of_a_part_is_a_slice_of_what_was_joined() {
    let parts = [wave(&[4, 3], 0), wave(&[4, 5], 1)];
    for device in devices() {
        let (program, got) = run(&device, &parts, |x| Tensor::concat(x[0], &[x[1]], 1).slice(1, 4, 3).tanh());
        let (_, want) = run(&device, &parts, |x| x[1].slice(1, 1, 3).tanh());
        assert_same_bits("inside", &got, &want);
        assert_eq!(program.dispatches(), 1, "{}", program.explain());
        let (program, got) = run(&device, &parts, |x| Tensor::concat(x[0], &[x[1]], 1).slice(1, 2, 3).tanh());
        let (_, want) =
            run(&device, &parts, |x| Tensor::concat(x[0].slice(1, 2, 1), &[x[1].slice(1, 0, 2)], 1).tanh());
        assert_same_bits("across", &got, &want);
        assert_eq!(program.dispatches(), 2, "{}", program.explain());
    }
}

#[test]
fn numbers_around_a_tensor_are_padding() {
    let x = wave(&[2, 3], 0);
    for device in devices() {
        for value in [0.0, -2.5] {
            let (program, got) = run(&device, std::slice::from_ref(&x), |x| {
                let number = |columns| x[0].graph().full(&[2, columns], value);
                Tensor::concat(number(1), &[x[0], number(2), number(1)], 1)
            });
            let (_, want) = run(&device, std::slice::from_ref(&x), |x| x[0].pad_with(1, 1, 3, value));
            assert_same_bits("padded", &got, &want);
            assert_eq!(of_kernel(&program, "concat"), 0, "{}", program.explain());
            assert_eq!(program.dispatches(), 1, "{}", program.explain());
        }
        let (program, got) = run(&device, std::slice::from_ref(&x), |x| {
            let number = |value| x[0].graph().full(&[2, 2], value);
            Tensor::concat(number(1.0), &[x[0], number(2.0)], 1)
        });
        let arrays = [vec![1.0; 4], array(&x).data, vec![2.0; 4]];
        let arrays = arrays.map(|data| Array { shape: vec![2, data.len() / 2], data });
        assert_same_bits("between numbers", &got, &joined(&arrays.iter().collect::<Vec<_>>(), 1));
        assert_eq!(of_kernel(&program, "concat"), 1, "{}", program.explain());
    }
}

/// A tensor that is taken apart, as gates and heads are.
type Apart = for<'g> fn(Tensor<'g>) -> Vec<Tensor<'g>>;

/// Gradients of a parameter [4, 12], with the dispatches that join and those that pad.
fn dispatches_of_gradient(device: &Device, apart: Apart) -> [usize; 2] {
    let case = Case::compile(device, &[wave(&[4, 12], 0)], |g, x| {
        let parts = apart(x[0].tanh());
        // Arithmetic reads the parts where they lie, so all copies are those of their gradients.
        let losses = parts.iter().map(|part| (*part * part.tanh()).sum_all());
        Recorded { outputs: vec![], loss: losses.fold(g.full(&[], 0.0), |sum, loss| sum + loss) }
    });
    ["concat", "gather"].map(|kernel| of_kernel(case.program(), kernel))
}

#[test]
fn gradients_of_parts_that_are_all_of_a_tensor_are_joined() {
    let joined: [(&str, Apart); 5] = [
        ("gates", |x| [0, 1, 2, 3].map(|gate| x.slice(1, 3 * gate, 3)).to_vec()),
        ("rows", |x| [(1, 2), (0, 1), (3, 1)].map(|(start, len)| x.slice(0, start, len)).to_vec()),
        ("heads", |x| {
            let heads = x.reshape(&[4, 3, 4]);
            (0..3).map(|head| heads.slice(1, head, 1).reshape(&[4, 4])).collect()
        }),
        // What else reads the tensor adds to its gradient.
        ("read whole before", |x| vec![x, x.slice(1, 0, 5), x.slice(1, 5, 7)]),
        ("read whole behind", |x| vec![x.slice(1, 0, 5), x.slice(1, 5, 7), x]),
    ];
    // Padding is then read where the parts lie.
    let padded: [(&str, Apart); 3] = [
        ("overlapping", |x| vec![x.slice(1, 0, 6), x.slice(1, 5, 7)]),
        ("a gap", |x| vec![x.slice(1, 0, 5), x.slice(1, 6, 6)]),
        ("two axes", |x| vec![x.slice(1, 0, 5), x.slice(0, 1, 3)]),
    ];
    for device in devices() {
        for (name, apart) in joined {
            assert_eq!(dispatches_of_gradient(&device, apart), [1, 0], "{name}");
            check_on(&device, &[wave(&[4, 12], 0)], |x| apart(x[0]));
        }
        for (name, apart) in padded {
            assert_eq!(dispatches_of_gradient(&device, apart), [0, 0], "{name}");
            check_on(&device, &[wave(&[4, 12], 0)], |x| apart(x[0]));
        }
    }
}
