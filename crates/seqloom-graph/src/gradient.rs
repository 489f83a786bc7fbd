//! Reverse-mode differentiation: one vector–Jacobian product per operation, recorded into the graph itself.
//!
//! Accumulation is stated once, in [`gradients`]: a tensor's gradient is the sum of what its uses contribute, added in the
//! reverse order of recording, so the same graph always sums in the same order. The table, [`vjp`], turns the gradient of
//! a node's output into those of its operands, as ordinary tensor expressions; what is then common or dead the
//! simplifier removes, and the fuser joins the rest into kernels.

use std::collections::HashMap;

use crate::graph::Graph;
use crate::ir::error::{GraphError, Location};
use crate::ir::layout::DType;
use crate::ir::nodes::Node;
use crate::ir::op::{Binary, Op, ReduceOp, Unary};
use crate::ir::payload::Derivation;
use crate::ir::shape::Shape;
use crate::ir::specs::{NodeId, ParamId};
use crate::tensor::Tensor;

/// Gradients of the scalar `loss`, scaled by the control buffer's loss scale, with respect to each parameter it depends on.
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
        needed[id] = matches!(node.op, Op::Param(_)) || node.inputs.iter().any(|&input| needed[input]);
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
    let graph = y.graph;
    // For operations with one output, its gradient; the others take theirs from `grads`.
    let dy = grads.first().copied().flatten().unwrap_or(y);
    let one = |dx: Tensor<'g>| Ok(vec![Some(dx)]);
    match &node.op {
        Op::Unary(Unary::GeluGrad) => Err(second_order("gelu", at)),
        Op::Unary(Unary::GeluTanhGrad) => Err(second_order("gelu_tanh", at)),
        Op::Unary(Unary::SiluGrad) => Err(second_order("silu", at)),
        Op::Unary(function) => Ok(vec![unary(*function, x[0], y, dy)]),
        Op::Binary(function) => {
            let [a, b] = [x[0], x[1]];
            Ok(match function {
                Binary::Add => vec![Some(dy), Some(dy)],
                Binary::Sub => vec![Some(dy), Some(-dy)],
                Binary::Mul => vec![Some(dy * b), Some(dy * a)],
                Binary::Div => vec![Some(dy / b), Some(-(dy * y / b))],
                Binary::Max => vec![Some(dy * winner(a, b)), Some(dy * winner(b, a))],
                Binary::Min => vec![Some(dy * winner(b, a)), Some(dy * winner(a, b))],
                Binary::Greater | Binary::Less | Binary::Equal => vec![None, None],
            })
        }
        // The same mask again: it depends only on the seed, the stream and the index.
        Op::Dropout { .. } => one(dy.unary_node(node.op.clone(), dy.shape(), at)),
        Op::Reshape => one(dy.reshape(&x[0].shape())),
        Op::Broadcast => one(dy.summed_to(x[0].shape(), at)),
        // A permutation made by `transpose` exchanges two axes and is its own inverse.
        Op::Permute(_) => one(dy.unary_node(node.op.clone(), x[0].shape(), at)),
        // What was taken goes back to where it came from.
        Op::Window { axis, start, take, before } => {
            one(dy.window(*axis, *before, *take, *start, x[0].shape(), at))
        }
        Op::Reduce { op, axis } => {
            let kept = x[0].shape().with(*axis, 1);
            let back = |t: Tensor<'g>| t.reshape(&kept).stretched(x[0].shape(), at);
            match op {
                ReduceOp::Sum => one(back(dy)),
                ReduceOp::Max => {
                    let greatest = x[0].equal(back(y));
                    let ties = greatest.reduce_axis(ReduceOp::Sum, *axis, at);
                    one(greatest * back(dy / ties))
                }
            }
        }
        Op::MatMul { trans_a, trans_b } => {
            let [a, b] = [x[0], x[1]];
            let name = "gradient of matmul";
            let da = if *trans_a {
                b.product(name, dy, *trans_b, true)
            } else {
                dy.product(name, b, false, !trans_b)
            };
            let db = if *trans_b {
                dy.product(name, a, true, *trans_a)
            } else {
                a.product(name, dy, !trans_a, false)
            };
            Ok(vec![Some(da), Some(db)])
        }
        Op::Softmax { log } => {
            let row = Shape::new(&[y.dim(0), 1]).unwrap_or_default();
            let spread = |t: Tensor<'g>| t.reshape(&row).stretched(y.shape(), at);
            one(if *log { dy - y.exp() * spread(dy.sum(-1)) } else { y * (dy - spread((dy * y).sum(-1))) })
        }
        Op::Norm { centred, .. } => Ok(crate::norm::backward(*centred, x, outputs, grads[0], at)),
        Op::CrossEntropy { ignore_index, smoothing } => {
            Ok(crate::cross_entropy::backward((*ignore_index, *smoothing), x, outputs, grads[0], at))
        }
        Op::Gather => {
            let vocab = x[0].dim(0);
            let order = (x[1].shape(), DType::U32);
            let starts = (Shape::new(&[vocab + 1]).unwrap_or_default(), DType::U32);
            let what = Op::Host(Derivation::Segments { vocab });
            let sorted = graph.push_outputs(what, &[x[1]], &[order, starts], at);
            let table = graph.push(Op::GatherGrad, &[dy, sorted[0], sorted[1]], x[0].shape(), DType::F32, at);
            Ok(vec![Some(table), None])
        }
        Op::Append { .. } => Ok(crate::following::backward(x, dy)),
        Op::Rearrange => Ok(vec![Some(dy.rearranged(x[2], x[1], at)), None, None]),
        Op::Recurrent(recurrence) => Ok(crate::recurrent::backward(*recurrence, x, outputs, grads, at)),
        Op::Attention(attending) => {
            let Some(dy) = grads[0] else { return Ok(vec![None; x.len()]) };
            let learned = |t: Tensor<'g>| depends_on_params(graph, t.id)[t.id];
            Ok(crate::attention::backward(*attending, x, outputs, dy, learned, at))
        }
        Op::Poison
        | Op::Input(_)
        | Op::Param(_)
        | Op::State(_)
        | Op::LossScale
        | Op::Constant(_)
        | Op::Literal(_)
        | Op::ToF32
        | Op::Host(_)
        | Op::Output(_) => Ok(vec![None; x.len()]),
        Op::CrossEntropyGrad { .. } => Err(second_order("cross_entropy", at)),
        Op::NormGrad { centred } => Err(second_order(crate::norm::name(*centred), at)),
        Op::GatherGrad => Err(second_order("gather_rows", at)),
        Op::RecurrentGrad(recurrence) => Err(second_order(recurrence.name(), at)),
        Op::AttentionGrad(..) => Err(second_order("attention", at)),
    }
}

