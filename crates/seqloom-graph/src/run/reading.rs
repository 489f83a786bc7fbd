//! Outputs on their way from the device.
//!
//! One copy into one staging buffer reads several outputs, at about the cost of one, and the host splits it. A buffer
//! cannot have length 0, so each output knows its number of elements.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use seqloom_device::{Device, Readback, Slice};

use crate::ir::error::Result;

/// An output's memory, and its number of elements.
#[derive(Debug)]
pub(super) struct Output {
    pub name: String,
    pub place: Slice,
    pub len: usize,
}

/// N outputs on their way from the device, in the order in which they were asked for: a future, or [`ReadTensors::wait`].
#[derive(Debug)]
#[must_use = "nothing is read until it is awaited"]
pub struct ReadTensors<const N: usize> {
    readback: Readback,
    segments: [Segment; N],
}

/// The bytes that are read for an output, and their number of elements.
#[derive(Clone, Copy, Debug)]
struct Segment {
    bytes: usize,
    len: usize,
}

impl<const N: usize> ReadTensors<N> {
    /// Starts reading.
    pub(super) fn begin(device: &Device, outputs: [&Output; N]) -> Self {
        let segments = outputs.map(|output| {
            let bytes = usize::try_from(output.place.bytes).unwrap_or(usize::MAX);
            Segment { bytes, len: output.len }
        });
        Self { readback: device.read_all(&outputs.map(|output| output.place.clone())), segments }
    }

    /// Waits for the values of each, in row-major order.
    ///
    /// # Errors
    /// The device's failure.
    pub fn wait(self) -> Result<[Vec<f32>; N]> {
        Ok(apart(&self.readback.wait()?, self.segments))
    }
}

impl<const N: usize> Future for ReadTensors<N> {
    type Output = Result<[Vec<f32>; N]>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let segments = self.segments;
        Pin::new(&mut self.readback).poll(context).map(|bytes| Ok(apart(&bytes?, segments)))
    }
}

/// The elements of each part.
fn apart<const N: usize>(mut bytes: &[u8], segments: [Segment; N]) -> [Vec<f32>; N] {
    segments.map(|part| {
        let (of, rest) = bytes.split_at(part.bytes.min(bytes.len()));
        bytes = rest;
        bytemuck::pod_collect_to_vec(of.get(..size_of::<f32>() * part.len).unwrap_or(of))
    })
}

/// An output on its way from the device: a future, or [`ReadTensor::wait`].
#[derive(Debug)]
#[must_use = "nothing is read until it is awaited"]
pub struct ReadTensor(pub(super) ReadTensors<1>);

impl ReadTensor {
    /// Waits for the values, in row-major order.
    ///
    /// # Errors
    /// The device's failure.
    pub fn wait(self) -> Result<Vec<f32>> {
        let [values] = self.0.wait()?;
        Ok(values)
    }
}

impl Future for ReadTensor {
    type Output = Result<Vec<f32>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|told| {
            let [values] = told?;
            Ok(values)
        })
    }
}
