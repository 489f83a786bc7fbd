//! The WGSL of a group: loads, and calls of functions that `shaders/wgsl/lib` defines; nothing else is written here.
//!
//! A group is written for one element and, if its leaves allow it, for four neighbours at once; the kernel's family
//! chooses. Both are the same calls over Values, with different loads.

use std::collections::HashMap;
use std::fmt::Write;

use seqloom_kernels::{Elem, FusedCode, Fusion, KernelError, Width};

use crate::compile::group::{Access, Group, Leaf, Padding, is_number, view_access};
use crate::ir::error::Result;
use crate::ir::layout::DType;
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::shape::Shape;
use crate::ir::specs::NodeId;
use crate::ir::steps::{AXES, Steps};
use crate::ir::traits::Kind;

/// Body of `fused(value, index)` for the group of `root`, with what its leaves need. The value is the product that the group
/// is the tail of, or the operand `over` that it is written over. With it goes the same for four neighbours at a time, if every
/// leaf can be read so.
///
/// # Errors
/// Leaves that together go over more axes than a kernel counts; fusion and `compile/split.rs` make no such group.
pub(crate) fn generate(
    nodes: &Nodes,
    root: NodeId,
    group: &Group,
    over: Option<NodeId>,
) -> Result<Fusion, KernelError> {
    let start = match nodes[root].op.traits().kind {
        Kind::Reduce => nodes[root].inputs[0],
        _ => root,
    };
    // Rows and not the whole count, so that a batch of another size takes the same pipelines.
    let fours = nodes[start].shape.last().is_some_and(|row| row.is_multiple_of(4));
    let walk = group.walk().ok_or_else(|| uncountable(nodes[start].shape))?;
    let written = |width| {
        let mut strides = walk.strides.iter().copied();
        let mut read = |leaf: &Leaf| {
            let own = leaf.steps().and_then(|_| strides.next()).unwrap_or_default();
            read(nodes, leaf, own, width)
        };
        let reads = group.leaves.iter().map(&mut read).collect::<Option<Vec<_>>>()?;
        let strides: Vec<_> = reads.iter().filter_map(|read| read.how.numbers()).collect();
        let offsets: Vec<_> = reads.iter().filter_map(|read| read.offset).collect();
        let taken = group.value.or(over);
        let writer = Writer {
            nodes,
            group,
            width,
            dims: walk.dims,
            reads,
            taken,
            root,
            body: String::new(),
            values: HashMap::new(),
            count: 0,
            shared: Elem::Control,
        };
        Some(Fusion { strides, offsets, ..writer.fusion(start) })
    };
    let four = fours.then(|| written(Width::Four)).flatten().map(Box::new);
    Ok(Fusion { four, ..written(Width::One).unwrap_or_default() })
}

/// The error of a view of this shape that no kernel can take.
pub(super) fn uncountable(shape: Shape) -> KernelError {
    let detail = format!("{shape} is read along more axes than the {AXES} that a kernel counts");
    KernelError::Problem { op: "view", detail }
}

/// How a leaf is read.
#[derive(Clone, Copy)]
struct Read {
    how: How,
    /// Where reading begins, in elements or in fours.
    offset: Option<u32>,
    /// What the buffer is seen to hold; where that is f32 and fours are wanted, one element stands for all four.
    elem: Elem,
}

/// An [`Access`] with the numbers that a kernel is given, in elements or in fours.
#[derive(Clone, Copy)]
enum How {
    Same,
    Scalar,
    Repeated(u32),
    Held(u32),
    Padded([u32; AXES]),
    Strided([i32; AXES]),
}

impl How {
    /// `strides` are those of [`Group::walk`].
    fn of(access: &Access, strides: [i32; AXES]) -> Self {
        // What no kernel can number is an error of its family.
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        match *access {
            Access::Same | Access::Shifted(_) => How::Same,
            Access::Scalar => How::Scalar,
            Access::Repeated(period) => How::Repeated(number(period)),
            Access::Held(every) => How::Held(number(every)),
            Access::Padded(Padding { row, before, own, fill }) => {
                How::Padded([number(row), number(before), number(own), fill])
            }
            Access::Strided { .. } => How::Strided(strides),
        }
    }

