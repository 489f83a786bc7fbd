//! Sequences that continue from run to run: the position of new steps, and a tensor that new rows are appended to.
//!
//! The host knows how far each row of a batch has come, so that number is an input, and the host derives positions and
//! lengths from it. A cache of keys and values is a carried state ([`Graph::state`]) of fixed size, appended to and
//! kept. Its new rows are written into the state, which costs as much as those rows and not as much as the cache. Two
//! caches of one shape, such as keys and values, take their rows in one dispatch. Only that input changes between
//! steps, so one program serves them all.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::Derivation;
use crate::ir::shape::Shape;
use crate::record::graph::Graph;
use crate::record::tensor::{Tensor, here};

/// T new steps of each row after those that it had before: a `Copy` handle, made by [`Graph::following`] or
/// [`Following::of`].
#[derive(Clone, Copy, Debug)]
pub struct Following<'g> {
    first: Tensor<'g>,
    time: usize,
}

impl Graph {
    /// Input: how many steps each row had before \[B\]; `time` new ones follow. The uses limit the number of steps; the
    /// host checks them before each run.
    #[track_caller]
    pub fn following(&self, name: &str, batch: usize, time: usize) -> Following<'_> {
        Following { first: self.input(name, &[batch], DType::U32), time }
    }
}

impl<'g> Following<'g> {
    /// `time` steps after `first` \[B\] of u32.
    #[track_caller]
    #[must_use]
    pub fn of(first: Tensor<'g>, time: usize) -> Self {
        let at = here();
        let first = match first.refuse("following", &[(first, DType::U32)], at) {
            Some(poisoned) => poisoned,
            None if first.rank() != 1 => first.shape_error("following", &[], "needs a number a row, [B]", at),
            None => first,
        };
        Self { first, time }
    }

    /// How many steps each row had before, \[B\] of u32: the position of the first new one.
    #[must_use]
    pub fn first(self) -> Tensor<'g> {
        self.first
    }

    /// Positions of the new steps, [B, T] of u32.
    #[must_use]
    pub fn positions(self) -> Tensor<'g> {
        self.derived(0).0
    }

    /// How many steps each row has with the new ones, \[B\] of u32: the lengths for attention.
    #[must_use]
    pub fn ends(self) -> Tensor<'g> {
        self.derived(0).1
    }

    /// Positions and ends, with `stride` added for each row before.
    pub(crate) fn derived(self, stride: usize) -> (Tensor<'g>, Tensor<'g>) {
        let (graph, first, time) = (self.first.graph, self.first, self.time);
        let shape = |dims: &[usize]| (Shape::new(dims).unwrap_or_default(), DType::U32);
        let outputs = [shape(&[first.dim(0), time]), shape(&[first.dim(0)])];
        let what = Op::Host(Derivation::Following { time, stride });
        match graph.push_outputs(what, &[first], &outputs, first.node().at)[..] {
            [positions, ends] => (positions, ends),
            // Never happens: there are as many tensors as shapes.
            _ => (first, first),
        }
    }
}

impl<'g> Tensor<'g> {
    /// `self` [B, S, ..] with `rows` [B, T, ..] written at the positions of `following`: y\[b, f_b + t\] = rows\[b,
    /// t\], y = self elsewhere.
    ///
    /// The rows are written into the state in place if `self` is a carried state, only earlier operations with their
    /// own kernels read it too, and the result is kept by that state ([`Graph::keep`]) and is no output. Otherwise the
    /// result is a copy. The host checks before each run that no row goes beyond S.
    #[track_caller]
    #[must_use]
    pub fn append(self, rows: Self, following: Following<'g>) -> Self {
        let (at, name) = (here(), "append");
        let operands = [(self, DType::F32), (rows, DType::F32), (following.first, DType::U32)];
        if let Some(poisoned) = self.refuse(name, &operands, at) {
            return poisoned;
        }
        let (cache, new) = (self.shape(), rows.shape());
        let alike = self.rank() >= 2 && rows.rank() == self.rank() && cache.with(1, new[1]) == new;
        if !alike || new[1] > cache[1] || following.first.shape()[..] != cache[..1] {
            let detail = "needs a cache [B, S, ..], rows [B, T, ..] with T up to S, and B numbers of steps";
            return self.shape_error(name, &[rows, following.first], detail, at);
        }
        if following.time != new[1] {
            let detail = format!("{} rows for {} steps", new[1], following.time);
            return self.argument_error(name, detail, at);
        }
        self.graph.push(Op::Append, &[self, rows, following.first], cache, DType::F32, at)
    }
}
