//! The update of a training step: recorded by the optimizer for each parameter, and compiled.
//!
//! Adjacent parameters whose updates are the same elementwise code are one launch over their run. Other updates are recorded into one
//! graph, which the passes compile like a model's; its results are copied into parameters and states if the step counts.

use std::sync::Arc;

use seqloom_kernels::Fusion;

use crate::compile::Compiled;
use crate::compile::lower::update_code;
use crate::ir::error::Result;
use crate::ir::recording::Recording;
use crate::ir::roots::Roots;
use crate::ir::specs::ParamId;
use crate::record::graph::Graph;
use crate::record::optimizer::{Optimizer, Step};
use crate::run::arena::Arena;
use crate::run::store::ParamStore;
use crate::run::tuned::compile_tuned;

/// What updates parameters.
#[derive(Debug, Default)]
pub(crate) struct Update {
    pub fused: Vec<Fused>,
    pub rest: Option<Rest>,
}

/// Adjacent parameters that one kernel updates.
#[derive(Debug)]
pub(crate) struct Fused {
    pub run: Vec<ParamId>,
    pub fusion: Fusion,
    /// The states that the code keeps, in its order.
    pub states: Vec<&'static str>,
}

/// The graph of all other updates.
#[derive(Debug)]
pub(crate) struct Rest {
    pub compiled: Compiled,
    /// What its states are, by index.
    pub states: Vec<(Arena, ParamId)>,
    /// Whose gradients its inputs are, by index.
    pub inputs: Vec<ParamId>,
}

impl Update {
    /// The update of these parameters by an optimizer, which is attached to the store.
    ///
    /// # Errors
    /// What [`ParamStore::attach`] refuses; a mistake in what the optimizer records; what compiling refuses.
    pub fn record(store: &ParamStore, optimizer: &dyn Optimizer, ids: &[ParamId]) -> Result<Self> {
        store.attach(optimizer)?;
        let blank = || Graph::over(store.origin(), Arc::from([]), false);
        let (mut update, others) = (Self::default(), blank());
        let (mut states, mut inputs) = (Vec::new(), Vec::new());
        for run in store.runs(ids)? {
            let mut adjacent = false;
            for id in run {
                let graph = blank();
                record(store, optimizer, &graph, id);
                graph.check()?;
                let code = update_code(&graph.recording(), &roots(&graph.recording()));
                let kept = &store.kept_states()[id.index()];
                if let Some((fusion, touched)) = code {
                    // State 0 is the parameter.
                    let names: Vec<_> = touched.iter().map(|&state| kept[state - 1].name).collect();
                    update.fuse(id, fusion, names, adjacent);
                    adjacent = true;
                } else {
                    record(store, optimizer, &others, id);
                    states.push((Arena::Params, id));
                    states.extend(kept.iter().map(|kept| (Arena::State(kept.name), id)));
                    inputs.push(id);
                    adjacent = false;
                }
            }
        }
        if !inputs.is_empty() {
            others.check()?;
            let recording = others.recording();
            let compiled = compile_tuned(store.device(), false, &recording, &roots(&recording))?;
            update.rest = Some(Rest { compiled, states, inputs });
        }
        Ok(update)
    }

    /// Adds a parameter to the last run if it is adjacent and updated alike.
    fn fuse(&mut self, id: ParamId, fusion: Fusion, states: Vec<&'static str>, adjacent: bool) {
        let code =
            |fusion: &Fusion| (fusion.code.clone(), fusion.four.as_ref().map(|four| four.code.clone()));
        match self.fused.last_mut() {
            Some(last) if adjacent && last.states == states && code(&last.fusion) == code(&fusion) => {
                last.run.push(id);
            }
            _ => self.fused.push(Fused { run: vec![id], fusion, states }),
        }
    }
}

/// Records the update of one parameter.
fn record(store: &ParamStore, optimizer: &dyn Optimizer, graph: &Graph, id: ParamId) {
    let (index, spec) = (id.index(), &store.specs()[id.index()]);
    let step = Step::begin(graph, index, spec, store.treatment(index), &store.kept_states()[index]);
    let value = optimizer.update(&step);
    step.end(value);
}

/// What an update leaves: the states that it keeps, the parameters among them.
fn roots(recording: &Recording) -> Roots {
    let kept = recording.states.iter().enumerate().filter_map(|(state, spec)| Some((state, spec.kept?)));
    Roots { kept: kept.collect(), update: true, ..Roots::default() }
}