    /// What takes a place of the `View`.
    fn numbers(self) -> Option<[u32; AXES]> {
        match self {
            How::Same | How::Scalar => None,
            How::Repeated(number) | How::Held(number) => Some([number, 0, 0, 0]),
            How::Padded(numbers) => Some(numbers),
            How::Strided(strides) => Some(strides.map(i32::cast_unsigned)),
        }
    }
}

/// How a kernel of that width reads a leaf: always somehow by one element. By four, where those are neighbours in the leaf
/// too, or all the same; in tensors whose elements are fours, all but the innermost stride count a quarter.
fn read(nodes: &Nodes, leaf: &Leaf, strides: [i32; AXES], width: Width) -> Option<Read> {
    let single = match nodes[leaf.node].dtype {
        DType::F32 => Elem::F32,
        DType::U32 => Elem::U32,
    };
    let (how, offset) = (How::of(&leaf.access, strides), leaf.offset());
    if width == Width::One {
        return Some(Read { how, offset, elem: single });
    }
    let quarter = |size: u32| size.is_multiple_of(4).then_some(size / 4);
    // By the axes as they were recorded, so that a batch of one sequence takes the pipelines of others.
    let rows =
        leaf.steps().is_none_or(|Steps { dims, .. }| dims.last().is_some_and(|row| row.is_multiple_of(4)));
    let outer = leaf.steps().is_none_or(|Steps { dims, strides, .. }| {
        strides[..dims.rank().saturating_sub(1)].iter().all(|stride| stride % 4 == 0)
    });
    let (how, elem) = match how {
        _ if !rows => return None,
        How::Same => (How::Same, Elem::F32x4),
        How::Scalar => (How::Scalar, single),
        How::Repeated(period) => (How::Repeated(quarter(period)?), Elem::F32x4),
        How::Held(every) => (How::Held(quarter(every)?), single),
        How::Padded([row, before, own, fill]) => {
            (How::Padded([quarter(row)?, quarter(before)?, quarter(own)?, fill]), Elem::F32x4)
        }
        How::Strided([.., 0]) => (how, single),
        How::Strided([a, b, c, 1]) if outer => (How::Strided([a / 4, b / 4, c / 4, 1]), Elem::F32x4),
        How::Strided(_) => return None,
    };
    // Of single elements the offset counts those.
    let offset = match offset {
        Some(offset) if elem == Elem::F32x4 => Some(quarter(offset)?),
        offset => offset,
    };
    (elem == single || single == Elem::F32).then_some(Read { how, offset, elem })
}

struct Writer<'a> {
    nodes: &'a Nodes,
    group: &'a Group,
    width: Width,
    /// Dimensions that strides are over.
    dims: [u32; AXES],
    /// By leaf.
    reads: Vec<Read>,
    /// The node that the kernel hands over as `value`.
    taken: Option<NodeId>,
    root: NodeId,
    body: String,
    /// Names of values already written.
    values: HashMap<NodeId, String>,
    count: usize,
    /// What the buffer behind the leaves holds.
    shared: Elem,
}

