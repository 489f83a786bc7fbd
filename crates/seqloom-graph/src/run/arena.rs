//! Arenas, and the place of each parameter in them.
//!
//! Values, gradients and the optimizer's states are arenas with the same order of parameters. If the adapter cannot bind a whole
//! arena, it is a list of chunks, cut between parameters. Offsets are multiples of 256 bytes, the largest alignment that any
//! adapter asks for. Adjacent parameters that all have a part in an arena are adjacent there too, so that one kernel updates them.
//! Nothing reads the gaps between parameters but the kernels that run over them.

use seqloom_device::{Buffer, Device, Slice};

use crate::ir::error::{GraphError, Result};
use crate::ir::layout::{ALIGNMENT, DType, Layout, aligned, bindable};
use crate::ir::shape::Shape;
use crate::record::optimizer::Treatment;
use crate::record::params::ParamSpec;

/// The contents of an arena for each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arena {
    /// Its value.
    Params,
    /// The gradient of the last step whose loss depended on it.
    Grads,
    /// The sum of the gradients of a step over several batches.
    Sums,
    /// What the optimizer keeps under this name.
    State(&'static str),
}

/// Which arenas a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// Only values.
    Inference,
    /// Values and gradients, and the states of the optimizer that updates them.
    Training,
}

/// Chunk, byte offset in it, bytes.
pub(super) type Place = (usize, u64, u64);

/// Bytes of an arena that a parameter takes. One without elements takes some too, because an empty range cannot be
/// bound.
pub(super) fn room(bytes: u64) -> u64 {
    aligned(bindable(bytes))
}

/// Where parameters lie in an arena, by parameter, and the bytes of each chunk; a chunk of 0 bytes has no buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Nothing for a parameter that has no part in it.
    pub of: Vec<Option<Place>>,
    pub chunks: Vec<u64>,
}

impl Places {
    /// The places of the values: trained parameters first, those of equal treatment adjacent; all others in chunks of their own behind
    /// them.
    pub fn of_values(specs: &[ParamSpec], treatments: &[Treatment], limit: u64) -> Result<Self> {
        let mut places = Self { of: vec![None; specs.len()], chunks: vec![0] };
        places.fill(specs, treatments, true, limit)?;
        // A model without parameters still has arenas to bind.
        places.chunks[0] = places.chunks[0].max(ALIGNMENT);
        if specs.iter().any(|spec| !spec.trained) {
            places.chunks.push(0);
            places.fill(specs, treatments, false, limit)?;
        }
        Ok(places)
    }

    /// Places those that are `trained`, or those that are not, in the last chunk and in more behind it.
    fn fill(
        &mut self,
        specs: &[ParamSpec],
        treatments: &[Treatment],
        trained: bool,
        limit: u64,
    ) -> Result<()> {
        let mut order: Vec<_> = (0..specs.len()).filter(|&param| specs[param].trained == trained).collect();
        // By the first parameter that is treated alike.
        order.sort_by_key(|&param| treatments.iter().position(|other| *other == treatments[param]));
        for param in order {
            let spec = &specs[param];
            let layout = Layout::new(spec.shape, DType::F32);
            let (bytes, padded) = (layout.bytes(), room(layout.bytes()));
            if padded > limit {
                return Err(GraphError::TooLarge {
                    what: format!("parameter '{}'", spec.name),
                    needs: padded,
                    limit,
                });
            }
            if self.chunks[self.chunks.len() - 1] + padded > limit {
                self.chunks.push(0);
            }
            let last = self.chunks.len() - 1;
            self.of[param] = Some((last, self.chunks[last], bytes));
            self.chunks[last] += padded;
        }
        Ok(())
    }

    /// Parameters in the order in which they lie.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.of.len()).collect();
        order.sort_by_key(|&param| self.of[param]);
        order
    }

    /// Places for what has these shapes, in the same order and chunks.
    pub fn beside(&self, shapes: &[Option<Shape>]) -> Self {
        let mut chunks = vec![0u64; self.chunks.len()];
        let mut of = vec![None; self.of.len()];
        for param in self.order() {
            if let (Some((chunk, _, _)), Some(shape)) = (self.of[param], shapes[param]) {
                let bytes = Layout::new(shape, DType::F32).bytes();
                of[param] = Some((chunk, chunks[chunk], bytes));
                chunks[chunk] += room(bytes);
            }
        }
        Self { of, chunks }
    }
}

/// An arena on the device.
#[derive(Debug)]
pub(super) struct Allocated {
    name: &'static str,
    pub places: Places,
    chunks: Vec<Option<Buffer>>,
}

impl Allocated {
    pub fn new(device: &Device, name: &'static str, places: Places) -> Result<Self> {
        let allocate = |&bytes: &u64| (bytes > 0).then(|| device.allocate(name, bytes)).transpose();
        let chunks = places.chunks.iter().map(allocate).collect::<Result<_, _>>()?;
        Ok(Self { name, places, chunks })
    }

