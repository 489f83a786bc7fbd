//! Runs a kernel family's launches without a graph: buffers in, dispatches, buffers out.
//!
//! It is for tests of single families: a fault is then in a kernel or its launch. Results and scratch are filled with
//! NaN before the run, so an element that a kernel forgets, or reads before it is written, shows.

use seqloom_device::{AdapterKind, Buffer, Device, Facts};
use seqloom_kernels::{Control, Lowered, Operand};

use crate::device;

/// Fills unwritten memory: a quiet NaN that no computation produces.
const POISON: u32 = 0x7fc0_dead;

/// Contents of a buffer.
#[derive(Clone, Debug)]
pub enum Data {
    /// Floats.
    F32(Vec<f32>),
    /// Integers.
    U32(Vec<u32>),
    /// The numbers of a training step.
    Control(Control),
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Data::F32(values) => bytemuck::cast_slice(values),
            Data::U32(values) => bytemuck::cast_slice(values),
            Data::Control(control) => bytemuck::bytes_of(control),
        }
    }
}

impl From<&[f32]> for Data {
    fn from(values: &[f32]) -> Self {
        Data::F32(values.to_vec())
    }
}

impl From<&Vec<f32>> for Data {
    fn from(values: &Vec<f32>) -> Self {
        Data::F32(values.clone())
    }
}

impl From<&Vec<u32>> for Data {
    fn from(values: &Vec<u32>) -> Self {
        Data::U32(values.clone())
    }
}

/// The buffers of a run.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// Contents of `In(i)`.
    pub ins: Vec<Data>,
    /// Elements of `Out(i)`.
    pub outs: Vec<usize>,
    /// Contents of `Leaf(i)`.
    pub leaves: Vec<Data>,
}

/// A finished run: what the buffers hold now.
pub struct Ran {
    device: Device,
    ins: Vec<Buffer>,
    outs: Vec<Buffer>,
}

impl Ran {
    /// `Out(i)`.
    #[must_use]
    pub fn out(&self, i: usize) -> Vec<f32> {
        self.read(&self.outs[i])
    }

    /// `In(i)`, for kernels that update in place.
    #[must_use]
    pub fn input(&self, i: usize) -> Vec<f32> {
        self.read(&self.ins[i])
    }

    fn read(&self, buffer: &Buffer) -> Vec<f32> {
        let bytes = self.device.read(&buffer.all()).wait().unwrap();
        bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
    }
}

/// Runs launches on the device under test.
#[derive(Clone)]
pub struct Executor {
    device: Device,
}

impl Executor {
    /// On the device that the tests of this process share.
    ///
    /// # Panics
    /// Without an adapter.
    #[must_use]
    pub fn shared() -> Self {
        Executor { device: device::shared() }
    }

    /// The device's facts as they are.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        self.device.facts()
    }

    /// The facts of a GPU and of a CPU adapter with this device's limits, each with its name: whichever the device is,
    /// the variants chosen for the other kind must be right on it too.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, Facts); 2] {
        let of_kind = |kind| Facts { kind, ..self.facts().clone() };
        [("as a GPU", of_kind(AdapterKind::Discrete)), ("as a CPU", of_kind(AdapterKind::Cpu))]
    }

    /// Runs the launches in order.
    ///
    /// # Panics
    /// On any error of the device, naming the launch.
    #[must_use]
    #[track_caller]
    pub fn run(&self, lowered: &Lowered, feed: &Feed) -> Ran {
        let device = &self.device;
        let filled = |label: String, bytes: &[u8]| {
            let buffer = device.allocate(&label, bytes.len().max(4) as u64).unwrap();
            if !bytes.is_empty() {
                device.write(&buffer.slice(0, bytes.len() as u64), bytes).unwrap();
            }
            buffer
        };
        let given = |role: &str, data: &[Data]| -> Vec<Buffer> {
            data.iter().enumerate().map(|(i, data)| filled(format!("{role}{i}"), data.bytes())).collect()
        };
        let poisoned = |role: &str, words: &[usize]| -> Vec<Buffer> {
            let fill = |words: &usize| vec![POISON; *words];
            let each = words.iter().map(fill).enumerate();
            each.map(|(i, words)| filled(format!("{role}{i}"), bytemuck::cast_slice(&words))).collect()
        };
        let ins = given("in", &feed.ins);
        let leaves = given("leaf", &feed.leaves);
        let outs = poisoned("out", &feed.outs);
        let words: Vec<usize> = lowered.scratch.iter().map(|bytes| (bytes / 4) as usize).collect();
        let scratch = poisoned("scratch", &words);

        let mut dispatches = Vec::new();
        for launch in &lowered.launches {
            let slice = |operand: &Operand| match *operand {
                Operand::In(i) => ins[i].all(),
                Operand::Out(i) => outs[i].all(),
                Operand::Scratch(i) => scratch[i].all(),
                Operand::Leaf(i) => leaves[i].all(),
            };
            let bindings: Vec<_> = launch.bindings.iter().map(slice).collect();
            let pipeline = device
                .pipeline(&launch.wgsl)
                .unwrap_or_else(|error| panic!("{}: {error}\n{}", launch.label, launch.wgsl.source));
            let dispatch = device
                .dispatch(&pipeline, &launch.label, &bindings, &launch.immediates, launch.grid)
                .unwrap_or_else(|error| panic!("{}: {error}", launch.label));
            dispatches.push(dispatch);
        }
        device.submit(&dispatches).unwrap();
        device.wait().unwrap();
        Ran { device: device.clone(), ins, outs }
    }
}

/// Numbers in [-1, 1) that look random and are the same for the same seed; mixed by splitmix64's constants.
#[must_use]
pub fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 24 bits are exact in f32.
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Integers below `below`, the same for the same seed.
#[must_use]
pub fn random_ids(seed: u64, len: usize, below: usize) -> Vec<u32> {
    let scaled = |x: &f32| (((x + 1.0) / 2.0 * below as f32) as usize).min(below - 1) as u32;
    random(seed, len).iter().map(scaled).collect()
}

/// Narrows an oracle's result for comparison.
#[must_use]
pub fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}
