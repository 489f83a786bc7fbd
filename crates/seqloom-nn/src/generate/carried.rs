//! State tensors that stay on the device while a sequence is written token by token.
//!
//! Text generation and translation share this: the tensors of R rows as carried states of the graph, in a store with
//! its own states, so no two of them collide; the copies of a row for the sequences of a beam; and the moves of rows
//! when beams change places. Those moves are a separate program that runs only in steps that need it. Inside the step's
//! program they would cost a pass over all tensors in every step, and prevent new rows from being written in place.
//! Only the filled part of a cache is moved.

use seqloom_graph::{
    CacheUsage, Control, Following, Graph, HostTensor, ParamStore, Program, ProgramCache, Request, Tensor,
};

use crate::error::NnError;
use crate::state::StateShape;

/// Fewest steps of a cache that are moved; more are rounded up to a power of two, so that there are few programs.
const FEWEST_MOVED: usize = 16;

/// Programs that move rows, at most.
const MOVERS: usize = 8;

/// Device memory of a generator or translator in bytes, without the parameters and the slots that all programs share;
/// and the programs that it keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GenerationMemory {
    /// What is carried from step to step.
    pub states: u64,
    /// Inputs, constants and outputs of the programs.
    pub programs: u64,
    /// Their sum.
    pub total: u64,
    /// Programs by shape: how many shapes are kept, how many may be, and how many were dropped.
    pub shapes: CacheUsage,
}

impl GenerationMemory {
    /// This usage plus that of `carried` (its programs that move rows included) and `programs`.
    pub(crate) fn with<'a>(self, carried: &'a Carried, programs: impl Iterator<Item = &'a Program>) -> Self {
        let programs = programs.chain(carried.movers.values());
        let states = self.states + carried.store.state_bytes();
        let programs = self.programs + programs.map(|program| program.memory().unshared()).sum::<u64>();
        Self { states, programs, total: states + programs, ..self }
    }
}

/// The state of R rows on the device.
#[derive(Debug)]
pub(crate) struct Carried {
    store: ParamStore,
    layout: Layout,
    /// Programs that move rows, by how many steps of a cache they move; made when they are needed.
    movers: ProgramCache<usize>,
}

/// What the rows carry.
#[derive(Debug)]
struct Layout {
    tensors: Vec<(String, StateShape)>,
    rows: usize,
}

impl Carried {
    /// The state of `rows` rows, with these tensors.
    pub fn new(store: &ParamStore, rows: usize, shapes: Vec<StateShape>) -> Self {
        let tensors = shapes.into_iter().enumerate().map(|(i, shape)| (format!("state{i}"), shape)).collect();
        Self {
            store: store.with_own_states(),
            layout: Layout { tensors, rows },
            movers: ProgramCache::new(MOVERS),
        }
    }

    /// The parameters, with the states.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// The tensors as the last run left them.
    #[track_caller]
    pub fn before<'g>(&self, g: &'g Graph) -> Vec<Tensor<'g>> {
        self.layout.before(g)
    }

    /// The tensors after this run.
    #[track_caller]
    pub fn keep<'g>(&self, g: &'g Graph, state: &[Tensor<'g>]) {
        self.layout.keep(g, state);
    }

    /// The tensors after this run, from those of fewer rows, each row's `copies` times side by side.
    #[track_caller]
    pub fn begin<'g>(&self, g: &'g Graph, state: &[Tensor<'g>], copies: usize) {
        let Layout { tensors, rows } = &self.layout;
        let ids = (0..*rows).map(|row| u32::try_from(row / copies.max(1)).unwrap_or(u32::MAX));
        let ids = g.literal_u32(&[*rows], ids.collect());
        let spread = tensors.iter().zip(state).map(|((_, shape), tensor)| match copies {
            1 => *tensor,
            _ => rows_at(*tensor, shape.rows, ids),
        });
        self.keep(g, &spread.collect::<Vec<_>>());
    }

    /// Moves the state of row `parents[r]` to row r, after this many steps.
    pub fn reorder(&mut self, parents: &[usize], steps: usize) -> Result<(), NnError> {
        let stay = parents.iter().enumerate().all(|(row, &parent)| row == parent);
        if stay || self.layout.tensors.is_empty() {
            return Ok(());
        }
        let caches = self.layout.tensors.iter().filter(|(_, shape)| shape.cache);
        let longest = caches.filter_map(|(_, shape)| shape.dims.get(1).copied()).max().unwrap_or(0);
        let steps = steps.next_power_of_two().max(FEWEST_MOVED).min(longest);
        let (layout, movers) = (&self.layout, &mut self.movers);
        let mover = movers.get_or_try(&steps, || layout.compile_mover(&self.store, steps))?;
        let ids = parents.iter().map(|&parent| u32::try_from(parent).unwrap_or(u32::MAX)).collect();
        let parents = HostTensor::u32(&[layout.rows], ids)?;
        Ok(mover.run(&[("parents", &parents)], &Control::default())?)
    }
}

impl Layout {
    /// The tensors as the last run left them.
    #[track_caller]
    fn before<'g>(&self, g: &'g Graph) -> Vec<Tensor<'g>> {
        self.tensors.iter().map(|(name, shape)| g.state(name, &shape.dims)).collect()
    }

    /// The tensors after this run.
    #[track_caller]
    fn keep<'g>(&self, g: &'g Graph, state: &[Tensor<'g>]) {
        let _ = self.before(g);
        self.tensors.iter().zip(state).for_each(|((name, _), tensor)| g.keep(name, *tensor));
    }

    fn compile_mover(&self, store: &ParamStore, steps: usize) -> Result<Program, NnError> {
        let g = store.inference_graph();
        let parents = g.ids("parents", &[self.rows], self.rows);
        let state = self.before(&g).into_iter().zip(&self.tensors);
        let moved = state.map(|(tensor, (_, shape))| {
            if !shape.cache {
                return rows_at(tensor, shape.rows, parents);
            }
            // The filled steps, replacing those that were there.
            let steps = steps.min(tensor.dim(1));
            let start = Following::of(g.literal_u32(&[self.rows], vec![0; self.rows]), steps);
            tensor.append(rows_at(tensor.slice(1, 0, steps), shape.rows, parents), start)
        });
        self.keep(&g, &moved.collect::<Vec<_>>());
        Ok(Program::compile(store, &g, Request::default())?)
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
