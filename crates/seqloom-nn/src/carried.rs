//! State tensors that stay on the device while a sequence is written token by token.
//!
//! What generates text and what translates share this: the tensors of R rows as carried states of the graph, in a store with
//! states of its own, so that no two of them meet; the copies of a row for the sequences of a beam; and the move of rows when
//! sequences of a beam change places. That move is a program of its own, run only in steps that need it: within the step's
//! program it would cost two trips over all tensors in every step, and keep new rows from being written in place.

use seqloom_graph::{Control, Graph, HostTensor, ParamStore, Program, Request, Tensor};

use crate::error::NnError;

/// The state of R rows on the device.
#[derive(Debug)]
pub(crate) struct Carried {
    store: ParamStore,
    /// Name, dimensions and axis of rows of each tensor.
    tensors: Vec<(String, Vec<usize>, usize)>,
    rows: usize,
    /// Moves rows; made when it is first needed.
    mover: Option<Program>,
}

impl Carried {
    /// The state of `rows` rows, whose tensors have `shapes(rows)`.
    pub fn new(store: &ParamStore, rows: usize, shapes: impl Fn(usize) -> Vec<Vec<usize>>) -> Self {
        // The axis of rows is the one that grows with their number.
        let axis = |one: &Vec<usize>, two: &Vec<usize>| one.iter().zip(two).position(|(a, b)| a != b);
        let axes = shapes(1).iter().zip(&shapes(2)).map(|(a, b)| axis(a, b).unwrap_or(0)).collect::<Vec<_>>();
        let named = shapes(rows).into_iter().zip(axes).enumerate();
        let tensors = named.map(|(i, (shape, axis))| (format!("state{i}"), shape, axis)).collect();
        Self { store: store.with_own_states(), tensors, rows, mover: None }
    }

    /// The parameters, with the states.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// The tensors as the last run left them.
    #[track_caller]
    pub fn before<'g>(&self, g: &'g Graph) -> Vec<Tensor<'g>> {
        self.tensors.iter().map(|(name, shape, _)| g.state(name, shape)).collect()
    }

    /// The tensors after this run.
    #[track_caller]
    pub fn keep<'g>(&self, g: &'g Graph, state: &[Tensor<'g>]) {
        let _ = self.before(g);
        self.tensors.iter().zip(state).for_each(|((name, ..), tensor)| g.keep(name, *tensor));
    }

    /// The tensors after this run, from those of fewer rows, each row's `copies` times side by side.
    #[track_caller]
    pub fn begin<'g>(&self, g: &'g Graph, state: &[Tensor<'g>], copies: usize) {
        let ids = (0..self.rows).map(|row| u32::try_from(row / copies.max(1)).unwrap_or(u32::MAX));
        let ids = g.literal_u32(&[self.rows], ids.collect());
        let spread = self.tensors.iter().zip(state).map(|((_, _, axis), tensor)| match copies {
            1 => *tensor,
            _ => rows_at(*tensor, *axis, ids),
        });
        self.keep(g, &spread.collect::<Vec<_>>());
    }

    /// Puts what row `parents[r]` carries at row r.
    pub fn reorder(&mut self, parents: &[usize]) -> Result<(), NnError> {
        let stay = parents.iter().enumerate().all(|(row, &parent)| row == parent);
        if stay || self.tensors.is_empty() {
            return Ok(());
        }
        let mover = match self.mover.take() {
            Some(mover) => mover,
            None => self.compile_mover()?,
        };
        let ids = parents.iter().map(|&parent| u32::try_from(parent).unwrap_or(u32::MAX)).collect();
        let moved = mover.run(&[("parents", &HostTensor::u32(&[self.rows], ids)?)], &Control::default());
        self.mover = Some(mover);
        Ok(moved?)
    }

    fn compile_mover(&self) -> Result<Program, NnError> {
        let g = self.store.inference_graph();
        let parents = g.ids("parents", &[self.rows], self.rows);
        let state = self.before(&g).into_iter().zip(&self.tensors);
        let moved: Vec<_> = state.map(|(tensor, (.., axis))| rows_at(tensor, *axis, parents)).collect();
        self.keep(&g, &moved);
        Ok(Program::compile(&self.store, &g, Request::default())?)
    }
}

/// Index `ids[r]` of `axis` at r.
#[track_caller]
fn rows_at<'g>(x: Tensor<'g>, axis: usize, ids: Tensor<'g>) -> Tensor<'g> {
    let mut shape = x.shape().to_vec();
    let (has, wants) = (shape.get(axis).copied().unwrap_or(1), ids.dim(0));
    let (outer, inner) = (shape.iter().take(axis).product(), shape.iter().skip(axis + 1).product::<usize>());
    if let Some(rows) = shape.get_mut(axis) {
        *rows = wants;
    }
    if outer == 1 {
        return x.reshape(&[has, inner]).gather_rows(ids).reshape(&shape);
    }
    // Rows to the front and back.
    let front = x.reshape(&[outer, has, inner]).transpose(0, 1).reshape(&[has, outer * inner]);
    front.gather_rows(ids).reshape(&[wants, outer, inner]).transpose(0, 1).reshape(&shape)
}
