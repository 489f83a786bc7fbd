//! What an optimizer is: the states that it keeps for a parameter, and its update, recorded as tensor operations.
//!
//! [`Optimizer::update`] is called once for each parameter when a training program is compiled, with a [`Step`] that holds the
//! parameter, its gradient, its states and the numbers of the step. What it records decides how it runs. If every element depends
//! only on elements of the same index, adjacent parameters with equal code are updated by one kernel, which reads and writes each
//! buffer once. Anything else (a matrix product, a mean) runs by the kernels that models use too. A step that is skipped changes
//! no parameter and no state in either case; the optimizer need not think of it.
//!
//! Numbers that change from step to step are not written into programs: the learning rate, the number of updates and the
//! corrections are read from the device's statistics of the step. Other numbers are constants of the code.

use std::fmt;

use crate::ir::error::GraphError;
use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::Number;
use crate::ir::shape::Shape;
use crate::record::graph::Graph;
use crate::record::params::ParamSpec;
use crate::record::tensor::{Tensor, here};

/// A setting of an optimizer that is outside its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadSetting {
    /// Its name, as `AdamW.beta1`.
    pub setting: &'static str,
    /// What it is.
    pub value: f64,
    /// What it must be.
    pub needs: &'static str,
}

/// What a state holds before the first update.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Initial {
    /// This number in each element.
    Number(f32),
    /// The parameter itself; the state has its shape.
    Parameter,
}

/// A state that an optimizer keeps for a parameter. It lives on the device, and checkpoints hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its name, such as `momentum_buffer`.
    pub name: &'static str,
    /// Its dimensions: the parameter's, or others.
    pub shape: Vec<usize>,
    /// What it holds at first.
    pub initial: Initial,
}

impl Kept {
    /// A state of this shape that is 0 at first.
    #[must_use]
    pub fn new(name: &'static str, shape: &[usize]) -> Self {
        Self { name, shape: shape.to_vec(), initial: Initial::Number(0.0) }
    }

    /// The same state with another beginning.
    #[must_use]
    pub fn starting(self, initial: Initial) -> Self {
        Self { initial, ..self }
    }
}

/// How a parameter is trained, where it differs from others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Treatment {
    /// Factor of the learning rate.
    pub lr_factor: f64,
    /// Weight decay instead of the optimizer's own.
    pub weight_decay: Option<f64>,
    /// Not trained at all: no gradient, no state, no update.
    pub frozen: bool,
}

impl Default for Treatment {
    /// As the optimizer does by itself.
    fn default() -> Self {
        Self { lr_factor: 1.0, weight_decay: None, frozen: false }
    }
}

/// A rule by which parameters follow their gradients.
///
/// ```
/// use seqloom_graph::{Kept, Optimizer, Step, Tensor};
///
/// /// Momentum whose sign is the step.
/// #[derive(Debug)]
/// struct SignMomentum {
///     lr: f64,
/// }
///
/// impl Optimizer for SignMomentum {
///     fn name(&self) -> &'static str {
///         "sign_momentum"
///     }
///     fn lr(&self) -> f64 {
///         self.lr
///     }
///     fn states(&self, shape: &[usize]) -> Vec<Kept> {
///         vec![Kept::new("momentum", shape)]
///     }
///     fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
///         let momentum = step.state("momentum") * 0.9 + step.grad() * 0.1;
///         step.keep("momentum", momentum);
///         step.param() - step.lr() * momentum.sign()
///     }
/// }
/// ```
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// A short name, which checkpoints put before the names of its states.
    fn name(&self) -> &'static str;

    /// The learning rate before schedules; at least 0 and finite.
    fn lr(&self) -> f64;

    /// The states that it keeps for a parameter of this shape. Elementwise states of its shape are updated fastest.
    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        let _ = shape;
        Vec::new()
    }

    /// Up to two decays β of running means, from 0 to below 1, whose corrections 1/(1−βᵗ) the device shall compute
    /// ([`Step::corrections`]). β and t are close to 1 and large, where f32 arithmetic on βᵗ would lose digits.
    fn decays(&self) -> [f64; 2] {
        [0.0; 2]
    }

    /// The largest norm of the gradient of all parameters together, if it clips.
    fn clip_norm(&self) -> Option<f64> {
        None
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first one outside its range.
    fn check(&self) -> Result<(), BadSetting> {
        Ok(())
    }

    /// Records one update of a parameter: keeps its states by [`Step::keep`] and returns its new value, of the parameter's shape.
    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g>;
}

