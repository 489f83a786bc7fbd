//! From a recording to launches and a memory plan: the passes, in order.
//!
//! | pass | promises |
//! |---|---|
//! | `simplify` | results of the roots keep their bits |
//! | `split` | a view goes over no more axes than a kernel counts |
//! | `place` | where nodes are in memory, who uses them, what states keep; the node list is frozen from here on |
//! | `bounds` | limits of the ids and lengths that operations index with, for the host to check |
//! | `fuse` | one row-major index per group; bindings fit the device |
//! | `along` | a norm fused into products: all its readers take it; a head: the norm is its first reader |
//! | `schedule` | units in order; whatever a unit reads is given or written earlier; one writer per node |
//! | `in_place` | an append writes over the state that keeps it, if all other readers of the state run earlier |
//! | `pair` | two adjacent, independent and equal appends in place become one unit |
//! | `reuse` | only a dying operand of the same index is written over |
//! | `lower` | launches; units without any are dropped |
//! | `plan` | live tensors share a slot only if one is written over the other |
//!
//! Nothing here opens or asks a device: a [`Target`] holds what is known of one. So the same recording, roots and
//! target give the same program, with or without an adapter. Each pass notes what it did ([`Compiled::log`]).

pub(crate) mod along;
pub(crate) mod bounds;
pub(crate) mod fuse;
pub(crate) mod group;
pub(crate) mod in_place;
pub(crate) mod lower;
pub(crate) mod pair;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod problem;
pub(crate) mod reuse;
pub(crate) mod schedule;
pub(crate) mod simplify;
pub(crate) mod split;
pub(crate) mod target;
pub(crate) mod unit;

use seqloom_kernels::Lowered;

use crate::compile::along::{take_heads, take_norms};
use crate::compile::bounds::{Limit, bounds};
use crate::compile::fuse::fuse;
use crate::compile::in_place::in_place;
use crate::compile::lower::lower;
use crate::compile::pair::pair;
use crate::compile::place::place;
use crate::compile::plan::{Plan, plan};
use crate::compile::reuse::reuse;
use crate::compile::schedule::schedule;
use crate::compile::simplify::simplify;
use crate::compile::split::split;
use crate::compile::target::Target;
use crate::compile::unit::{Fate, Schedule};
use crate::ir::error::{GraphError, Result};
use crate::ir::nodes::Nodes;
use crate::ir::recording::Recording;
use crate::ir::roots::Roots;

/// A recording on its way to a program, all but its buffers.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub nodes: Nodes,
    /// What was asked for, in the nodes that compute it.
    pub roots: Roots,
    pub limits: Vec<Limit>,
    pub schedule: Schedule,
    /// By unit.
    pub launches: Vec<Lowered>,
    pub plan: Plan,
    /// What each pass did, in order.
    pub log: Vec<(&'static str, String)>,
}

/// Compiles what `roots` need.
///
/// # Errors
/// A tensor that no buffer of the target holds; a problem without a kernel.
pub(crate) fn compile(recording: &Recording, roots: &Roots, target: Target<'_>) -> Result<Compiled> {
    let facts = target.facts;
    let mut log = Vec::new();
    let (list, roots) = simplify(&recording.nodes, roots.clone());
    log.push(("simplify", format!("{} recorded nodes are {}", recording.nodes.len(), list.len())));
    let (list, mut roots, added) = split(list, roots);
    log.push(("split", format!("{added} views added")));
    let simple = list.len();
    let nodes = place(list, &mut roots);
    let parts = nodes.iter().filter(|(id, _)| nodes.part(*id).is_some()).count();
    log.push(("place", format!("{} nodes added for roots, {parts} windows in place", nodes.len() - simple)));
    let limits = bounds(&nodes);
    log.push(("bounds", format!("{} limits of ids and lengths", limits.len())));
    fits(&nodes, facts.max_binding_bytes.min(facts.max_buffer_bytes))?;
    let mut fates = fuse(&nodes, &roots, facts);
    let along = fates.iter().filter(|fate| matches!(fate, Fate::Inline | Fate::Along(_))).count();
    log.push(("fuse", format!("{along} nodes run in the kernels of others")));
    let norms = take_norms(&nodes, facts, &mut fates);
    let heads = take_heads(&nodes, &mut fates);
    log.push(("along", format!("{norms} norms in products, {heads} heads of norms")));
    let mut schedule = schedule(&nodes, fates);
    log.push(("schedule", format!("{} units", schedule.units.len())));
    // A step of training may be skipped at its end, and must not have changed a state before.
    let appends = if roots.grads.is_empty() { in_place(&nodes, &mut schedule, &roots) } else { 0 };
    log.push(("in_place", format!("{appends} appends write into their states")));
    let pairs = pair(&nodes, &mut schedule);
    log.push(("pair", format!("{pairs} pairs of appends")));
    let over = reuse(&nodes, &mut schedule, &roots);
    log.push(("reuse", format!("{over} results are written over an operand")));
    let units = schedule.units.len();
    let (schedule, launches) = lower(&nodes, schedule, &roots, target)?;
    let count: usize = launches.iter().map(|lowered| lowered.launches.len()).sum();
    log.push(("lower", format!("{count} launches, {} units without any", units - launches.len())));
    let plan = plan(&nodes, &schedule, &launches, &roots);
    let bytes: u64 = plan.slots.iter().sum();
    log.push(("plan", format!("{} slots of {bytes} bytes together", plan.slots.len())));
    Ok(Compiled { nodes, roots, limits, schedule, launches, plan, log })
}