fn unary<'g>(function: Unary, x: Tensor<'g>, y: Tensor<'g>, dy: Tensor<'g>) -> Option<Tensor<'g>> {
    let zero = || x.graph.constant(0.0, x.node().at);
    Some(match function {
        Unary::Copy => dy,
        Unary::Detach | Unary::Sign | Unary::GeluGrad | Unary::GeluTanhGrad | Unary::SiluGrad => return None,
        Unary::Neg => -dy,
        Unary::Exp => dy * y,
        Unary::Ln => dy / x,
        Unary::Sqrt => dy * 0.5 / y,
        Unary::Recip => -(dy * y.square()),
        Unary::Tanh => dy * (1.0 - y.square()),
        Unary::Sigmoid => dy * (y * (1.0 - y)),
        Unary::Relu => dy * x.greater(zero()),
        Unary::Gelu => dy * x.unary("gelu", Unary::GeluGrad),
        Unary::GeluTanh => dy * x.unary("gelu_tanh", Unary::GeluTanhGrad),
        Unary::Silu => dy * x.unary("silu", Unary::SiluGrad),
        Unary::Abs => dy * x.unary("abs", Unary::Sign),
        Unary::Square => dy * x * 2.0,
    })
}

/// 1 where `a` is greater, ½ where equal, else 0.
fn winner<'g>(a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    a.greater(b) + a.equal(b) * 0.5
}

fn second_order(op: &'static str, at: Location) -> GraphError {
    GraphError::Unsupported { op, detail: "gradients of its gradient are not available".to_owned(), at }
}
