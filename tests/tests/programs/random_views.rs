//! Programs of random views over tensors of up to six dimensions, with arithmetic between them, against the f64 oracles, as floats
//! and as ids. Seeded: every run makes the same programs.

use seqloom_device::Device;
use seqloom_graph::{
    Control, HostData, HostTensor, MAX_RANK, ParamStore, Params, Program, Request, StoreKind, Tensor,
};
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::device;
use seqloom_tests::oracle::array::Array;
use seqloom_tests::oracle::{operations as oracle, operations_reductions as reductions};

/// Products of a few numbers up to 1 and sums of at most a dozen, in f32.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };

/// Most elements of a tensor.
const MOST: usize = 3000;

/// Number of programs.
const PROGRAMS: usize = 60;

/// A linear congruential generator; its upper bits are random enough to pick by.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }

    /// Dimensions of 1 to 4, at least one of them.
    fn shape(&mut self) -> Vec<usize> {
        let rank = 1 + self.below(MAX_RANK);
        (0..rank).map(|_| [1, 2, 2, 3, 3, 4][self.below(6)]).collect()
    }
}

/// One operation on the last result.
#[derive(Clone, Debug)]
enum Step {
    Reshape(Vec<usize>),
    Permute(Vec<usize>),
    Take {
        axis: usize,
        start: usize,
        len: usize,
        step: isize,
    },
    Flip(Vec<usize>),
    Pad {
        axis: usize,
        before: usize,
        after: usize,
    },
    Windows {
        axis: usize,
        size: usize,
        step: usize,
        dilation: usize,
    },
    Stretch(Vec<usize>),
    Sum(usize),
    /// Times an earlier result of as many elements, in its order.
    Times(usize),
}

impl Step {
    /// A step that is possible for a tensor of this shape, if the one that was drawn is.
    fn draw(random: &mut Random, shape: &[usize], earlier: &[Array], floats: bool) -> Option<Self> {
        let axis = random.below(shape.len());
        let size = shape[axis];
        let elements: usize = shape.iter().product();
        Some(match random.below(if floats { 12 } else { 10 }) {
            0 => {
                let mut left = elements;
                let mut dims = Vec::new();
                while left > 1 && dims.len() + 1 < MAX_RANK {
                    let divisors: Vec<usize> =
                        (2..=left.min(12)).filter(|d| left.is_multiple_of(*d)).collect();
                    let Some(&divisor) = divisors.get(random.below(divisors.len().max(1))) else { break };
                    dims.push(divisor);
                    left /= divisor;
                }
                dims.push(left);
                Self::Reshape(dims)
            }
            1..=3 => {
                let mut order: Vec<usize> = (0..shape.len()).collect();
                (0..order.len()).for_each(|at| order.swap(at, at + random.below(shape.len() - at)));
                Self::Permute(order)
            }
            4 => {
                let (len, step) = (1 + random.below(size), 1 + random.below(2));
                let reach = (len - 1) * step;
                let room = size.checked_sub(reach).filter(|room| *room > 0)?;
                let start = random.below(room);
                match random.below(2) {
                    0 => Self::Take { axis, start, len, step: step as isize },
                    _ => Self::Take { axis, start: start + reach, len, step: -(step as isize) },
                }
            }
            5 => Self::Flip((0..shape.len()).filter(|_| random.below(2) == 0).collect()),
            6 => Self::Pad { axis, before: random.below(2), after: random.below(3) },
            7 if shape.len() < MAX_RANK => {
                let (size, step, dilation) = (1 + random.below(3), 1 + random.below(2), 1 + random.below(2));
                (shape[axis] > (size - 1) * dilation).then_some(Self::Windows {
                    axis,
                    size,
                    step,
                    dilation,
                })?
            }
            8 if shape.len() < MAX_RANK => Self::Stretch([&[1 + random.below(3)], shape].concat()),
            9 => {
                let stretched = shape.iter().map(|&size| if size == 1 { 1 + random.below(3) } else { size });
                Self::Stretch(stretched.collect())
            }
            10 if shape.len() > 1 => Self::Sum(axis),
            11 => {
                let alike: Vec<usize> =
                    (0..earlier.len()).filter(|&at| earlier[at].data.len() == elements).collect();
                Self::Times(*alike.get(random.below(alike.len().max(1)))?)
            }
            _ => return None,
        })
    }

