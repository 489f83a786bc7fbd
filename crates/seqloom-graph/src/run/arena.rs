//! Arenas, and the place of each parameter in them.
//!
//! Values, gradients and both optimizer moments have the same offsets in four arenas. If the adapter cannot bind a
//! whole arena, it is a list of chunks, cut between parameters. Offsets are multiples of 256 bytes, the largest
//! alignment that any adapter asks for; the gaps are 0 in every arena and stay so. Constants lie in chunks of their own behind
//! the others', which only the arena of values has.

use crate::ir::error::{GraphError, Result};
use crate::ir::layout::{ALIGNMENT, DType, Layout, aligned, bindable};
use crate::record::params::ParamSpec;

/// The contents of an arena for each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arena {
    /// Its value.
    Params,
    /// The gradient of the last step whose loss depended on it.
    Grads,
    /// The optimizer's first moment.
    Moment1,
    /// The optimizer's second moment.
    Moment2,
}

/// Which arenas a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// Only values.
    Inference,
    /// Values, gradients and moments.
    Training,
}

/// Chunk, byte offset in it, bytes.
pub(super) type Place = (usize, u64, u64);

/// Bytes of an arena that a parameter takes. One without elements takes some too, because an empty range cannot be
/// bound.
pub(super) fn room(bytes: u64) -> u64 {
    aligned(bindable(bytes))
}

/// Where everything lies.
pub(super) struct Places {
    /// Of each parameter.
    pub places: Vec<Place>,
    /// Bytes of each chunk.
    pub chunks: Vec<u64>,
    /// How many of the chunks, the first ones, are of trained parameters.
    pub trained: usize,
}

/// Places of the parameters.
pub(super) fn layout(specs: &[ParamSpec], limit: u64) -> Result<Places> {
    let mut chunks = vec![0u64];
    let mut places = vec![(0, 0, 0); specs.len()];
    fill(specs, true, limit, &mut chunks, &mut places)?;
    // A model without parameters still has arenas to bind.
    chunks[0] = chunks[0].max(ALIGNMENT);
    let trained = chunks.len();
    if specs.iter().any(|spec| !spec.trained) {
        chunks.push(0);
        fill(specs, false, limit, &mut chunks, &mut places)?;
    }
    Ok(Places { places, chunks, trained })
}

/// Places those that are `trained`, or those that are not, in the last chunk and in more behind it.
fn fill(
    specs: &[ParamSpec],
    trained: bool,
    limit: u64,
    chunks: &mut Vec<u64>,
    places: &mut [Place],
) -> Result<()> {
    for (spec, place) in specs.iter().zip(places).filter(|(spec, _)| spec.trained == trained) {
        let layout = Layout::new(spec.shape, DType::F32);
        let (bytes, padded) = (layout.bytes(), room(layout.bytes()));
        if padded > limit {
            return Err(GraphError::TooLarge {
                what: format!("parameter '{}'", spec.name),
                needs: padded,
                limit,
            });
        }
        if chunks[chunks.len() - 1] + padded > limit {
            chunks.push(0);
        }
        let last = chunks.len() - 1;
        *place = (last, chunks[last], bytes);
        chunks[last] += padded;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::params::{Init, Params};

    #[test]
    fn chunks_are_cut_between_parameters() {
        let mut params = Params::seeded(1);
        for name in ["a", "b", "c"] {
            params.add(name, &[100], Init::Zeros);
        }
        let specs = params.into_specs().unwrap();
        let Places { places, chunks, trained } = layout(&specs, 1024).unwrap();
        assert_eq!(places, [(0, 0, 400), (0, 512, 400), (1, 0, 400)]);
        assert_eq!((&chunks[..], trained), (&[1024, 512][..], 2));
        assert!(matches!(layout(&specs, 256), Err(GraphError::TooLarge { needs: 512, limit: 256, .. })));
    }

    #[test]
    fn constants_have_chunks_behind_the_others() {
        let mut params = Params::seeded(1);
        params.constant("mean", &[100], vec![0.0; 100]);
        params.add("a", &[100], Init::Zeros);
        params.constant("spread", &[100], vec![1.0; 100]);
        let Places { places, chunks, trained } = layout(&params.into_specs().unwrap(), 512).unwrap();
        assert_eq!(places, [(1, 0, 400), (0, 0, 400), (2, 0, 400)]);
        assert_eq!((&chunks[..], trained), (&[512, 512, 512][..], 1));
    }
}