/// Every tensor must fit one buffer.
fn fits(nodes: &Nodes, limit: u64) -> Result<()> {
    match nodes.iter().find(|(_, node)| node.layout().bytes() > limit) {
        None => Ok(()),
        Some((_, node)) => Err(GraphError::TooLarge {
            what: format!("a tensor of shape {} recorded at {}", node.shape, node.at),
            needs: node.layout().bytes(),
            limit,
        }),
    }
}

#[cfg(test)]
mod tests {
    use seqloom_device::AdapterKind;
    use seqloom_kernels::tune::Tuned;

    use super::*;
    use crate::compile::target::example::facts;
    use crate::compile::unit::{Unit, Work};
    use crate::grad::gradients;
    use crate::ir::layout::DType;
    use crate::ir::op::Op;
    use crate::ir::specs::NodeId;
    use crate::record::following::Following;
    use crate::record::graph::Graph;
    use crate::record::params::{Init, Params};
    use crate::record::tensor::Tensor;

    const KINDS: [AdapterKind; 2] = [AdapterKind::Cpu, AdapterKind::Discrete];

    fn output(tensor: Tensor<'_>) -> Roots {
        Roots { outputs: vec![("y".to_owned(), tensor.id)], ..Roots::default() }
    }

    fn compiled(graph: &Graph, roots: &Roots, kind: AdapterKind) -> Compiled {
        graph.check().unwrap();
        let target = Target { facts: &facts(kind), tuned: &Tuned::default(), half: false };
        compile(&graph.recording(), roots, target).unwrap()
    }

    /// A layer with everything that runs along: an embedding with positions, a norm with a residual before it, a product with a
    /// bias and an activation, cross-entropy, and all gradients.
    fn step(graph: &Graph, ids: [crate::ir::specs::ParamId; 5]) -> Roots {
        let [table, places, scale, weight, bias] = ids.map(|id| graph.param(id));
        let tokens = graph.ids("tokens", &[6], 10);
        let x = table.gather_rows(tokens) + places;
        let h = (x * 0.5 + x.tanh()).layer_norm(Some(scale), None, 1e-5);
        let logits = (h.matmul_t(weight) + bias).gelu() + h.matmul_t(weight);
        let loss = logits.dropout(0.1).cross_entropy(tokens, None);
        let grads = gradients(loss).unwrap();
        Roots { grads: grads.iter().map(|(id, tensor)| (*id, tensor.id)).collect(), ..output(loss) }
    }

    fn model() -> (Params, [crate::ir::specs::ParamId; 5]) {
        let mut params = Params::seeded(1);
        let shapes: [(&str, &[usize]); 5] = [
            ("table", &[10, 8]),
            ("places", &[6, 8]),
            ("scale", &[8]),
            ("weight", &[10, 8]),
            ("bias", &[10]),
        ];
        let ids = shapes.map(|(name, shape)| params.add(name, shape, Init::Normal(1.0)));
        (params, ids)
    }

