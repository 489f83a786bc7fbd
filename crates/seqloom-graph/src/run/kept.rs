//! The states of the optimizer on the device: an arena for each name, with a part for each parameter that has a state of it.

use seqloom_device::{Buffer, Device};

use crate::ir::error::{GraphError, Result};
use crate::ir::shape::Shape;
use crate::record::optimizer::{Initial, Kept};
use crate::run::arena::{Allocated, Places};

/// What one optimizer keeps.
#[derive(Debug)]
pub(super) struct KeptStates {
    /// Its name.
    pub optimizer: &'static str,
    /// By parameter.
    pub of_params: Vec<Vec<Kept>>,
    /// By name, in the order in which they were first named.
    arenas: Vec<(&'static str, Allocated)>,
}

impl KeptStates {
    /// Allocates them, all 0, for parameters at these places.
    pub fn new(
        device: &Device,
        optimizer: &'static str,
        values: &Places,
        of_params: Vec<Vec<Kept>>,
    ) -> Result<Self> {
        let mut names: Vec<&'static str> = Vec::new();
        for kept in of_params.iter().flatten() {
            if !names.contains(&kept.name) {
                names.push(kept.name);
            }
        }
        let limit = device.facts().max_binding_bytes.min(device.facts().max_buffer_bytes);
        let mut arenas = Vec::new();
        for name in names {
            let shape = |states: &Vec<Kept>| {
                let Some(kept) = states.iter().find(|kept| kept.name == name) else { return Ok(None) };
                let misfit = || GraphError::HostShape { shape: kept.shape.clone(), len: 0 };
                Shape::new(&kept.shape).map(Some).ok_or_else(misfit)
            };
            let shapes = of_params.iter().map(shape).collect::<Result<Vec<_>>>()?;
            let places = values.beside(&shapes);
            if let Some(&needs) = places.chunks.iter().find(|&&bytes| bytes > limit) {
                return Err(GraphError::TooLarge { what: format!("the optimizer's {name}"), needs, limit });
            }
            arenas.push((name, Allocated::new(device, name, places)?));
        }
        Ok(Self { optimizer, of_params, arenas })
    }

    /// Whether they are those of this optimizer.
    pub fn check(&self, optimizer: &'static str, of_params: &[Vec<Kept>]) -> Result<()> {
        if self.optimizer == optimizer && self.of_params == of_params {
            return Ok(());
        }
        Err(GraphError::OtherOptimizer { has: self.optimizer, needs: optimizer })
    }

    /// The values with which a state begins, of a parameter of these values; nothing for zeros, as memory begins with those.
    pub fn first(kept: &Kept, values: &[f32]) -> Vec<f32> {
        match kept.initial {
            Initial::Number(0.0) => Vec::new(),
            Initial::Number(number) => vec![number; kept.shape.iter().product()],
            Initial::Parameter => values.to_vec(),
        }
    }

    /// The arena of a name.
    pub fn arena(&self, name: &str) -> Option<&Allocated> {
        self.arenas.iter().find(|(known, _)| *known == name).map(|(_, arena)| arena)
    }

    /// All arenas.
    pub fn arenas(&self) -> impl Iterator<Item = &Allocated> {
        self.arenas.iter().map(|(_, arena)| arena)
    }

    /// Their buffers.
    pub fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.arenas().flat_map(Allocated::buffers)
    }
}
