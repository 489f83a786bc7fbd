//! Something that can be measured repeatedly: a trainer's step, or a program's run without a trainer.
//!
//! One trait serves both, so the same lines measure timing, host time, memory and work for every workload. A new
//! workload needs a function that makes a [`Subject`] and a line in [`super::cases`].

use seqloom::graph::{Control, Objective, Program, Request};
use seqloom::prelude::custom::*;

use crate::error::Result;

/// Divisors of a figure, and other facts for a row.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Trainable numbers, if there is a model.
    pub params: Option<usize>,
    /// Tokens per step, if there are tokens.
    pub tokens: Option<usize>,
    /// Units of work that one timed step does: times are divided by it.
    pub per: usize,
    /// Runs of the program in one unit.
    pub runs: usize,
}

impl Default for About {
    /// One run of the program, without a model.
    fn default() -> Self {
        Self { params: None, tokens: None, per: 1, runs: 1 }
    }
}

/// A piece of work on the device.
pub trait Subject {
    /// Does one step and returns when the device is done, with the loss if there is one. The first one compiles.
    fn step(&mut self) -> Result<Option<f32>>;

    /// Asks for one unit of work without waiting for it; false if that is impossible.
    fn ask(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// The program behind the steps; `None` before the first.
    fn program(&self) -> Option<&Program>;

    /// Bytes that were planned before they were allocated.
    fn planned_bytes(&self) -> u64;

    /// A row's figures besides times.
    fn about(&self) -> About;
}

/// Steps of training over one batch.
pub struct Training<B, F> {
    pub trainer: Trainer<B, F>,
    pub batch: B,
    pub params: usize,
}

impl<B, F> Subject for Training<B, F>
where
    B: Batch,
    F: for<'g> Fn(&'g Graph, &B) -> Tensor<'g>,
{
    fn step(&mut self) -> Result<Option<f32>> {
        self.trainer.step(&self.batch)?;
        Ok(Some(self.trainer.loss()?))
    }

    fn ask(&mut self) -> Result<bool> {
        self.trainer.step(&self.batch)?;
        Ok(true)
    }

    fn program(&self) -> Option<&Program> {
        self.trainer.program()
    }

    fn planned_bytes(&self) -> u64 {
        self.trainer.memory().total
    }

    fn about(&self) -> About {
        About { params: Some(self.params), tokens: Some(self.batch.token_count()), ..About::default() }
    }
}

/// Records what a [`Calculation`] computes from its operands.
type Record = Box<dyn for<'g> Fn(&[Tensor<'g>]) -> Tensor<'g>>;

/// A function of random operands, on request with the gradients of all of them.
///
/// Operands are parameters: they are on the device, no step uploads them, and gradients flow to them.
pub struct Calculation {
    store: ParamStore,
    ids: Vec<ParamId>,
    record: Record,
    backward: bool,
    /// Runs that are queued before one wait.
    queued: usize,
    program: Option<Program>,
}

impl Calculation {
    /// With operands of these shapes, uniform in [-0.5, 0.5]. With `backward`, gradients of a weighted sum of the
    /// result.
    ///
    /// # Errors
    /// The device's.
    pub fn new(device: &Device, shapes: &[&[usize]], backward: bool, record: Record) -> Result<Self> {
        let mut params = Params::seeded(7);
        let add =
            |(at, shape): (usize, &&[usize])| params.add(&format!("operand{at}"), shape, Init::Uniform(0.5));
        let ids = shapes.iter().enumerate().map(add).collect();
        let kind = if backward { StoreKind::Training } else { StoreKind::Inference };
        let store = ParamStore::new(device, params, kind).map_err(seqloom::Error::from)?;
        Ok(Self { store, ids, record, backward, queued: 1, program: None })
    }

    /// The same, with this many runs in a step and one wait at the end.
    #[must_use]
    pub fn queued(mut self, runs: usize) -> Self {
        self.queued = runs.max(1);
        self
    }

    /// The program, compiled at the first call.
    ///
    /// # Errors
    /// The graph's or the device's.
    pub fn compiled(&mut self) -> Result<&Program> {
        if self.program.is_none() {
            let graph =
                if self.backward { self.store.training_graph() } else { self.store.inference_graph() };
            let operands: Vec<_> = self.ids.iter().map(|id| graph.param(*id)).collect();
            let result = (self.record)(&operands);
            let request = if self.backward {
                let objective = Some(Objective { loss: weighted(result), update: None });
                Request { outputs: &[], objective }
            } else {
                Request { outputs: &[("result", result)], objective: None }
            };
            self.program =
                Some(Program::compile(&self.store, &graph, request).map_err(seqloom::Error::from)?);
        }
        self.program.as_ref().ok_or_else(|| seqloom::Error::NoStep { what: "program" }.into())
    }
}

/// A sum with different weights, so the incoming gradient is an ordinary tensor and not all ones.
fn weighted(result: Tensor<'_>) -> Tensor<'_> {
    const GOLDEN: f32 = 0.618_034;
    let weights = (0..result.shape().elements()).map(|at| (at as f32 * GOLDEN).fract() - 0.5).collect();
    (result * result.graph().literal(&result.shape(), weights)).sum_all()
}

impl Subject for Calculation {
    fn step(&mut self) -> Result<Option<f32>> {
        for _ in 0..self.queued {
            self.ask()?;
        }
        self.store.device().wait()?;
        Ok(None)
    }

    fn ask(&mut self) -> Result<bool> {
        self.compiled()?.run(&[], &Control::default()).map_err(seqloom::Error::from)?;
        Ok(true)
    }

    fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    fn planned_bytes(&self) -> u64 {
        self.program.as_ref().map_or(0, |program| program.memory().total())
    }

    fn about(&self) -> About {
        About { per: self.queued, ..About::default() }
    }
}
