//! Carried states: tensors that a run leaves for the next one, such as the state of a recurrent network that reads a
//! text in windows.
//!
//! They belong to the store, because windows of several lengths are several programs. A state is known by its name;
//! training and inference have separate states. It carries one sequence at a time, in one shape. A run with another
//! shape is refused, because the contents belong to other rows. After a reset the next run decides the shape.
//!
//! A program's dispatches are bound to memory once. So each shape of a state has its own buffer, which programs keep.
//! The store keeps the one that carries the sequence, so the sequence outlives its programs.

use std::collections::BTreeMap;

use seqloom_device::{Buffer, Device, Slice, WeakBuffer};

use crate::ir::error::{GraphError, Result};
use crate::ir::layout::{DType, Layout};
use crate::ir::shape::Shape;

/// A carried state in host memory, as a checkpoint holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StateValue {
    /// Its name in the graph.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub values: Vec<f32>,
}

/// The states of a store, by whether a training graph made them and by name.
#[derive(Debug, Default)]
pub(crate) struct States(BTreeMap<(bool, String), Carried>);

/// One state.
#[derive(Debug, Default)]
struct Carried {
    /// The shape and memory of the sequence that it carries.
    live: Option<(Shape, Buffer)>,
    /// Memory for it by shape, as long as programs hold it.
    buffers: Vec<(Shape, WeakBuffer)>,
}

impl Carried {
    /// The memory for a shape, made if there is none.
    fn buffer(&mut self, device: &Device, name: &str, shape: Shape) -> Result<Buffer> {
        self.buffers.retain(|(_, buffer)| buffer.upgrade().is_some());
        let known = self.buffers.iter().find(|(has, _)| *has == shape).and_then(|(_, b)| b.upgrade());
        if let Some(buffer) = known {
            return Ok(buffer);
        }
        let buffer = device.allocate(name, layout(shape).bindable())?;
        self.buffers.push((shape, buffer.downgrade()));
        Ok(buffer)
    }
}

impl States {
    /// Bytes of all memory for states.
    pub fn bytes(&self) -> u64 {
        let buffers = self.0.values().flat_map(|state| &state.buffers);
        buffers.filter_map(|(_, buffer)| buffer.upgrade()).map(|buffer| buffer.bytes()).sum()
    }

    /// No state carries anything any more.
    pub fn reset(&mut self, training: bool) {
        let states = self.0.iter_mut().filter(|((of_training, _), _)| *of_training == training);
        states.for_each(|(_, state)| state.live = None);
    }

    /// Where a program carries a state of this shape.
    pub fn place(&mut self, device: &Device, training: bool, name: &str, shape: Shape) -> Result<Slice> {
        let state = self.0.entry((training, name.to_owned())).or_default();
        Ok(state.buffer(device, name, shape)?.slice(0, layout(shape).bindable()))
    }

    /// Makes these the live states; those that carried nothing begin as 0. If one carries another shape, nothing is
    /// changed.
    pub fn claim(
        &mut self,
        device: &Device,
        training: bool,
        wanted: &[(String, Shape, Slice)],
    ) -> Result<()> {
        for (name, needs, _) in wanted {
            let live = self.0.get(&(training, name.clone())).and_then(|state| state.live.as_ref());
            if let Some((carried, _)) = live.filter(|(carried, _)| carried != needs) {
                return Err(GraphError::StateShape {
                    name: name.clone(),
                    carried: carried.to_vec(),
                    needs: needs.to_vec(),
                });
            }
        }
        for (name, shape, place) in wanted {
            let state = self.0.entry((training, name.clone())).or_default();
            if state.live.is_none() {
                let zeros = vec![0u8; usize::try_from(place.bytes).unwrap_or(0)];
                device.write(place, &zeros)?;
                state.live = Some((*shape, place.buffer.clone()));
            }
        }
        Ok(())
    }

    /// The contents of the live states. Waits for the device.
    pub fn read(&self, device: &Device, training: bool) -> Result<Vec<StateValue>> {
        let states = self.0.iter().filter(|((of_training, _), _)| *of_training == training);
        let live = states.filter_map(|((_, name), state)| Some((name, state.live.as_ref()?)));
        live.map(|(name, (shape, buffer))| {
            let bytes = device.read(&buffer.slice(0, layout(*shape).bindable())).wait()?;
            let mut values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
            values.truncate(shape.elements());
            Ok(StateValue { name: name.clone(), shape: shape.to_vec(), values })
        })
        .collect()
    }

    /// Makes exactly these values the carried ones.
    pub fn write(&mut self, device: &Device, training: bool, values: &[StateValue]) -> Result<()> {
        let shaped = values.iter().map(|value| {
            let StateValue { shape, values, .. } = value;
            let fits = Shape::new(shape).filter(|shape| shape.elements() == values.len());
            let misfit = || GraphError::HostShape { shape: shape.clone(), len: values.len() };
            Ok((fits.ok_or_else(misfit)?, value))
        });
        let shaped = shaped.collect::<Result<Vec<_>>>()?;
        self.reset(training);
        for (shape, StateValue { name, values, .. }) in
            shaped.into_iter().filter(|(_, v)| !v.values.is_empty())
        {
            let state = self.0.entry((training, name.clone())).or_default();
            let buffer = state.buffer(device, name, shape)?;
            device.write(&buffer.slice(0, layout(shape).bytes()), bytemuck::cast_slice(values))?;
            state.live = Some((shape, buffer));
        }
        Ok(())
    }
}

/// States hold f32.
fn layout(shape: Shape) -> Layout {
    Layout::new(shape, DType::F32)
}
