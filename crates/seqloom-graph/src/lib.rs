//! Tensors, the graph they record, its gradients, and the resulting program.
//!
//! A model is ordinary Rust over [`Tensor`] handles. Recording it fills a [`Graph`]. [`Program::compile`]
//! differentiates and compiles it for a device. The program then replays with no allocation and with no changing host
//! number frozen into it.
//!
//! | room | what it holds | may use |
//! |---|---|---|
//! | `ir` | what a graph is: shapes, element types, operations, nodes, errors | |
//! | `record` | how a model is written down: parameters, the graph, the handle and its methods by kind | `ir` |
//! | `grad` | accumulation, the table of vector–Jacobian products, a file of rules per family | `record`, `ir` |
//! | `compile` | the passes from a recording to launches; no device, no handle | `ir` |
//! | `run` | arenas, states and slots on the device, the host's derivations, the bound program and its reports | all |
//!
//! `cargo xtask tidy` refuses an import against this order, and circles of files.

mod compile;
mod grad;
mod ir;
mod record;
mod run;

pub use ir::error::{GraphError, Location, Result};
pub use ir::host_tensor::{HostData, HostSliceMut, HostTensor};
pub use ir::layout::DType;
pub use ir::op::OPERATIONS;
pub use ir::shape::{MAX_RANK, Shape};
pub use ir::specs::ParamId;
pub use record::attention::{AttentionOptions, Start};
pub use record::cross_entropy::CrossEntropyOptions;
pub use record::ctc::CtcOptions;
pub use record::following::Following;
pub use record::graph::Graph;
pub use record::lengths::{Lengths, packed_rows};
pub use record::optimizer::{BadSetting, Initial, Kept, Optimizer, Step, Treatment};
pub use record::params::{Init, ParamSpec, Params};
pub use record::recurrent::{Activation, LstmOutput, RecurrentOutput};
pub use record::reduction::Axes;
pub use record::tensor::Tensor;
pub use run::accumulation::Accumulation;
pub use run::arena::{Arena, StoreKind};
pub use run::cache::{CacheUsage, ProgramCache};
pub use run::explain::DispatchInfo;
pub use run::memory::Memory;
pub use run::program::Program;
pub use run::reading::{ReadTensor, ReadTensors};
pub use run::request::{Objective, Request};
pub use run::states::StateValue;
pub use run::store::ParamStore;
pub use run::updates::Updates;
pub use seqloom_kernels::{Control, RATES};
