//! A function of tensors as a trained program: its outputs, the loss over them, and the gradient of every float
//! operand.
//!
//! Operands of f32 become parameters, because a program has gradients only for parameters. Operands of u32 become
//! inputs named `in0`, `in1`, … by their position among all operands.

use seqloom_device::Device;
use seqloom_graph::{
    Arena, Control, DType, Graph, HostData, HostTensor, Init, Objective, ParamId, ParamStore, Params,
    Program, Request, StoreKind, Tensor,
};

/// A compiled function of tensors.
pub struct Case {
    store: ParamStore,
    program: Program,
    inputs: Vec<(String, HostTensor)>,
    outputs: usize,
    control: Control,
}

/// What a recorded function hands back.
pub struct Recorded<'g> {
    /// Tensors to read as outputs 0, 1, …
    pub outputs: Vec<Tensor<'g>>,
    /// The scalar to differentiate.
    pub loss: Tensor<'g>,
}

impl Case {
    /// Records `function` over `operands` for training and compiles it, without an update of the parameters.
    ///
    /// # Panics
    /// If recording or compiling fails, with the graph's error.
    #[must_use]
    pub fn compile(
        device: &Device,
        operands: &[HostTensor],
        function: impl for<'g> FnOnce(&'g Graph, &[Tensor<'g>]) -> Recorded<'g>,
    ) -> Self {
        let mut params = Params::seeded(0);
        let ids: Vec<Option<ParamId>> = operands
            .iter()
            .enumerate()
            .map(|(i, operand)| match operand.data() {
                HostData::F32(v) => {
                    Some(params.add(&format!("in{i}"), &operand.shape(), Init::Values(v.clone())))
                }
                _ => None,
            })
            .collect();
        let graph = Graph::training(&params);
        let tensors: Vec<Tensor<'_>> = ids
            .iter()
            .zip(operands)
            .enumerate()
            .map(|(i, (id, operand))| match id {
                Some(id) => graph.param(*id),
                None => graph.feed(&format!("in{i}"), operand),
            })
            .collect();
        let Recorded { outputs, loss } = function(&graph, &tensors);
        graph.check().unwrap_or_else(|error| panic!("recording: {error}"));
        let names: Vec<String> = (0..outputs.len()).map(|i| format!("out{i}")).collect();
        let named: Vec<(&str, Tensor<'_>)> =
            names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
        let store = ParamStore::new(device, params, StoreKind::Training).unwrap();
        let request = Request { outputs: &named, objective: Some(Objective { loss, update: None }) };
        let program =
            Program::compile(&store, &graph, request).unwrap_or_else(|error| panic!("compiling: {error}"));
        let inputs = operands
            .iter()
            .enumerate()
            .filter(|(_, operand)| operand.dtype() == DType::U32)
            .map(|(i, operand)| (format!("in{i}"), operand.clone()))
            .collect();
        // Every field that affects a gradient: the scale of the loss, and a seed for dropout.
        let control = Control { loss_scale: 1.0, seed: 7, ..Control::default() };
        Self { store, program, inputs, outputs: names.len(), control }
    }

    /// The program, to look at.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Replaces the values of float operand `index` (counted among the float operands).
    ///
    /// # Panics
    /// If the device fails.
    pub fn set(&self, index: usize, values: &[f32]) {
        self.store.write(Arena::Params, index, values).unwrap();
    }

    /// Uses another seed from the next run on.
    pub fn set_seed(&mut self, seed: u32) {
        self.control.seed = seed;
    }

    /// Runs once and returns the loss.
    ///
    /// # Panics
    /// If the device fails.
    #[must_use]
    pub fn loss(&self) -> f32 {
        let inputs: Vec<(&str, &HostTensor)> =
            self.inputs.iter().map(|(name, t)| (name.as_str(), t)).collect();
        self.program.run(&inputs, &self.control).unwrap();
        self.program.read("loss").unwrap().wait().unwrap()[0]
    }

    /// The outputs of the last run.
    ///
    /// # Panics
    /// If the device fails.
    #[must_use]
    pub fn outputs(&self) -> Vec<Vec<f32>> {
        (0..self.outputs).map(|i| self.program.read(&format!("out{i}")).unwrap().wait().unwrap()).collect()
    }

    /// The gradients of the float operands from the last run, in their order.
    ///
    /// # Panics
    /// If the device fails.
    #[must_use]
    pub fn gradients(&self) -> Vec<Vec<f32>> {
        self.store.read(Arena::Grads).unwrap()
    }
}

/// Σ over outputs of Σ output·weight, the loss of golden cases.
///
/// # Panics
/// If there are not as many weights as outputs, or none.
#[must_use]
pub fn weighted_sum<'g>(graph: &'g Graph, outputs: &[Tensor<'g>], weights: &[&HostTensor]) -> Tensor<'g> {
    assert_eq!(outputs.len(), weights.len(), "one weight for each output");
    let terms = outputs.iter().zip(weights).map(|(output, weight)| {
        let HostData::F32(values) = weight.data() else { panic!("weights are f32") };
        (*output * graph.literal(&weight.shape(), values.clone())).sum_all()
    });
    terms.reduce(|sum, term| sum + term).expect("an output")
}
