//! Where nodes lie: under another node's name, in another node's memory, or in their own; who uses them; copies of roots that
//! cannot be computed where they must lie; and what states keep. From here on the list of nodes is frozen.
//!
//! Windows need no copy where leading indices of a tensor lie in one piece: they are bound where they lie. A layer that keeps
//! several matrices in one parameter reads each of them so, and one that computes several things by one
//! product (the joint projection of attention, for a single row) reads them out of its result. Only where the window begins
//! at an offset that every adapter can bind; elsewhere fused code reads it through an offset, and for other kernels it is
//! copied. Reading several parts of one buffer in one dispatch is
//! allowed; reading one part and writing another is not (`reuse.rs`, `in_place.rs`).

use crate::ir::layout::ALIGNMENT;
use crate::ir::nodes::{Node, Nodes};
use crate::ir::op::{Op, Unary};
use crate::ir::roots::Roots;
use crate::ir::specs::NodeId;
use crate::ir::traits::Kind;
use crate::ir::view::steps;

/// Freezes the nodes; roots may move to copies behind them.
pub(crate) fn place(mut list: Vec<Node>, roots: &mut Roots) -> Nodes {
    let mut lying = Lying::of(&list);
    copy_roots(&mut list, roots, &lying);
    keep_states(&mut list, roots);
    lying.extend(&list);
    let Lying { base, place } = lying;
    let users = users(&list, &base, roots);
    Nodes::new(list, base, place, users)
}

/// By node, the one that it names, and the one in whose memory it lies with the byte at which it begins there.
#[derive(Default)]
struct Lying {
    base: Vec<NodeId>,
    place: Vec<(NodeId, u64)>,
}

impl Lying {
    fn of(list: &[Node]) -> Self {
        let mut lying = Self::default();
        lying.extend(list);
        lying
    }

    /// Goes on with the nodes that have come behind.
    fn extend(&mut self, list: &[Node]) {
        for (id, node) in list.iter().enumerate().skip(self.base.len()) {
            if node.op.traits().kind == Kind::Alias {
                let named = self.base[node.inputs[0]];
                self.base.push(named);
                self.place.push(self.place[named]);
                continue;
            }
            let cut = self.cut(list, id).filter(|(_, at)| at.is_multiple_of(ALIGNMENT));
            self.base.push(id);
            self.place.push(cut.unwrap_or((id, 0)));
        }
    }

    /// Where a slice begins that lies in one piece.
    fn cut(&self, list: &[Node], id: NodeId) -> Option<(NodeId, u64)> {
        let Op::Slice(_) = list[id].op else { return None };
        let whole = list[id].inputs[0];
        let steps = steps(&list[id].op, list[whole].shape, list[id].shape)?;
        // Nothing can be bound of no length.
        let some = list[id].shape.elements() > 0;
        let (owner, begins) = self.place[whole];
        let at = begins + list[whole].layout().offset(steps.offset as usize);
        (some && steps.in_one_piece()).then_some((owner, at))
    }
}

/// By node, who reads it, seen through reshapes; roots have a reader of their own, whose number is that of all nodes.
fn users(list: &[Node], base: &[NodeId], roots: &Roots) -> Vec<Vec<NodeId>> {
    let mut users = vec![Vec::new(); list.len()];
    for (id, node) in list.iter().enumerate().filter(|(id, _)| base[*id] == *id) {
        for &input in &node.inputs {
            let of: &mut Vec<NodeId> = &mut users[base[input]];
            if of.last() != Some(&id) {
                of.push(id);
            }
        }
    }
    for root in roots.iter() {
        users[base[root]].push(list.len());
    }
    users
}

/// Puts the keeping of states last, behind all copies, since states may swap what they hold.
fn keep_states(list: &mut Vec<Node>, roots: &mut Roots) {
    for (state, root) in &mut roots.kept {
        let op = Op::State(*state);
        let value = list[*root].clone();
        let held = list.iter().position(|node| node.op == op).unwrap_or_else(|| {
            list.push(Node { op, inputs: Vec::new(), ..value.clone() });
            list.len() - 1
        });
        list.push(Node { op: Op::Keep, inputs: vec![*root, held], ..value });
        *root = list.len() - 1;
    }
}

/// Puts a copy behind each root that cannot be computed where it must lie: one that is there already, and a gradient that other
/// nodes read (a kernel may not read and write one arena) or that serves twice.
fn copy_roots(list: &mut Vec<Node>, roots: &mut Roots, lying: &Lying) {
    let base = |id: NodeId| lying.base[id];
    let mut uses = vec![0; list.len()];
    for (_, node) in list.iter().enumerate().filter(|(id, _)| base(*id) == *id) {
        for &input in &node.inputs {
            uses[base(input)] += 1;
        }
    }
    for root in roots.iter() {
        uses[base(root)] += 1;
    }
    let grads = roots.grads.len();
    for (index, root) in roots.iter_mut().enumerate() {
        let id = base(*root);
        let fixed = list[id].op.traits().kind == Kind::Given || lying.place[id].0 != id;
        if fixed || (index < grads && uses[id] > 1) {
            list.push(Node { op: Op::Unary(Unary::Copy), inputs: vec![*root], ..list[*root].clone() });
            *root = list.len() - 1;
        }
    }
}