    /// This arena with the chunks of another one in place of its own, where that has them; nothing if that has a parameter in another
    /// place.
    pub fn replaced_by(&self, other: &Self) -> Option<Self> {
        let same =
            self.places.of.iter().zip(&other.places.of).all(|(own, other)| other.is_none() || own == other);
        let chunk =
            |(own, other): (&Option<Buffer>, &Option<Buffer>)| other.as_ref().or(own.as_ref()).cloned();
        let chunks = self.chunks.iter().zip(&other.chunks).map(chunk).collect();
        same.then_some(Self { name: self.name, places: self.places.clone(), chunks })
    }

    /// Its buffers.
    pub fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.chunks.iter().flatten()
    }

    /// Every parameter's values, none of one that has no part. Waits for the device.
    pub fn read(&self, device: &Device) -> Result<Vec<Vec<f32>>> {
        let read = |chunk: &Option<Buffer>| match chunk {
            Some(buffer) => device.read(&buffer.all()).wait(),
            None => Ok(Vec::new()),
        };
        let bytes = self.chunks.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let values = self.places.of.iter().map(|place| match *place {
            Some((chunk, offset, len)) => {
                bytemuck::pod_collect_to_vec(&bytes[chunk][offset as usize..(offset + len) as usize])
            }
            None => Vec::new(),
        });
        Ok(values.collect())
    }

    /// Where a parameter lies.
    pub fn slice(&self, param: usize) -> Result<Slice> {
        self.span(param, param).map(|slice| {
            let bytes = self.places.of[param].map_or(0, |(_, _, bytes)| bytes);
            Slice { bytes, ..slice }
        })
    }

    /// From the begin of one parameter to the end of another of the same chunk, with the gap behind it.
    pub fn span(&self, first: usize, last: usize) -> Result<Slice> {
        let missing = || GraphError::NoArena { arena: self.name };
        let place = |param: usize| self.places.of.get(param).copied().flatten().ok_or_else(missing);
        let ((chunk, begin, _), (_, offset, bytes)) = (place(first)?, place(last)?);
        let buffer = self.chunks[chunk].as_ref().ok_or_else(missing)?;
        Ok(buffer.slice(begin, offset + room(bytes) - begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::params::{Init, Params};

    fn alike(params: usize) -> Vec<Treatment> {
        vec![Treatment::default(); params]
    }

    #[test]
    fn parameters_of_equal_treatment_are_adjacent() {
        let mut params = Params::seeded(1);
        for name in ["a", "b", "c", "d"] {
            params.add(name, &[64], Init::Zeros);
        }
        let mut treatments = alike(4);
        for param in [1, 3] {
            treatments[param].weight_decay = Some(0.0);
        }
        let places = Places::of_values(&params.into_specs().unwrap(), &treatments, 4096).unwrap();
        assert_eq!(places.order(), [0, 2, 1, 3]);
        assert_eq!(places.chunks, [1024]);
    }

    #[test]
    fn chunks_are_cut_between_parameters() {
        let mut params = Params::seeded(1);
        for name in ["a", "b", "c"] {
            params.add(name, &[100], Init::Zeros);
        }
        let specs = params.into_specs().unwrap();
        let places = Places::of_values(&specs, &alike(3), 1024).unwrap();
        assert_eq!(places.of, [Some((0, 0, 400)), Some((0, 512, 400)), Some((1, 0, 400))]);
        assert_eq!(places.chunks, [1024, 512]);
        let refused = Places::of_values(&specs, &alike(3), 256);
        assert!(matches!(refused, Err(GraphError::TooLarge { needs: 512, limit: 256, .. })));
    }

    #[test]
    fn an_arena_of_some_parameters_has_their_order_and_no_room_for_others() {
        let mut params = Params::seeded(1);
        for name in ["a", "b", "c", "d"] {
            params.add(name, &[100], Init::Zeros);
        }
        let values = Places::of_values(&params.into_specs().unwrap(), &alike(4), 1024).unwrap();
        let [whole, row] = [100, 3].map(|len| Shape::new(&[len]));
        let beside = values.beside(&[None, whole, None, row]);
        assert_eq!(beside.of, [None, Some((0, 0, 400)), None, Some((1, 0, 12))]);
        assert_eq!(beside.chunks, [512, 256]);
    }

    #[test]
    fn constants_have_chunks_behind_the_others() {
        let mut params = Params::seeded(1);
        params.constant("mean", &[100], vec![0.0; 100]);
        params.add("a", &[100], Init::Zeros);
        params.constant("spread", &[100], vec![1.0; 100]);
        let places = Places::of_values(&params.into_specs().unwrap(), &alike(3), 512).unwrap();
        assert_eq!(places.of, [Some((1, 0, 400)), Some((0, 0, 400)), Some((2, 0, 400))]);
        assert_eq!(places.chunks, [512; 3]);
    }
}
