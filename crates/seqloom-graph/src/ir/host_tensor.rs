//! Tensors on the host: a batch's contents and a program's inputs.

use super::error::GraphError;
use super::layout::DType;
use super::shape::Shape;

/// Elements of a [`HostTensor`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HostData {
    /// Single-precision numbers.
    F32(Vec<f32>),
    /// Ids or lengths.
    U32(Vec<u32>),
}

/// A dense row-major tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    shape: Shape,
    data: HostData,
}

impl HostTensor {
    /// A tensor of `shape` from its elements in row-major order.
    ///
    /// # Errors
    /// [`GraphError::HostShape`] if the shape has more than six dimensions or does not hold exactly `data.len()` elements.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Result<Self, GraphError> {
        Ok(Self { shape: fitting(shape, data.len())?, data: HostData::F32(data) })
    }

    /// A tensor of ids or lengths; as [`HostTensor::f32`].
    ///
    /// # Errors
    /// As [`HostTensor::f32`].
    pub fn u32(shape: &[usize], data: Vec<u32>) -> Result<Self, GraphError> {
        Ok(Self { shape: fitting(shape, data.len())?, data: HostData::U32(data) })
    }

    /// Its dimensions.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Type of its elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match self.data {
            HostData::F32(_) => DType::F32,
            HostData::U32(_) => DType::U32,
        }
    }

    /// Its elements.
    #[must_use]
    pub fn data(&self) -> &HostData {
        &self.data
    }

    /// Its elements for writing in place; their number stays.
    pub fn data_mut(&mut self) -> HostSliceMut<'_> {
        match &mut self.data {
            HostData::F32(data) => HostSliceMut::F32(data),
            HostData::U32(data) => HostSliceMut::U32(data),
        }
    }

    /// Its elements as the device stores them.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.data {
            HostData::F32(data) => bytemuck::cast_slice(data),
            HostData::U32(data) => bytemuck::cast_slice(data),
        }
    }
}

/// Writable elements of a [`HostTensor`].
#[derive(Debug)]
#[non_exhaustive]
pub enum HostSliceMut<'a> {
    /// Single-precision numbers.
    F32(&'a mut [f32]),
    /// Ids or lengths.
    U32(&'a mut [u32]),
}

fn fitting(dims: &[usize], len: usize) -> Result<Shape, GraphError> {
    let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match Shape::new(dims) {
        Some(shape) if elements == Some(len) => Ok(shape),
        _ => Err(GraphError::HostShape { shape: dims.to_vec(), len }),
    }
}
