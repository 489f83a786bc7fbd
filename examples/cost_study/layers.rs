//! The layers that are compared, and one training step of each.

use seqloom::graph::{Control, Objective, Program, Request};
use seqloom::prelude::custom::*;

use crate::{Options, Outcome};

/// A layer over T steps of d channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A recurrent layer.
    Lstm,
    /// Every step attends to all before it.
    Full,
    /// Every step attends to the w before it.
    Windowed,
    /// As [`Layer::Full`], with the weights in memory.
    Stored,
}

/// A layer's cost in theory: its growth in words, and the exponents of T in time and memory.
pub struct Theory {
    pub growth: &'static str,
    pub time: f64,
    pub memory: f64,
}

/// A layer ready to be trained on sequences of one length.
pub struct Step {
    program: Program,
}

impl Layer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lstm, Self::Full, Self::Windowed, Self::Stored];

    /// Its name in tables and plots.
    pub fn name(self, options: &Options) -> String {
        match self {
            Self::Lstm => "LSTM".to_owned(),
            Self::Full => "full attention".to_owned(),
            Self::Windowed => format!("attention within {}", options.window),
            Self::Stored => "attention, weights stored".to_owned(),
        }
    }

    /// Vaswani et al. 2017, table 1; for full attention in linear memory Rabe & Staats 2021.
    pub fn theory(self) -> Theory {
        match self {
            Self::Lstm => Theory { growth: "T·d²", time: 1.0, memory: 1.0 },
            Self::Full => Theory { growth: "T²·d", time: 2.0, memory: 1.0 },
            Self::Windowed => Theory { growth: "T·w·d", time: 1.0, memory: 1.0 },
            Self::Stored => Theory { growth: "T²·d", time: 2.0, memory: 2.0 },
        }
    }

    /// Compiles one step of training over `time` steps: forward, and backward to the layer's input and all parameters.
    pub fn compile(self, device: &Device, options: &Options, time: usize) -> Outcome<Step> {
        let Options { rows, width, heads, window, .. } = *options;
        let mut params = Params::seeded(7);
        // In a network the gradient goes on to the layer below, so the input is a parameter here, to have a gradient.
        let x = params.add("x", &[rows, time, width], Init::Normal(1.0));
        let attention = |params: &mut Params| {
            MultiHeadAttention::new(params, "layer", AttentionConfig::new(width, heads))
        };
        let record: Box<dyn for<'g> Fn(&'g Graph) -> Tensor<'g>> = match self {
            Self::Lstm => {
                let layer = Lstm::new(&mut params, "layer", RecurrentConfig::new(width, width));
                Box::new(move |g| layer.forward(g.param(x), None, None).output)
            }
            Self::Full | Self::Windowed => {
                let layer = attention(&mut params);
                let window = (self == Self::Windowed).then_some(window);
                Box::new(move |g| {
                    let (query, memory) = layer.project(g.param(x), Place::From(0));
                    layer.attend(query, memory, before(window))
                })
            }
            Self::Stored => {
                let layer = attention(&mut params);
                Box::new(move |g| {
                    let (query, memory) = layer.project(g.param(x), Place::From(0));
                    let weights = layer.weights(query, memory, before(None));
                    let heads = weights.matmul(memory.values.transpose(1, 2));
                    heads.transpose(1, 2).reshape(&[rows, time, width])
                })
            }
        };
        let store = ParamStore::new(device, params, StoreKind::Training)?;
        let g = store.training_graph();
        let loss = record(&g).square().mean_all();
        let objective = Some(Objective { loss, update: None });
        let program = Program::compile(&store, &g, Request { outputs: &[("loss", loss)], objective })?;
        let step = Step { program };
        // The first run compiles pipelines in the driver.
        step.run()?;
        Ok(step)
    }
}

/// Every step sees those before it, no farther than `window` back.
fn before<'g>(window: Option<usize>) -> AttentionOptions<'g> {
    AttentionOptions { causal: true, window, ..AttentionOptions::default() }
}

impl Step {
    /// Runs it once, to its end.
    pub fn run(&self) -> Outcome<()> {
        let [loss] = self.program.call(&[], &Control::default(), ["loss"])?.wait()?;
        if loss.iter().all(|l| l.is_finite()) { Ok(()) } else { Err("a loss that is not finite".into()) }
    }

    /// Memory of one step without the parameters, in bytes.
    pub fn bytes(&self) -> u64 {
        self.program.memory().own()
    }
}
