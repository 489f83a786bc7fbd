//! Tensors, the graph they record, its gradients, and the program it becomes.
//!
//! A model is ordinary Rust over [`Tensor`] handles. Recording it fills a [`Graph`]; [`Program::compile`] takes the graph
//! through *check → differentiate → simplify → fuse → lower → plan → bind*, one module each, and the program then
//! replays on the device with no allocation and no host number frozen into it.
//!
//! | module | what it does |
//! |---|---|
//! | [`shape`], [`host_tensor`], [`params`] | shapes, data on the host, the registry of parameters |
//! | [`graph`], [`op`] | the recorded nodes and the operations they hold |
//! | `tensor`, `pointwise`, `movement`, `contraction`, `composite`, [`recurrent`], `attention` | the handle and its methods, by kind |
//! | `gradient` | the table of vector–Jacobian products |
//! | [`mod@derive`], [`packing`], `segments`, `lengths` | what the host derives from ids and lengths; rows without padding |
//! | `following` | sequences that go on from run to run, and caches that grow with them |
//! | `simplify` | constants, common subexpressions, dead code |
//! | `fuse`, `codegen` | which nodes share a kernel, and the WGSL calls of each group |
//! | `bounds` | limits of ids and lengths, checked on the host |
//! | `lower` | groups to launches |
//! | `plan`, `bind` | slots by liveness, then buffers and dispatches |
//! | [`store`], [`program`], `explain` | arenas on the device, the bound program, its account of itself |

mod attention;
mod bind;
mod bounds;
mod codegen;
mod composite;
mod contraction;
mod cross_entropy;
pub mod derive;
mod explain;
mod following;
mod fuse;
mod gradient;
pub mod graph;
mod ir;
mod lengths;
mod lower;
mod movement;
mod norm;
pub mod packing;
pub mod params;
mod part;
mod plan;
mod pointwise;
mod product;
pub mod program;
pub mod recurrent;
mod reuse;
mod segments;
mod simplify;
mod slots;
pub mod store;
mod tensor;

pub use attention::{AttentionOptions, Start};
pub use cross_entropy::CrossEntropyOptions;
pub use explain::DispatchInfo;
pub use following::Following;
pub use graph::Graph;
pub use ir::error::{GraphError, Location, Result};
pub use ir::host_tensor::{HostData, HostSliceMut, HostTensor};
pub use ir::layout::DType;
pub use ir::op::OPERATIONS;
pub use ir::shape::{MAX_RANK, Shape};
pub use ir::specs::ParamId;
pub use lengths::{Lengths, packed_rows};
pub use params::{Init, ParamSpec, Params};
pub use program::{Memory, Objective, Program, ReadTensor, Request};
pub use recurrent::{Activation, LstmOutput, RecurrentOutput};
pub use seqloom_kernels::Control;
pub use store::{Arena, ParamStore, StateValue, StoreKind};
pub use tensor::Tensor;