impl Writer<'_> {
    /// The code whose result is the node `start`.
    fn fusion(mut self, start: NodeId) -> Fusion {
        let result = self.value(start);
        let _ = write!(self.body, "    return {result};");
        let mut leaves: Vec<_> = self.reads.iter().map(|read| read.elem).collect();
        if self.group.reads_control {
            leaves.push(self.shared);
        }
        let [a, b, c, last] = self.dims;
        Fusion {
            code: FusedCode { body: self.body, leaves, states: 0 },
            dims: [a, b, c, last / self.width.elements()],
            ..Fusion::default()
        }
    }

    fn value(&mut self, id: NodeId) -> String {
        let id = self.nodes.base(id);
        if let Some(name) = self.values.get(&id) {
            return name.clone();
        }
        let node = &self.nodes[id];
        let same = Leaf { node: id, access: Access::Same };
        let expression = if self.taken == Some(id) {
            return "value".to_owned();
        } else if id != self.root && self.group.leaves.contains(&same) {
            self.load(&same)
        } else {
            match &node.op {
                Op::Constant(bits) => return format!("Value({})", literal(f32::from_bits(*bits))),
                Op::LossScale => format!("Value({}.loss_scale)", self.control()),
                // The graph of an update binds the statistics in place of the control buffer.
                Op::Number(number) => {
                    self.shared = Elem::F32;
                    format!("Value({}[{}u])", self.control(), number.place())
                }
                op if op.traits().kind == Kind::View => self.view(id),
                Op::Unary(function) => self.call(function.wgsl(), &node.inputs),
                Op::Binary(function) => self.call(function.wgsl(), &node.inputs),
                Op::Ternary(function) => self.call(function.wgsl(), &node.inputs),
                Op::ToF32 { .. } => format!("Value(to_f32({}))", self.value(node.inputs[0])),
                Op::Dropout { keep, stream } => {
                    let x = self.value(node.inputs[0]);
                    let keep = literal(f32::from_bits(*keep));
                    let function = match self.width {
                        Width::One => "dropout",
                        Width::Four => "dropout_four",
                    };
                    format!("{function}({x}, {keep}, {}.seed, {stream}u, index)", self.control())
                }
                // Everything else lies in memory and is a leaf.
                _ => self.load(&same),
            }
        };
        let name = format!("v{}", self.count);
        self.count += 1;
        let _ = writeln!(self.body, "    let {name} = {expression};");
        self.values.insert(id, name.clone());
        name
    }

    fn call(&mut self, function: &str, operands: &[NodeId]) -> String {
        let operands: Vec<_> = operands.iter().map(|&id| self.value(id)).collect();
        format!("{function}({})", operands.join(", "))
    }

    fn view(&mut self, id: NodeId) -> String {
        let input = self.nodes[id].inputs[0];
        let source = self.nodes.base(input);
        if is_number(self.nodes, id) {
            return self.value(source);
        }
        self.load(&Leaf { node: source, access: view_access(self.nodes, id) })
    }

    fn load(&self, leaf: &Leaf) -> String {
        let at = self.group.leaves.iter().position(|l| l == leaf).unwrap_or(self.group.leaves.len());
        let unknown = Read { how: How::Same, offset: None, elem: Elem::F32 };
        let Read { how, offset, elem } = self.reads.get(at).copied().unwrap_or(unknown);
        // Places of the `View` go by the order of the leaves; offsets stand together behind the last.
        let places = |reads: &[Read]| reads.iter().filter(|read| read.how.numbers().is_some()).count();
        let slot = places(&self.reads[..at.min(self.reads.len())]);
        let index = match how {
            How::Same => "index".to_owned(),
            How::Scalar => "0u".to_owned(),
            How::Repeated(_) => format!("repeated(index, params.view.s{slot}.x)"),
            How::Held(_) => format!("held(index, params.view.s{slot}.x)"),
            How::Padded(_) => format!("padded(index, params.view.s{slot})"),
            How::Strided(_) => format!("strided(index, params.view.dims, params.view.s{slot})"),
        };
        let index = match offset {
            None => index,
            Some(_) => {
                let before = self.reads[..at].iter().filter(|read| read.offset.is_some()).count();
                let component = ["x", "y", "z", "w"].get(before).copied().unwrap_or("w");
                format!("shifted({index}, params.view.s{}.{component})", places(&self.reads))
            }
        };
        let element = format!("leaf{at}[{index}]");
        match how {
            How::Padded(_) => {
                let pad = format!("params.view.s{slot}");
                format!("or_padding({element}, is_own(index, {pad}), {pad}.w)")
            }
            _ if elem == Elem::F32 && self.width == Width::Four => format!("Value({element})"),
            _ => element,
        }
    }

    /// The control buffer is bound after all other leaves.
    fn control(&self) -> String {
        format!("leaf{}", self.group.leaves.len())
    }
}

/// A number as WGSL; what has no literal there goes through its bits.
pub(super) fn literal(value: f32) -> String {
    if value.is_finite() { format!("{value:?}f") } else { format!("from_bits({}u)", value.to_bits()) }
}
