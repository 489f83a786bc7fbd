//! A training step over several batches: their gradients are summed on the device, then one update follows.
//!
//! Each batch runs by a program that adds its gradients, times the batch's share of the whole, to arenas of sums
//! ([`Program::accumulating`]). Here is what comes before them and behind them: sums of 0, and the norm, the clip and the update
//! over the parameters that any of the programs reached.

use seqloom_device::{Device, Dispatch, Slice};
use seqloom_kernels::Control;

use crate::ir::error::Result;
use crate::ir::layout::DType;
use crate::ir::specs::ParamId;
use crate::record::optimizer::Optimizer;
use crate::run::bind::bind_sums;
use crate::run::reading::{Output, ReadTensors};
use crate::run::store::ParamStore;
use crate::run::update::Update;

/// The beginning and the end of a step over several batches.
///
/// What the statistics of a usual step are outputs of its program, `grad_norm` and `skipped`, [`Accumulation::apply`] gives: the norm
/// of the summed gradient, and 1 if it was not finite, and nothing was changed. Carried states of models follow each batch, also of
/// a step that is skipped.
#[derive(Debug)]
pub struct Accumulation {
    device: Device,
    control: Slice,
    clear: Vec<Dispatch>,
    apply: Vec<Dispatch>,
    outputs: [Output; 2],
    decays: [f32; 2],
    params: Vec<ParamId>,
    /// Keeps the arenas that the dispatches bind.
    store: ParamStore,
}

impl Accumulation {
    /// For a step of this optimizer over these parameters.
    ///
    /// # Errors
    /// As [`crate::Program::compile`] with an update.
    pub fn new(store: &ParamStore, optimizer: &dyn Optimizer, params: &[ParamId]) -> Result<Self> {
        let update = Update::record(store, optimizer, params)?;
        let bound = bind_sums(store, &update, params)?;
        let output = |name: &str, at: usize| {
            let place =
                bound.stats.buffer.slice(bound.stats.offset + DType::F32.bytes(at), DType::F32.bytes(1));
            Output { name: name.to_owned(), place, len: 1 }
        };
        Ok(Self {
            device: store.device().clone(),
            outputs: [output("grad_norm", 0), output("skipped", 2)],
            control: bound.control,
            clear: bound.clear,
            apply: bound.apply,
            decays: optimizer.decays().map(|decay| decay as f32),
            params: params.to_vec(),
            store: store.clone(),
        })
    }

    /// The parameters that it updates.
    #[must_use]
    pub fn params(&self) -> &[ParamId] {
        &self.params
    }

    /// The norm of the last step's summed gradient, before the clip. Waits for it.
    ///
    /// # Errors
    /// The device's failure.
    pub fn grad_norm(&self) -> Result<f32> {
        let [norm] = ReadTensors::begin(&self.device, [&self.outputs[0]]).wait()?;
        Ok(norm.first().copied().unwrap_or(f32::NAN))
    }

    /// Begins a step: the sums are 0. Does not wait.
    ///
    /// # Errors
    /// The device's failure.
    pub fn begin(&self) -> Result<()> {
        let _turn = self.store.slots();
        Ok(self.device.submit(&self.clear)?)
    }

    /// Ends it: updates the parameters by the summed gradients, and starts to read `grad_norm` and `skipped`. Does not wait.
    ///
    /// # Errors
    /// The device's failure.
    pub fn apply(&self, control: &Control) -> Result<ReadTensors<2>> {
        let [beta1, beta2] = self.decays;
        let control = Control { beta1, beta2, ..*control };
        let _turn = self.store.slots();
        self.device.write(&self.control, bytemuck::bytes_of(&control))?;
        self.device.submit(&self.apply)?;
        let [norm, skipped] = &self.outputs;
        Ok(ReadTensors::begin(&self.device, [norm, skipped]))
    }
}