/// One update of one parameter, as an optimizer sees it.
#[derive(Clone, Debug)]
pub struct Step<'g> {
    graph: &'g Graph,
    /// The parameter's number among all.
    index: usize,
    name: String,
    param: Tensor<'g>,
    grad: Tensor<'g>,
    lr: Tensor<'g>,
    treatment: Treatment,
    states: Vec<&'static str>,
}

impl<'g> Step<'g> {
    /// Begins the update of the parameter of this number.
    #[track_caller]
    pub(crate) fn begin(
        graph: &'g Graph,
        index: usize,
        spec: &ParamSpec,
        treatment: Treatment,
        states: &[Kept],
    ) -> Self {
        let (name, shape) = (spec.name.clone(), spec.shape);
        let param = graph.state(&of(index, ""), &shape);
        let grad = graph.input(&of(index, "gradient"), &shape, DType::F32) * graph.number(Number::Scale);
        let lr = match treatment.lr_factor {
            1.0 => graph.number(Number::Lr),
            factor => graph.number(Number::Lr) * factor as f32,
        };
        for state in states {
            let _ = graph.state(&of(index, state.name), &state.shape);
        }
        let states = states.iter().map(|state| state.name).collect();
        Self { graph, index, name, param, grad, lr, treatment, states }
    }

    /// Ends it with the parameter's new value.
    #[track_caller]
    pub(crate) fn end(&self, value: Tensor<'g>) {
        self.graph.keep(&of(self.index, ""), value);
    }

    /// The parameter before the update.
    #[must_use]
    pub fn param(&self) -> Tensor<'g> {
        self.param
    }

    /// Its gradient, clipped.
    #[must_use]
    pub fn grad(&self) -> Tensor<'g> {
        self.grad
    }

    /// The same update with another gradient: for an optimizer that changes what another one sees.
    #[must_use]
    pub fn with_grad(&self, grad: Tensor<'g>) -> Self {
        Self { grad, ..self.clone() }
    }

    /// The same update with another learning rate.
    #[must_use]
    pub fn with_lr(&self, lr: Tensor<'g>) -> Self {
        Self { lr, ..self.clone() }
    }

    /// The learning rate, a scalar: the schedule's, times the factor of the parameter's group.
    #[must_use]
    pub fn lr(&self) -> Tensor<'g> {
        self.lr
    }

    /// The weight decay of the parameter's group, or this one of the optimizer.
    #[must_use]
    pub fn weight_decay(&self, of_optimizer: f64) -> f64 {
        self.treatment.weight_decay.unwrap_or(of_optimizer)
    }

    /// How many updates the parameter has had, this one included: a scalar, from 1.
    #[must_use]
    pub fn count(&self) -> Tensor<'g> {
        self.graph.number(Number::OfParam { param: self.index, which: 2 })
    }

    /// 1/(1−βᵗ) of each of [`Optimizer::decays`], where t is [`Self::count`]: scalars.
    #[must_use]
    pub fn corrections(&self) -> [Tensor<'g>; 2] {
        [0, 1].map(|which| self.graph.number(Number::OfParam { param: self.index, which }))
    }

    /// A state before the update. One that the optimizer did not name is a mistake, which compiling returns.
    #[track_caller]
    #[must_use]
    pub fn state(&self, name: &str) -> Tensor<'g> {
        match self.graph.known_state(&of(self.index, name)) {
            Some(state) if self.states.contains(&name) => state,
            _ => {
                let detail = format!("the optimizer keeps no state '{name}' for parameter '{}'", self.name);
                self.graph.poison(GraphError::Argument { op: "state", detail, at: here() }, here())
            }
        }
    }

    /// After the update the state holds this tensor, of its shape. A mistake is returned when compiling.
    #[track_caller]
    pub fn keep(&self, name: &str, value: Tensor<'g>) {
        self.graph.keep(&of(self.index, name), value);
    }
}

/// The name of a parameter's state in the graph of an update; its own is empty.
fn of(index: usize, state: &str) -> String {
    format!("{index}.{state}")
}

impl Graph {
    fn number(&self, number: Number) -> Tensor<'_> {
        self.push(Op::Number(number), &[], Shape::scalar(), DType::F32, here())
    }
}