    /// What the passes promise of units and slots, asked of the result.
    fn keeps_its_promises(compiled: &Compiled) {
        let Compiled { nodes, roots, schedule, plan, .. } = compiled;
        let mut written = vec![false; nodes.len()];
        let given = |id: NodeId| nodes[id].op.traits().kind == crate::ir::traits::Kind::Given;
        let host = |id: NodeId| {
            matches!(nodes[id].op, Op::Output(_)) && matches!(nodes[nodes[id].inputs[0]].op, Op::Host(_))
        };
        for unit in &schedule.units {
            for &node in &unit.reads {
                let owner = nodes.owner(node);
                let itself = unit.writes.contains(&owner);
                assert!(
                    given(owner) || host(owner) || written[owner] || itself,
                    "{unit:?} reads {node} too early"
                );
            }
            for &node in &unit.writes {
                assert!(!written[node], "{node} is written twice");
                written[node] = true;
            }
        }
        let asked = roots.grads.iter().map(|(_, id)| id).chain(roots.outputs.iter().map(|(_, id)| id));
        asked.for_each(|&root| assert!(written[nodes.base(root)], "root {root} is not computed"));
        // From its writer to its last reader a slot is one tensor's, or handed on by `over`.
        let mut holds: Vec<Option<NodeId>> = vec![None; plan.slots.len()];
        for unit in &schedule.units {
            for &node in &unit.reads {
                let owner = nodes.owner(node);
                if let (Some(slot), false) = (plan.of_node[owner], unit.writes.contains(&owner)) {
                    assert_eq!(holds[slot], Some(owner), "{unit:?} finds another tensor in slot {slot}");
                }
            }
            for &node in &unit.writes {
                if let Some(slot) = plan.of_node[node] {
                    assert!(plan.slots[slot] >= nodes[node].layout().bytes());
                    holds[slot] = Some(node);
                }
            }
        }
    }

    #[test]
    fn a_training_step_keeps_every_promise_without_an_adapter() {
        let (params, ids) = model();
        for kind in KINDS {
            let graph = Graph::training(&params);
            let roots = step(&graph, ids);
            let compiled = compiled(&graph, &roots, kind);
            assert!(!compiled.schedule.units.is_empty());
            keeps_its_promises(&compiled);
        }
    }

    #[test]
    fn one_recording_compiles_to_one_program() {
        let (params, ids) = model();
        let graph = Graph::training(&params);
        let roots = step(&graph, ids);
        for kind in KINDS {
            let [a, b] = [(), ()].map(|()| compiled(&graph, &roots, kind));
            let text = |compiled: &Compiled| {
                format!("{:?} {:?} {:?}", compiled.schedule, compiled.launches, compiled.plan)
            };
            assert_eq!(text(&a), text(&b));
        }
    }

    #[test]
    fn every_pass_tells_what_it_did() {
        let (params, ids) = model();
        let graph = Graph::training(&params);
        let roots = step(&graph, ids);
        let compiled = compiled(&graph, &roots, AdapterKind::Cpu);
        let passes: Vec<_> = compiled.log.iter().map(|(pass, _)| *pass).collect();
        let all = "simplify split place bounds fuse along schedule in_place pair reuse lower plan";
        assert_eq!(passes.join(" "), all);
        let told = |pass: &str| compiled.log.iter().find(|(name, _)| *name == pass).unwrap().1.clone();
        assert_eq!(told("along"), "0 norms in products, 1 heads of norms");
        // Of the embedding, of its gradient and of the targets.
        assert_eq!(told("bounds"), "3 limits of ids and lengths");
    }

