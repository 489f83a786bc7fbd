//! The registry of a model's own tensors: names, shapes, initial values. Parameters are trained; constants are not.
//!
//! Layers register their parameters when they are made and keep the [`ParamId`]. Names are dotted paths as in PyTorch's
//! `state_dict`, so checkpoints can be exchanged. The values move into arenas on the device ([`crate::ParamStore`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ir::error::{GraphError, Result};
use crate::ir::shape::Shape;
use crate::ir::specs::ParamId;

/// A number that is unique in this process; it identifies registries and registered parameters.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The initial values of a parameter.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// Uniform in ±bound.
    Uniform(f32),
    /// Normal around 0 with this standard deviation.
    Normal(f32),
    /// These values, in row-major order.
    Values(Vec<f32>),
}

/// A registered parameter or constant.
#[derive(Clone, Debug)]
pub struct ParamSpec {
    /// Its `state_dict` name.
    pub name: String,
    /// Its dimensions.
    pub shape: Shape,
    /// Whether it is trained; a constant is not.
    pub trained: bool,
    pub(crate) values: Vec<f32>,
    number: u64,
}

impl ParamSpec {
    /// Whether `id` names this parameter.
    pub(crate) fn is(&self, id: ParamId) -> bool {
        self.number == id.number()
    }
}

/// The parameters of a model, in the order its layers registered them.
///
/// A [`ParamId`] is known to the registry that gave it, to clones of that registry, and to the stores and graphs made
/// of any of them. Elsewhere it is an error, even if there is a parameter of the same index and shape.
#[derive(Clone, Debug)]
pub struct Params {
    /// What clones, stores and graphs of this registry share.
    origin: u64,
    specs: Vec<ParamSpec>,
    scope: String,
    random: ChaCha8Rng,
    seed: u64,
    error: Option<ParamMistake>,
}

#[derive(Clone, Debug)]
enum ParamMistake {
    Twice { name: String },
    Shape { shape: Vec<usize>, len: usize },
}

impl Params {
    /// An empty registry whose random initial values follow from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        let origin = next_number();
        Self { origin, specs: Vec::new(), scope: String::new(), random, seed, error: None }
    }

    /// The seed it was made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Registers a parameter under the current scope. A name registered twice, or values that do not fill the shape,
    /// are kept as a mistake that [`crate::ParamStore::new`] returns.
    pub fn add(&mut self, name: &str, shape: &[usize], init: Init) -> ParamId {
        // A shape whose elements cannot be counted is a mistake and has no values.
        let countable = shape.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim));
        let len = countable.filter(|&len| u32::try_from(len).is_ok()).unwrap_or(0);
        let values: Vec<f32> = match init {
            Init::Zeros => vec![0.0; len],
            Init::Ones => vec![1.0; len],
            Init::Uniform(bound) => {
                (0..len).map(|_| (self.random.random::<f32>() * 2.0 - 1.0) * bound).collect()
            }
            Init::Normal(std) => (0..len).map(|_| self.normal() * std).collect(),
            Init::Values(values) => values,
        };
        self.register(name, shape, values, true)
    }

    /// Registers a tensor that belongs to the model and to its checkpoints but is not trained, such as the mean and the spread
    /// that inputs are normalised with (a buffer of PyTorch's `register_buffer`).
    ///
    /// Values are in row-major order. [`Graph::param`](crate::Graph::param) records it like a parameter. It gets no gradient, and
    /// optimizers neither change it nor keep moments of it; a checkpoint that is loaded replaces its values.
    ///
    /// Mistakes are those of [`Self::add`].
    pub fn constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> ParamId {
        self.register(name, shape, values, false)
    }

    fn register(&mut self, name: &str, shape: &[usize], values: Vec<f32>, trained: bool) -> ParamId {
        let name = if self.scope.is_empty() { name.to_owned() } else { format!("{}.{name}", self.scope) };
        if self.specs.iter().any(|s| s.name == name) {
            self.error.get_or_insert(ParamMistake::Twice { name: name.clone() });
        }
        let countable = shape.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim));
        let fits = Shape::new(shape).filter(|_| countable == Some(values.len()));
        if fits.is_none() {
            self.error.get_or_insert(ParamMistake::Shape { shape: shape.to_vec(), len: values.len() });
        }
        let number = next_number();
        self.specs.push(ParamSpec { name, shape: fits.unwrap_or_default(), trained, values, number });
        ParamId::new(self.specs.len() - 1, number)
    }

    /// Runs `register` with `name` and a dot in front of every name it registers.
    pub fn scope<R>(&mut self, name: &str, register: impl FnOnce(&mut Self) -> R) -> R {
        let outer = self.scope.clone();
        self.scope = if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") };
        let result = register(self);
        self.scope = outer;
        result
    }

    /// The registered parameters and constants, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ParamSpec> {
        self.specs.iter()
    }

    /// Number of trained scalars.
    #[must_use]
    pub fn count(&self) -> usize {
        self.specs.iter().filter(|s| s.trained).map(|s| s.shape.elements()).sum()
    }

    /// What clones, stores and graphs of this registry share.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// The parameters without their values.
    pub(crate) fn known(&self) -> Arc<[ParamSpec]> {
        let known = self.specs.iter().map(|ParamSpec { name, shape, trained, number, .. }| ParamSpec {
            name: name.clone(),
            shape: *shape,
            trained: *trained,
            values: Vec::new(),
            number: *number,
        });
        known.collect()
    }

    /// The parameters, if none was registered by mistake.
    pub(crate) fn into_specs(self) -> Result<Vec<ParamSpec>, GraphError> {
        match self.error {
            None => Ok(self.specs),
            Some(ParamMistake::Twice { name }) => Err(GraphError::ParamTwice { name }),
            Some(ParamMistake::Shape { shape, len }) => Err(GraphError::HostShape { shape, len }),
        }
    }

    /// A standard normal number by the method of Box and Muller (1958).
    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.random.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.random.random::<f64>();
        (radius * angle.cos()) as f32
    }
}
