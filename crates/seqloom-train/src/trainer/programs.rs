//! The programs of a trainer: which batches share one, and how one is made.

use seqloom_graph::{DType, HostTensor, Objective, Optimizer, ParamStore, Program, Request, Shape};
use seqloom_nn::{Batch, Model};

use crate::error::Result;

/// What tells programs apart: names, types and shapes of a batch's tensors, the packed rows of its lengths, and its own key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    tensors: Vec<(&'static str, DType, Shape)>,
    extra: (u64, u64),
}

/// The program of a training step of an optimizer over batches like this one, or of its loss alone.
pub(super) fn compile<B>(
    store: &ParamStore,
    model: &impl Model<B>,
    batch: &B,
    optimizer: Option<&dyn Optimizer>,
) -> Result<Program> {
    let g = if optimizer.is_some() { store.training_graph() } else { store.inference_graph() };
    let loss = model.loss(&g, batch);
    let program = if optimizer.is_some() {
        let objective = Some(Objective { loss, update: optimizer });
        Program::compile(store, &g, Request { outputs: &[], objective })
    } else {
        Program::compile(store, &g, Request { outputs: &[("loss", loss)], objective: None })
    };
    Ok(program?)
}

/// The program of one of the batches of a step over several.
pub(super) fn compile_accumulating<B>(
    store: &ParamStore,
    model: &impl Model<B>,
    batch: &B,
) -> Result<Program> {
    let g = store.training_graph();
    let loss = model.loss(&g, batch);
    Ok(Program::accumulating(store, &g, loss)?)
}

/// A batch's key and tensors, or its fault.
pub(super) fn parts<B: Batch>(batch: &B) -> Result<(Key, Vec<(&'static str, &HostTensor)>)> {
    if let Some(fault) = batch.fault() {
        return Err(fault.clone().into());
    }
    let tensors = batch.tensors();
    let shapes = tensors.iter().map(|(name, tensor)| (*name, tensor.dtype(), tensor.shape())).collect();
    Ok((Key { tensors: shapes, extra: (batch.inputs().packing(), batch.key()) }, tensors))
}

/// The tensors that the model reads; a batch may have more.
pub(super) fn read<'b>(
    program: &Program,
    tensors: Vec<(&'static str, &'b HostTensor)>,
) -> Vec<(&'static str, &'b HostTensor)> {
    tensors.into_iter().filter(|(name, _)| program.takes(name)).collect()
}
