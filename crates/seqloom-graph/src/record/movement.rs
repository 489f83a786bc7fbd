//! Methods that move elements without computing: reshape, transpose, slice, flip, pad, tile, concat, broadcast. They take every element
//! type: views of floats are operations of the device, which fusion makes strided reads; views of ids and lengths are made
//! on the host, where those come from ([`crate::ir::view`]).

use crate::ir::error::{Location, Result};
use crate::ir::joined::Joined;
use crate::ir::layout::DType;
use crate::ir::op::{Op, Unary};
use crate::ir::payload::{Cut, Derivation};
use crate::ir::shape::{MAX_RANK, Shape};
use crate::ir::steps::IN_ORDER;
use crate::ir::view::view;
use crate::record::tensor::{Tensor, here};

impl<'g> Tensor<'g> {
    /// The same elements in row-major order under another shape of the same number of elements.
    #[track_caller]
    #[must_use]
    pub fn reshape(self, shape: &[usize]) -> Self {
        let at = here();
        if self.is_poisoned() {
            return self;
        }
        match Shape::new(shape) {
            None => {
                let detail = format!("{shape:?} has more than {MAX_RANK} dimensions");
                self.shape_error("reshape", &[], &detail, at)
            }
            Some(to) if to.elements() == self.shape().elements() => self.unary_node(Op::Reshape, to, at),
            _ => self.shape_error("reshape", &[], &format!("{shape:?} does not hold the same elements"), at),
        }
    }

