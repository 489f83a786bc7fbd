//! Reverse-mode differentiation: one vector–Jacobian product per operation, recorded into the graph itself.
//!
//! Only [`gradients`] accumulates: a tensor's gradient is the sum of its uses' contributions, added in the reverse
//! order of recording, so the same graph always sums in the same order. The table, [`vjp`], turns the gradient of a
//! node's output into those of its operands, as ordinary tensor expressions (the files of this folder, by family). The
//! simplifier then removes what is common or dead, and the fuser joins the rest into kernels. The order in which a rule
//! records also fixes the order of sums.

mod append;
mod attention;
mod contraction;
mod cross_entropy;
mod ctc;
mod embedding;
mod movement;
mod norm;
mod pointwise;
mod recurrent;
mod reduction;
mod softmax;
mod windows;

use std::collections::HashMap;

use crate::ir::error::{GraphError, Location, Result};
use crate::ir::layout::DType;
use crate::ir::nodes::Node;
use crate::ir::op::{Binary, Op, Unary};
use crate::ir::shape::Shape;
use crate::ir::specs::{NodeId, ParamId};
use crate::record::graph::Graph;
use crate::record::tensor::Tensor;

/// Gradients of the scalar `loss`, scaled by the control buffer's loss scale, with respect to each trained parameter it depends on.
pub(crate) fn gradients<'g>(loss: Tensor<'g>) -> Result<Vec<(ParamId, Tensor<'g>)>, GraphError> {
    let graph = loss.graph;
    let needed = depends_on_params(graph, loss.id);
    let at = loss.node().at;
    let seed = graph.push(Op::LossScale, &[], Shape::scalar(), DType::F32, at);
    let seed = if loss.shape() == Shape::scalar() { seed } else { seed.reshape(&loss.shape()) };
    // Gradients by (node, output): operations with several outputs receive one for each.
    let mut known: HashMap<(NodeId, usize), Tensor<'g>> = HashMap::from([((loss.id, 0), seed)]);
    let mut of_params = Vec::new();
    for id in (0..=loss.id).rev() {
        if !needed[id] {
            continue;
        }
        let node = graph.recording().nodes[id].clone();
        if let Op::Output(index) = node.op {
            if let Some(grad) = known.remove(&(id, 0)) {
                known.insert((node.inputs[0], index), grad);
            }
            continue;
        }
        let outputs = outputs_of(graph, id);
        let grads: Vec<Option<Tensor<'g>>> =
            (0..outputs.len().max(1)).map(|i| known.remove(&(id, i))).collect();
        if grads.iter().all(Option::is_none) {
            continue;
        }
        if let (Op::Param(param), Some(Some(grad))) = (&node.op, grads.first()) {
            of_params.push((*param, *grad));
            continue;
        }
        let this = Tensor { graph, id };
        let operands: Vec<_> = node.inputs.iter().map(|&id| Tensor { graph, id }).collect();
        let contributions = vjp(&node, this, &operands, &outputs, &grads)?;
        for (operand, contribution) in operands.iter().zip(contributions) {
            let Some(contribution) = contribution.filter(|_| needed[operand.id]) else { continue };
            known
                .entry((operand.id, 0))
                .and_modify(|sum| *sum = sum.binary("gradient", Binary::Add, contribution))
                .or_insert(contribution);
        }
    }
    graph.check()?;
    of_params.sort_by_key(|(param, _)| param.index());
    Ok(of_params)
}

fn depends_on_params(graph: &Graph, last: NodeId) -> Vec<bool> {
    let recording = graph.recording();
    let mut needed = vec![false; last + 1];
    for (id, node) in recording.nodes[..=last].iter().enumerate() {
        let trained = matches!(node.op, Op::Param(param) if graph.trains(param));
        needed[id] = trained || node.inputs.iter().any(|&input| needed[input]);
    }
    needed
}

/// The output nodes of an operation that has several; they follow it directly.
fn outputs_of(graph: &Graph, id: NodeId) -> Vec<Tensor<'_>> {
    let recording = graph.recording();
    let outputs = recording.nodes[id + 1..]
        .iter()
        .take_while(|n| matches!(n.op, Op::Output(_)) && n.inputs[0] == id)
        .count();
    (id + 1..=id + outputs).map(|id| Tensor { graph, id }).collect()
}

