//! The code of an update whose elements depend only on elements of the same index: one kernel for all of it.
//!
//! The kernel hands the parameter's element over as `value` and has the gradient as its one leaf. New states are written when all
//! values are known, because a state may be read after its new value was computed.

use std::collections::HashMap;
use std::fmt::Write;

use seqloom_kernels::{Elem, FusedCode, Fusion, Width};

use crate::compile::lower::code::literal;
use crate::compile::simplify::simplify;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::recording::Recording;
use crate::ir::roots::Roots;
use crate::ir::specs::NodeId;
use crate::ir::traits::Kind;

/// The code of an update, and the indices of the states that it touches, in the order in which the kernel binds them; nothing if
/// an element depends on other elements. State 0 of the recording is the parameter, input 0 its gradient.
pub(crate) fn update_code(recording: &Recording, roots: &Roots) -> Option<(Fusion, Vec<usize>)> {
    let (nodes, roots) = simplify(&recording.nodes, roots.clone());
    let [one, four] = [Width::One, Width::Four].map(|width| write(&nodes, &roots, width));
    let ((code, states), (four, _)) = (one?, four?);
    let four = Some(Box::new(Fusion { code: four, ..Fusion::default() }));
    Some((Fusion { code, four, ..Fusion::default() }, states))
}

fn write(nodes: &[Node], roots: &Roots, width: Width) -> Option<(FusedCode, Vec<usize>)> {
    let mut writer = Writer { nodes, body: String::new(), values: HashMap::new(), states: Vec::new() };
    let mut kept = Vec::new();
    let mut result = "value".to_owned();
    for &(state, id) in &roots.kept {
        let value = writer.value(id)?;
        if state == 0 {
            result = value;
        } else {
            kept.push((writer.place(state), value));
        }
    }
    // The kernel binds the gradient, so it must be read.
    let reads_gradient = nodes.iter().any(|node| node.op == Op::Input(0));
    for (place, value) in kept {
        let _ = writeln!(writer.body, "    state{place}[index] = {value};");
    }
    let _ = writeln!(writer.body, "    return {result};");
    let elem = if width == Width::Four { Elem::F32x4 } else { Elem::F32 };
    let code = FusedCode { body: writer.body, leaves: vec![elem], states: writer.states.len() };
    reads_gradient.then_some((code, writer.states))
}

struct Writer<'a> {
    nodes: &'a [Node],
    body: String,
    /// Names of values already written.
    values: HashMap<NodeId, String>,
    /// Indices of the states that the kernel binds.
    states: Vec<usize>,
}

impl Writer<'_> {
    /// The binding of a state.
    fn place(&mut self, state: usize) -> usize {
        self.states.iter().position(|&known| known == state).unwrap_or_else(|| {
            self.states.push(state);
            self.states.len() - 1
        })
    }

    fn value(&mut self, id: NodeId) -> Option<String> {
        if let Some(name) = self.values.get(&id) {
            return Some(name.clone());
        }
        let node = &self.nodes[id];
        let expression = match &node.op {
            Op::State(0) => return Some("value".to_owned()),
            Op::State(state) => format!("state{}[index]", self.place(*state)),
            Op::Input(0) => "leaf0[index]".to_owned(),
            Op::Constant(bits) => return Some(format!("Value({})", literal(f32::from_bits(*bits)))),
            Op::Number(number) => return Some(format!("Value(numbers.{})", number.name())),
            // One number for all elements.
            Op::Broadcast | Op::Reshape if self.nodes[node.inputs[0]].shape.elements() == 1 => {
                let source = &self.nodes[node.inputs[0]];
                let scalar = !matches!(source.op.traits().kind, Kind::Given);
                return if scalar { self.value(node.inputs[0]) } else { None };
            }
            Op::Unary(function) => self.call(function.wgsl(), &node.inputs)?,
            Op::Binary(function) => self.call(function.wgsl(), &node.inputs)?,
            Op::Ternary(function) => self.call(function.wgsl(), &node.inputs)?,
            _ => return None,
        };
        let name = format!("v{}", self.values.len());
        let _ = writeln!(self.body, "    let {name} = {expression};");
        self.values.insert(id, name.clone());
        Some(name)
    }

    fn call(&mut self, function: &str, operands: &[NodeId]) -> Option<String> {
        let operands = operands.iter().map(|&id| self.value(id)).collect::<Option<Vec<_>>>()?;
        Some(format!("{function}({})", operands.join(", ")))
    }
}