    /// Exchanges axes `a` and `b`; negative ones count from the back.
    #[track_caller]
    #[must_use]
    pub fn transpose(self, a: isize, b: isize) -> Self {
        let at = here();
        let (a, b) = match (self.axis("transpose", a, at), self.axis("transpose", b, at)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(poisoned), _) | (_, Err(poisoned)) => return poisoned,
        };
        self.exchanged(a, b, at)
    }

    /// Axes in another order: axis i of the result is axis `order[i]` of this tensor, as in PyTorch's `permute`; negative ones count
    /// from the back.
    ///
    /// Arithmetic that follows reads the elements where they are, without a copy, if they run along at most four axes once those that
    /// stay neighbours are counted as one.
    ///
    /// Errors: an order that does not name each axis once poisons the result.
    #[track_caller]
    #[must_use]
    pub fn permute(self, order: &[isize]) -> Self {
        let at = here();
        let mut axes = Vec::with_capacity(order.len());
        for &axis in order {
            match self.axis("permute", axis, at) {
                Ok(axis) => axes.push(axis),
                Err(poisoned) => return poisoned,
            }
        }
        if axes.len() != self.rank() || (0..self.rank()).any(|axis| !axes.contains(&axis)) {
            return self.shape_error("permute", &[], &format!("{order:?} does not name each axis once"), at);
        }
        self.permuted(&axes, at)
    }

    /// The `len` indices of `axis` from `start`.
    #[track_caller]
    #[must_use]
    pub fn slice(self, axis: isize, start: usize, len: usize) -> Self {
        let at = here();
        let axis = match self.axis("slice", axis, at) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        let has = self.dim(axis);
        if start.checked_add(len).is_none_or(|end| end > has) {
            let detail = format!("axis {axis} has {has} indices, not {start}..{start}+{len}");
            return self.shape_error("slice", &[], &detail, at);
        }
        self.window(axis, start, len, 0, self.shape().with(axis, len), at)
    }

    /// `len` indices of `axis`: `start`, `start + step`, `start + 2·step` and so on. A negative step goes back from `start`.
    ///
    /// Element i along the axis is x\[start + i·step\]. PyTorch's `x[a:b:s]` is `slice_step(0, a, ceil((b − a) / s), s)`.
    /// Arithmetic that follows reads the elements where they are, without a copy.
    ///
    /// Errors: a step of 0, or an index outside of the axis, poisons the result.
    #[track_caller]
    #[must_use]
    pub fn slice_step(self, axis: isize, start: usize, len: usize, step: isize) -> Self {
        let at = here();
        let axis = match self.axis("slice_step", axis, at) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        let has = self.dim(axis);
        let steps = isize::try_from(len.saturating_sub(1)).ok().and_then(|steps| steps.checked_mul(step));
        let last = steps.and_then(|steps| start.checked_add_signed(steps));
        let inside = len == 0 && start <= has || start < has && last.is_some_and(|last| last < has);
        if step == 0 || !inside {
            let detail = format!("axis {axis} has {has} indices: no {len} from {start} in steps of {step}");
            return self.shape_error("slice_step", &[], &detail, at);
        }
        // The step of a single index does not matter, and may be more than kernels can count.
        let step = if len > 1 { step } else { 1 };
        let shape = self.shape().with(axis, len);
        match (u32::try_from(start), i32::try_from(step)) {
            (_, Ok(1)) => self.window(axis, start, len, 0, shape, at),
            (Ok(start), Ok(step)) => self.moved(Op::Slice(Cut::along(axis, start, step)), shape, at),
            _ => self.shape_error("slice_step", &[], "more indices than can be counted", at),
        }
    }

    /// The elements of each of `axes` in reverse order; axes that are named twice are an error.
    ///
    /// Arithmetic that follows reads them backwards, without a copy.
    #[track_caller]
    #[must_use]
    pub fn flip(self, axes: &[isize]) -> Self {
        let at = here();
        let mut cut = Cut::WHOLE;
        for &axis in axes {
            let axis = match self.axis("flip", axis, at) {
                Ok(axis) => axis,
                Err(poisoned) => return poisoned,
            };
            if cut.steps[axis] < 0 {
                return self.shape_error("flip", &[], &format!("axis {axis} is named twice"), at);
            }
            cut.steps[axis] = -1;
            cut.starts[axis] = u32::try_from(self.dim(axis).saturating_sub(1)).unwrap_or(u32::MAX);
        }
        if self.is_poisoned() || axes.is_empty() {
            self
        } else {
            self.moved(Op::Slice(cut), self.shape(), at)
        }
    }

    /// Windows of `size` indices of `axis` as a new last axis, as PyTorch's `unfold`: each begins `step` behind the one before, and
    /// its elements lie `dilation` apart (PyTorch has 1). They overlap where `step` is less than they reach.
    ///
    /// y\[.., w, .., k\] = x\[.., w·step + k·dilation, ..\]
    ///
    /// Shapes: [.., N, ..] → [.., W, .., size] with W = ⌊(N − (size−1)·dilation − 1) / step⌋ + 1; what is left behind the last window
    /// is in none. Arithmetic that follows reads the elements where they are, without a copy. The gradient of an element is the
    /// sum over the windows that hold it.
    ///
    /// Errors: a size, step or dilation of 0, an axis too short for one window, and one dimension more than
    /// [`crate::MAX_RANK`] poison the result.
    #[track_caller]
    #[must_use]
    pub fn windows(self, axis: isize, size: usize, step: usize, dilation: usize) -> Self {
        let (at, name) = (here(), "windows");
        let axis = match self.axis(name, axis, at) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        let has = self.dim(axis);
        let reach = size.checked_sub(1).and_then(|last| last.checked_mul(dilation));
        let Some(left) =
            reach.and_then(|reach| has.checked_sub(reach)?.checked_sub(1)).filter(|_| step.min(dilation) > 0)
        else {
            let detail = format!(
                "axis {axis} has {has} indices: no window of {size}, step {step}, dilation {dilation}"
            );
            return self.shape_error(name, &[], &detail, at);
        };
        let mut dims = self.shape().to_vec();
        dims[axis] = left / step + 1;
        dims.push(size);
        // The step from the only window and the distance from the only element do not matter, and may be more than kernels can count.
        let step = if dims[axis] > 1 { step } else { 1 };
        let dilation = if size > 1 { dilation } else { 1 };
        match self.graph.shape(name, &dims, at) {
            Some(shape) => self.moved(Op::Windows { axis, step, dilation }, shape, at),
            None => self.shape_error(name, &[], &format!("{dims:?} is too large"), at),
        }
    }

    /// Adds `before` zeros in front of `axis` and `after` behind it; to ids, the id 0.
    #[track_caller]
    #[must_use]
    pub fn pad(self, axis: isize, before: usize, after: usize) -> Self {
        self.padded("pad", axis, [before, after], 0, here())
    }

    /// Adds `before` times `value` in front of `axis` and `after` times behind it; to ids, an id, so a whole number.
    ///
    /// Errors: for ids, a value that is none of 0, 1, 2 and so on poisons the result.
    #[track_caller]
    #[must_use]
    pub fn pad_with(self, axis: isize, before: usize, after: usize, value: f32) -> Self {
        let at = here();
        let id = value as u32;
        let fill = match self.dtype() {
            DType::F32 => value.to_bits(),
            DType::U32 if value.to_bits() == (id as f32).to_bits() && value < 4_294_967_296.0 => id,
            DType::U32 => return self.argument_error("pad_with", format!("{value} is no id"), at),
        };
        self.padded("pad_with", axis, [before, after], fill, at)
    }

    fn padded(self, op: &'static str, axis: isize, around: [usize; 2], fill: u32, at: Location) -> Self {
        let axis = match self.axis(op, axis, at) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        let size = around.into_iter().fold(self.dim(axis), usize::saturating_add);
        let mut dims = self.shape().to_vec();
        dims[axis] = size;
        match self.graph.shape(op, &dims, at) {
            Some(shape) => {
                let window = Op::Window { axis, start: 0, take: self.dim(axis), before: around[0], fill };
                self.moved(window, shape, at)
            }
            None => self.shape_error(op, &[], "too many elements", at),
        }
    }

    /// The tensor `times[i]` times along dimension i, as PyTorch's `tile` and `Tensor.repeat`: of fewer numbers than dimensions,
    /// they are the last ones'; of more, the tensor gets dimensions of 1 in front.
    ///
    /// Shapes: \[n₀, n₁, ..\] → \[times₀·n₀, times₁·n₁, ..\]; element i of an axis is x\[i mod n\].
    #[track_caller]
    #[must_use]
    pub fn tile(self, times: &[usize]) -> Self {
        let at = here();
        if self.is_poisoned() {
            return self;
        }
        let rank = self.rank().max(times.len());
        let mut dims = vec![1; rank - self.rank()];
        dims.extend_from_slice(&self.shape());
        let all = [&vec![1; rank - times.len()][..], times].concat();
        let mut tiled = self;
        // The last axes first: what lies in memory between two of them is then the smallest.
        for axis in (0..rank).rev().filter(|&axis| all[axis] != 1) {
            let outer: usize = dims[..axis].iter().product();
            let inner = dims[axis..].iter().product();
            dims[axis] = dims[axis].saturating_mul(all[axis]);
            if self.graph.shape("tile", &dims, at).is_none() {
                return self.shape_error("tile", &[], &format!("{times:?} times is too many elements"), at);
            }
            let stretched = self.graph.shape("tile", &[outer, all[axis], inner], at).unwrap_or_default();
            tiled = tiled.reshape(&[outer, 1, inner]).stretched(stretched, at);
        }
        match Shape::new(&dims) {
            Some(shape) if shape == tiled.shape() => tiled,
            Some(shape) => tiled.unary_node(Op::Reshape, shape, at),
            None => self.shape_error("tile", &[], &format!("{times:?} are too many dimensions"), at),
        }
    }

    /// Joins tensors of one element type along `axis`; all other dimensions must agree. The first is an argument of its own because
    /// there is no graph to record the joining of none.
    ///
    /// Shapes: [.., nⱼ, ..] → [.., Σ nⱼ, ..]. Each element is moved once, up to seven tensors by one dispatch. Slices are read where
    /// they lie, if the elements from the joined axis on are neighbours.
    #[track_caller]
    #[must_use]
    pub fn concat(first: Self, rest: &[Self], axis: isize) -> Self {
        let at = here();
        let index = match first.axis("concat", axis, at) {
            Ok(index) => index,
            Err(poisoned) => return poisoned,
        };
        let operands: Vec<_> =
            std::iter::once(first).chain(rest.iter().copied()).map(|t| (t, first.dtype())).collect();
        if let Some(poisoned) = first.refuse("concat", &operands, at) {
            return poisoned;
        }
        let outer = first.shape();
        if rest.iter().any(|t| t.rank() != first.rank() || t.shape().with(index, outer[index]) != outer) {
            return first.shape_error("concat", rest, "only the joined axis may differ", at);
        }
        let total = rest.iter().map(|t| t.dim(index)).fold(outer[index], usize::saturating_add);
        let Some(shape) = first.graph.shape("concat", &outer.with(index, total), at) else {
            return first.shape_error("concat", rest, "too many elements", at);
        };
        let parts: Vec<_> = operands.iter().map(|(part, _)| *part).collect();
        if first.dtype() == DType::U32 {
            let outer = outer[..index].iter().product();
            return first.derived(Derivation::Join { outer }, &parts, shape, at);
        }
        let joined = Joined::whole(index, parts.iter().map(|part| part.shape()));
        first.graph.push(Op::Concat(joined), &parts, shape, DType::F32, at)
    }

    /// Stretches to `shape` under NumPy's rule: dimensions align at the right, those of size 1 repeat.
    #[track_caller]
    #[must_use]
    pub fn broadcast_to(self, shape: &[usize]) -> Self {
        let at = here();
        if self.is_poisoned() {
            return self;
        }
        match self.graph.shape("broadcast_to", shape, at) {
            Some(to) if self.shape().broadcast(&to) == Some(to) => self.stretched(to, at),
            _ => self.shape_error("broadcast_to", &[], &format!("does not stretch to {shape:?}"), at),
        }
    }

    /// The same values, through which no gradient flows.
    #[track_caller]
    #[must_use]
    pub fn detach(self) -> Self {
        self.unary("detach", Unary::Detach)
    }

    /// Two axes exchanged.
    pub(crate) fn exchanged(self, a: usize, b: usize, at: Location) -> Self {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(a, b);
        self.permuted(&order, at)
    }

    /// Axes in another order, which names each once.
    pub(crate) fn permuted(self, axes: &[usize], at: Location) -> Self {
        let (from, mut to, mut order) = (self.shape(), self.shape(), IN_ORDER);
        for (axis, &source) in axes.iter().enumerate() {
            order[axis] = source as u8;
            to = to.with(axis, from[source]);
        }
        if order == IN_ORDER { self } else { self.moved(Op::Permute(order), to, at) }
    }

    /// `take` indices of `axis` from `start`, at `before` of a tensor of `shape` that is 0 elsewhere.
    pub(crate) fn window(
        self,
        axis: usize,
        start: usize,
        take: usize,
        before: usize,
        shape: Shape,
        at: Location,
    ) -> Self {
        self.moved(Op::Window { axis, start, take, before, fill: 0 }, shape, at)
    }

    /// Stretched to a shape it is known to broadcast to; itself where it has that shape.
    pub(crate) fn stretched(self, shape: Shape, at: Location) -> Self {
        if self.shape() == shape { self } else { self.moved(Op::Broadcast, shape, at) }
    }

    /// A view: of floats an operation of the device, of ids one that the host computes.
    fn moved(self, op: Op, shape: Shape, at: Location) -> Self {
        match view(&op, self.shape(), shape) {
            Some(view) if self.dtype() == DType::U32 => {
                self.derived(Derivation::View(view), &[self], shape, at)
            }
            _ => self.unary_node(op, shape, at),
        }
    }

    /// What the host derives of these ids.
    pub(crate) fn derived(self, what: Derivation, sources: &[Self], shape: Shape, at: Location) -> Self {
        self.graph.push_outputs(Op::Host(what), sources, &[(shape, DType::U32)], at)[0]
    }

    /// Two-dimensional: all axes but the last as rows.
    pub(crate) fn rows(self, op: &'static str, at: Location) -> Result<Self, Self> {
        let shape = self.shape();
        match shape.split_last() {
            Some((&columns, outer)) => {
                let to = Shape::new(&[outer.iter().product(), columns]).unwrap_or_default();
                Ok(if shape == to { self } else { self.unary_node(Op::Reshape, to, at) })
            }
            None => Err(self.shape_error(op, &[], "needs a last axis", at)),
        }
    }
}