    fn oracle(&self, all: &[Array]) -> Array {
        let x = &all[all.len() - 1];
        match self {
            Self::Reshape(dims) => oracle::reshape(x, dims),
            Self::Permute(order) => oracle::permute(x, order),
            Self::Take { axis, start, len, step } => oracle::slice_step(x, *axis, *start, *len, *step),
            Self::Flip(axes) => oracle::flip(x, axes),
            Self::Pad { axis, before, after } => oracle::pad_with(x, *axis, *before, *after, 2.0),
            Self::Windows { axis, size, step, dilation } => {
                oracle::windows(x, *axis, *size, *step, *dilation)
            }
            Self::Stretch(dims) => oracle::broadcast_to(x, dims),
            Self::Sum(axis) => reductions::sum(x, &[*axis]),
            Self::Times(at) => {
                let data = x.data.iter().zip(&all[*at].data).map(|(a, b)| a * b).collect();
                Array { shape: x.shape.clone(), data }
            }
        }
    }

    fn record<'g>(&self, all: &[Tensor<'g>]) -> Tensor<'g> {
        let x = all[all.len() - 1];
        let signed = |axes: &[usize]| axes.iter().map(|&axis| axis as isize).collect::<Vec<_>>();
        match self {
            Self::Reshape(dims) => x.reshape(dims),
            Self::Permute(order) => x.permute(&signed(order)),
            Self::Take { axis, start, len, step } => x.slice_step(*axis as isize, *start, *len, *step),
            Self::Flip(axes) => x.flip(&signed(axes)),
            Self::Pad { axis, before, after } => x.pad_with(*axis as isize, *before, *after, 2.0),
            Self::Windows { axis, size, step, dilation } => {
                x.windows(*axis as isize, *size, *step, *dilation)
            }
            Self::Stretch(dims) => x.broadcast_to(dims),
            Self::Sum(axis) => x.sum(*axis as isize),
            Self::Times(at) => x * all[*at].reshape(&x.shape()),
        }
    }
}

/// A program, and what it gives of an operand.
fn draw(random: &mut Random, floats: bool) -> (Array, Vec<Step>, Array) {
    let shape = random.shape();
    let mut at = 0;
    let x = Array::from_fn(&shape, |_| {
        at += 1;
        // Not above 1, so that products stay small; ids are whole numbers.
        if floats { f64::from((at as f32 * 1.3).sin()) } else { f64::from(at) }
    });
    let (mut all, mut steps) = (vec![x.clone()], Vec::new());
    for _ in 0..10 {
        let Some(step) = Step::draw(random, &all[all.len() - 1].shape, &all, floats) else { continue };
        let result = step.oracle(&all);
        if result.data.is_empty()
            || result.data.len() > MOST
            || result.data.iter().any(|x| floats && x.abs() > 50.0)
        {
            continue;
        }
        all.push(result);
        steps.push(step);
    }
    (x, steps, all[all.len() - 1].clone())
}

/// What the device makes of the program.
fn run(device: &Device, x: &HostTensor, steps: &[Step]) -> Vec<f32> {
    let store = ParamStore::new(device, Params::seeded(1), StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let mut all = vec![g.feed("x", x)];
    steps.iter().for_each(|step| all.push(step.record(&all)));
    let mut y = all[all.len() - 1];
    if matches!(x.data(), HostData::U32(_)) {
        y = y.to_f32();
    }
    let program = Program::compile(&store, &g, Request { outputs: &[("y", y)], objective: None }).unwrap();
    let [y] = program.call(&[("x", x)], &Control::default(), ["y"]).unwrap().wait().unwrap();
    y
}

fn narrow(array: &Array) -> Vec<f32> {
    array.data.iter().map(|&x| x as f32).collect()
}

#[test]
fn floats_are_moved_as_the_oracle_moves_them() {
    let mut random = Random(1);
    for at in 0..PROGRAMS {
        let (x, steps, want) = draw(&mut random, true);
        let operand = HostTensor::f32(&x.shape, narrow(&x)).unwrap();
        let device = if at % 2 == 0 { device::shared() } else { device::shared_as_gpu() };
        let got = run(&device, &operand, &steps);
        assert_close(&format!("{:?}, then {steps:?}", x.shape), &got, &narrow(&want), TOLERANCE);
    }
}

#[test]
fn ids_are_moved_as_the_oracle_moves_them() {
    let mut random = Random(2);
    for _ in 0..PROGRAMS {
        let (x, steps, want) = draw(&mut random, false);
        let operand = HostTensor::u32(&x.shape, x.data.iter().map(|&x| x as u32).collect()).unwrap();
        let got = run(&device::shared(), &operand, &steps);
        assert_eq!(got, narrow(&want), "{:?}, then {steps:?}", x.shape);
    }
}