/// The table: operands' gradients from the output's, `None` where none flows.
fn vjp<'g>(
    node: &Node,
    y: Tensor<'g>,
    x: &[Tensor<'g>],
    outputs: &[Tensor<'g>],
    grads: &[Option<Tensor<'g>>],
) -> Result<Vec<Option<Tensor<'g>>>, GraphError> {
    let at = node.at;
    // For operations with one output, its gradient; the others take theirs from `grads`.
    let dy = grads.first().copied().flatten().unwrap_or(y);
    let one = |dx: Tensor<'g>| Ok(vec![Some(dx)]);
    match &node.op {
        Op::Unary(Unary::GeluGrad | Unary::GeluTanhGrad | Unary::SiluGrad | Unary::MishGrad)
        | Op::CrossEntropyGrad { .. }
        | Op::CtcGrad(_)
        | Op::NormGrad { .. }
        | Op::Skew { .. }
        | Op::GatherGrad
        | Op::PickGrad
        | Op::RecurrentGrad(_)
        | Op::AttentionGrad(..) => Err(second_order(&node.op, at)),
        Op::Unary(function) => Ok(vec![pointwise::unary(*function, x[0], y, dy)]),
        Op::Binary(function) => Ok(pointwise::binary(*function, x[0], x[1], y, dy)),
        Op::Ternary(function) => Ok(pointwise::ternary(*function, [x[0], x[1], x[2]], dy)),
        Op::Dropout { .. } => one(pointwise::dropout(&node.op, dy, at)),
        Op::Reshape => one(dy.reshape(&x[0].shape())),
        Op::Broadcast => one(dy.summed_to(x[0].shape(), at)),
        Op::Permute(order) => one(movement::permute(order, dy, at)),
        Op::Slice(cut) => one(movement::slice(*cut, x[0], dy, at)),
        Op::Window { axis, start, take, before, .. } => {
            one(movement::window((*axis, *start, *take, *before), x[0], dy, at))
        }
        Op::Windows { axis, step, dilation } => one(windows::backward(*axis, *step, *dilation, x[0], dy, at)),
        Op::Concat(joined) => Ok(movement::concat(joined, x, dy, at)),
        Op::Reduce { op, axis } => one(reduction::reduce(*op, *axis, x[0], y, dy, at)),
        Op::Scan { axis, reverse } => one(reduction::scan(*axis, *reverse, dy, at)),
        Op::MatMul { trans_a, trans_b } => Ok(contraction::matmul(*trans_a, *trans_b, x[0], x[1], dy)),
        Op::Softmax { log } => one(softmax::backward(*log, y, dy, at)),
        Op::Norm { centred, .. } => Ok(norm::backward(*centred, x, outputs, grads[0], at)),
        Op::CrossEntropy { ignore_index, smoothing } => {
            Ok(cross_entropy::backward((*ignore_index, *smoothing), x, outputs, grads[0], at))
        }
        Op::Ctc(how) => Ok(ctc::backward(*how, x, outputs, grads[0], at)),
        Op::Gather => Ok(embedding::gather(x, dy, at)),
        Op::Pick => Ok(embedding::pick(x, dy, at)),
        Op::Rearrange => Ok(embedding::rearrange(x, dy, at)),
        Op::Append => Ok(append::backward(x, dy)),
        Op::Recurrent(recurrence) => Ok(recurrent::backward(*recurrence, x, outputs, grads, at)),
        Op::Attention(attending) => {
            let Some(dy) = grads[0] else { return Ok(vec![None; x.len()]) };
            let learned = |t: Tensor<'g>| depends_on_params(t.graph, t.id)[t.id];
            Ok(attention::backward(*attending, x, outputs, dy, learned, at))
        }
        Op::Poison
        | Op::Input(_)
        | Op::Param(_)
        | Op::State(_)
        | Op::LossScale
        | Op::Number(_)
        | Op::Constant(_)
        | Op::Literal(_)
        | Op::ToF32 { .. }
        | Op::Arg { .. }
        | Op::Keep
        | Op::Host(_)
        | Op::Output(_) => Ok(vec![None; x.len()]),
    }
}

fn second_order(op: &Op, at: Location) -> GraphError {
    let detail = "gradients of its gradient are not available".to_owned();
    GraphError::Unsupported { op: op.traits().name, detail, at }
}