    /// A cache that is appended to and kept, beside what `more` computes of the cache and of the result.
    fn appended(more: impl for<'g> Fn(&'g Graph, Tensor<'g>, Tensor<'g>) -> Option<Tensor<'g>>) -> Compiled {
        let graph = Graph::inference(&Params::seeded(1));
        let following = Following::of(graph.input("first", &[2], DType::U32), 1);
        let cache = graph.state("cache", &[2, 8, 4]);
        let before = cache.tanh();
        let rows = graph.input("rows", &[2, 1, 4], DType::F32);
        let next = cache.append(rows, following);
        graph.keep("cache", next);
        let read = more(&graph, before, next).into_iter().map(|tensor| ("y".to_owned(), tensor.id)).collect();
        let roots = Roots { outputs: read, kept: vec![(0, next.id)], ..Roots::default() };
        compiled(&graph, &roots, AdapterKind::Cpu)
    }

    fn appends_in_place(compiled: &Compiled) -> Vec<&Unit> {
        compiled
            .schedule
            .units
            .iter()
            .filter(|unit| matches!(&unit.work, Work::Kernel(kernel) if compiled.nodes[kernel.of].op == Op::Append))
            .filter(|unit| !unit.over.is_empty())
            .collect()
    }

    #[test]
    fn an_append_writes_into_its_state_if_the_state_is_read_only_before() {
        assert_eq!(appends_in_place(&appended(|_, _, _| None)).len(), 1);
        // Read by a unit of its own that stands before the append, and after it by whoever reads the result.
        let read = appended(|_, before, next| Some(before.sum_all() + next.sum_all()));
        keeps_its_promises(&read);
        // Inlined into a reduction behind the append, the state would be read too late.
        let late = appended(|graph, _, next| {
            let cache = graph.state("cache", &[2, 8, 4]);
            Some((next * cache).sum_all())
        });
        assert!(appends_in_place(&late).is_empty());
        // Asked for by name too, the result must lie in an output.
        assert!(appends_in_place(&appended(|_, _, next| Some(next))).is_empty());
    }

    #[test]
    fn a_reduction_that_reads_the_state_before_leaves_it_to_the_append() {
        let graph = Graph::inference(&Params::seeded(1));
        let following = Following::of(graph.input("first", &[2], DType::U32), 1);
        let cache = graph.state("cache", &[2, 8, 4]);
        let total = cache.sum_all();
        let rows = graph.input("rows", &[2, 1, 4], DType::F32);
        let next = cache.append(rows, following);
        let roots = Roots { kept: vec![(0, next.id)], ..output(total) };
        let compiled = compiled(&graph, &roots, AdapterKind::Cpu);
        assert_eq!(appends_in_place(&compiled).len(), 1);
        keeps_its_promises(&compiled);
    }

    #[test]
    fn a_norm_that_reads_a_state_runs_in_the_product_behind_it() {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", &[4, 4], Init::Ones);
        let graph = Graph::inference(&params);
        let state = graph.state("h", &[1, 4]);
        let y = state.rms_norm(None, 1e-5).matmul_t(graph.param(weight));
        let compiled = compiled(&graph, &output(y), AdapterKind::Cpu);
        let norms = compiled
            .schedule
            .units
            .iter()
            .filter(|unit| matches!(&unit.work, Work::Kernel(kernel) if kernel.norm.is_some()));
        assert_eq!((compiled.schedule.units.len(), norms.count()), (1, 1));
        keeps_its_promises(&compiled);
    }

    #[test]
    fn keys_and_values_are_appended_by_one_dispatch() {
        let graph = Graph::inference(&Params::seeded(1));
        let following = Following::of(graph.input("first", &[2], DType::U32), 1);
        let rows = graph.input("rows", &[2, 1, 4], DType::F32);
        let kept = ["keys", "values"].map(|name| {
            let next = graph.state(name, &[2, 8, 4]).append(rows, following);
            graph.keep(name, next);
            next.id
        });
        let roots = Roots { kept: vec![(0, kept[0]), (1, kept[1])], ..Roots::default() };
        let compiled = compiled(&graph, &roots, AdapterKind::Cpu);
        let [unit] = appends_in_place(&compiled)[..] else { panic!("{:?}", compiled.schedule.units) };
        assert_eq!((unit.over.len(), unit.writes.len(), unit.reads.len()), (2, 2, 6));
    }

    #[test]
    fn states_that_swap_are_copied_before_any_is_kept() {
        let graph = Graph::inference(&Params::seeded(1));
        let [a, b] = ["a", "b"].map(|name| graph.state(name, &[4]));
        graph.keep("a", b);
        graph.keep("b", a);
        let roots = Roots { kept: vec![(0, b.id), (1, a.id)], ..Roots::default() };
        let compiled = compiled(&graph, &roots, AdapterKind::Cpu);
        let units = compiled.schedule.units.iter();
        let ops: Vec<_> = units.map(|unit| compiled.nodes[unit.at].op.traits().name).collect();
        assert_eq!(ops, ["copy", "copy", "keep", "keep"]);
        // What is kept lies in slots until then, and the states where they always do.
        assert_eq!(compiled.plan.slots, [16, 16]);
        keeps_its_promises(&compiled);
    }

    /// Where slices begin is given in numbers, so that another start needs no other pipeline.
    #[test]
    fn code_does_not_depend_on_where_a_slice_begins() {
        let code = |start: usize, row: usize| {
            let graph = Graph::inference(&Params::seeded(1));
            let x = graph.input("x", &[2, 8, 4], DType::F32);
            // By strides, and in one piece that cannot be bound where it begins.
            let y = x.slice(2, start, 2).tanh() + graph.input("w", &[4, 8, 2], DType::F32).slice(0, row, 2);
            let compiled = compiled(&graph, &output(y), AdapterKind::Discrete);
            let [launch] = &compiled.launches[0].launches[..] else { panic!("{:?}", compiled.launches) };
            (launch.wgsl.clone(), launch.immediates.clone())
        };
        let (first, other) = (code(0, 1), code(2, 2));
        assert_eq!(first.0, other.0);
        assert_ne!(first.1, other.1);
    }

    #[test]
    fn a_tensor_that_no_buffer_holds_is_refused() {
        let graph = Graph::inference(&Params::seeded(1));
        let y = graph.input("x", &[1 << 26], DType::F32).exp();
        let target = Target { facts: &facts(AdapterKind::Cpu), tuned: &Tuned::default(), half: false };
        let refused = compile(&graph.recording(), &output(y), target);
        assert!(matches!(refused, Err(GraphError::TooLarge { needs: 0x1000_0000, limit: 0x800_0000, .. })));
    }
}
