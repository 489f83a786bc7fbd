//! Errors from recording a model to running it; each names the operation and the place.

use std::fmt;

use seqloom_device::DeviceError;
use seqloom_kernels::KernelError;
use seqloom_kernels::tune::TuneError;

use super::layout::DType;
use super::shape::Shape;

/// Result of this crate's fallible functions.
pub type Result<T, E = GraphError> = std::result::Result<T, E>;

/// File and line of the model's code that recorded an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location(pub(crate) &'static std::panic::Location<'static>);

impl Location {
    /// Source file as the compiler names it.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.0.file()
    }

    /// Line in that file, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.0.line()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file(), self.line())
    }
}

/// An error of recording, compiling or running a graph.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Shapes that an operation cannot take.
    #[error("{op}: {detail}, got {}, at {at}", list(shapes))]
    Shape {
        /// Operation as the user called it.
        op: &'static str,
        /// Shapes of its operands.
        shapes: Vec<Shape>,
        /// What it needs.
        detail: String,
        /// Where it was called.
        at: Location,
    },
    /// An operand of the wrong element type.
    #[error("{op}: needs {needs} but an operand is {has}, at {at}")]
    DType {
        /// Operation as the user called it.
        op: &'static str,
        /// Type it needs.
        needs: DType,
        /// Type it was given.
        has: DType,
        /// Where it was called.
        at: Location,
    },
    /// Operands recorded in two different graphs.
    #[error("{op}: operands belong to different graphs, at {at}")]
    ForeignTensor {
        /// Operation as the user called it.
        op: &'static str,
        /// Where it was called.
        at: Location,
    },
    /// An output or a loss that was recorded in another graph than the one compiled.
    #[error("output '{name}' belongs to another graph than the one that is compiled, recorded at {at}")]
    ForeignOutput {
        /// Name of the output; `loss` for an objective's.
        name: String,
        /// Where it was recorded.
        at: Location,
    },
    /// A parameter that a graph does not know.
    #[error(
        "param: parameter {id} is not one of the {count} that this graph is recorded over; it was registered in another \
         Params, or after the graph was made, at {at}"
    )]
    ForeignParam {
        /// Its position in the registry that gave it.
        id: usize,
        /// Number of parameters that the graph knows.
        count: usize,
        /// Where it was asked for.
        at: Location,
    },
    /// A graph compiled against a store of other parameters.
    #[error("the graph was recorded over other parameters than this store holds{}", first(param.as_ref()))]
    ForeignStore {
        /// The first parameter that the graph reads and the store does not hold: its name there, and where it was read.
        param: Option<(String, Location)>,
    },
    /// Two outputs of one name.
    #[error(
        "output '{name}' is there twice, recorded at {at} (an objective adds loss, grad_norm and skipped)"
    )]
    OutputTwice {
        /// The name.
        name: String,
        /// Where the second was recorded.
        at: Location,
    },
    /// A program without anything to read or train.
    #[error("nothing is asked for: no output, no objective, no state that is kept")]
    NothingAsked,
    /// A loss that depends on no parameter, so it has no gradient.
    #[error("the loss depends on no parameter, recorded at {at}")]
    ConstantLoss {
        /// Where the loss was recorded.
        at: Location,
    },
    /// A program was given one input twice.
    #[error("input '{name}' was given twice")]
    InputGivenTwice {
        /// Name of the input.
        name: String,
    },
    /// One input name used for two different tensors.
    #[error("input '{name}' is already recorded with shape {has} and type {has_dtype}, at {at}")]
    InputTwice {
        /// Name of the input.
        name: String,
        /// Shape of its first recording.
        has: Shape,
        /// Type of its first recording.
        has_dtype: DType,
        /// Where it was recorded again.
        at: Location,
    },
    /// A value that makes no sense for an operation.
    #[error("{op}: {detail}, at {at}")]
    Argument {
        /// Operation as the user called it.
        op: &'static str,
        /// What was given and what is allowed.
        detail: String,
        /// Where it was called.
        at: Location,
    },
    /// Host data that does not fill its shape.
    #[error(
        "a host tensor of shape {shape:?} cannot hold {len} elements (at most 6 dimensions, exactly their product)"
    )]
    HostShape {
        /// Dimensions asked for.
        shape: Vec<usize>,
        /// Elements given.
        len: usize,
    },
    /// A program was run without one of its inputs.
    #[error("input '{name}' was not given")]
    MissingInput {
        /// Name of the input.
        name: String,
    },
    /// A program was given a tensor that is not one of its inputs.
    #[error("'{name}' is no input of this program; its inputs are {inputs:?}")]
    UnknownInput {
        /// Name given.
        name: String,
        /// Names it has.
        inputs: Vec<String>,
    },
    /// A program was given an input of another shape or type.
    #[error("input '{name}' was compiled as {needs_dtype} {needs:?} but given as {has_dtype} {has:?}")]
    InputShape {
        /// Name of the input.
        name: String,
        /// Shape compiled.
        needs: Vec<usize>,
        /// Type compiled.
        needs_dtype: DType,
        /// Shape given.
        has: Vec<usize>,
        /// Type given.
        has_dtype: DType,
    },
    /// A run would carry a state in another shape than the previous run left it, for example with another number of
    /// rows.
    #[error(
        "state '{name}' carries {carried:?}, this program carries {needs:?}: go on with the same rows, or end the sequence first, \
         by a batch that begins a new one or by ParamStore::reset_states"
    )]
    StateShape {
        /// Name of the state.
        name: String,
        /// Shape that it was left in.
        carried: Vec<usize>,
        /// Shape that the program was compiled for.
        needs: Vec<usize>,
    },
    /// An id or length outside what the model was recorded for.
    #[error("input '{name}'{}: element {index} is {value}, allowed are {}", taken(*derived), range(*low, *high))]
    OutOfRange {
        /// Name of the input; `literal` for numbers known when recorded.
        name: String,
        /// Whether the element belongs to something that the host derives from the input, such as a slice or positions.
        derived: bool,
        /// Position in row-major order.
        index: usize,
        /// Value found.
        value: u32,
        /// Least value allowed.
        low: u32,
        /// Greatest value allowed; below the least if no value is.
        high: u32,
    },
    /// Row lengths whose sum exceeds the packed rows of the program.
    #[error("input '{name}': the lengths together are {has} steps, the program was recorded for {holds}")]
    TooManySteps {
        /// Name of the input.
        name: String,
        /// Sum of the lengths.
        has: usize,
        /// Packed rows recorded.
        holds: usize,
    },
    /// A program has no output of this name.
    #[error("no output '{name}'; this program has {outputs:?}")]
    UnknownOutput {
        /// Name asked for.
        name: String,
        /// Names it has.
        outputs: Vec<String>,
    },
    /// A gradient that this release cannot take on the device.
    #[error("{op}: {detail}, at {at}")]
    Unsupported {
        /// Operation as the user called it.
        op: &'static str,
        /// What is missing.
        detail: String,
        /// Where it was called.
        at: Location,
    },
    /// A unit of the compiled program touches a tensor without memory: a mistake of the compiler.
    #[error("{op}: the compiled program has no memory for it, recorded at {at}")]
    Unplaced {
        /// Operation that the tensor comes from.
        op: &'static str,
        /// Where it was called.
        at: Location,
    },
    /// A kernel binds an operand that its unit does not have: a mistake of the compiler.
    #[error("kernel {kernel}: its operand {operand} is not bound")]
    Unbound {
        /// Kernel, specialisation and shape.
        kernel: String,
        /// The operand by its role.
        operand: String,
    },
    /// The program needs more than a device buffer can hold.
    #[error("{what} needs {needs} bytes in one buffer, the adapter allows {limit}")]
    TooLarge {
        /// Tensor or arena.
        what: String,
        /// Bytes it needs.
        needs: u64,
        /// Bytes the adapter allows.
        limit: u64,
    },
    /// Values for an arena that do not fit a parameter.
    #[error("parameter '{name}' has {needs} elements, {has} were given")]
    ParamLength {
        /// Its state-dict name.
        name: String,
        /// Elements it has.
        needs: usize,
        /// Elements given.
        has: usize,
    },
    /// The store holds no such arena (an inference store has only parameters).
    #[error(
        "this parameter store has no {arena}: it was opened for inference, or no optimizer that keeps it is attached"
    )]
    NoArena {
        /// Arena asked for.
        arena: &'static str,
    },
    /// A constant of the model was given a gradient or a moment.
    #[error("'{name}' is a constant, which has no gradient and no moments")]
    NotTrained {
        /// Its name.
        name: String,
    },
    /// A second optimizer for one store of parameters, or the same one with other states.
    #[error("the parameters are updated by '{has}', whose states they have; '{needs}' keeps others")]
    OtherOptimizer {
        /// The optimizer that is attached.
        has: &'static str,
        /// The one that was to be attached.
        needs: &'static str,
    },
    /// A parameter that the store does not have.
    #[error("parameter {id} is not in this store, which holds {count}")]
    UnknownParam {
        /// Index asked for.
        id: usize,
        /// Number of parameters.
        count: usize,
    },
    /// Two parameters registered under one name.
    #[error("parameter '{name}' is registered twice")]
    ParamTwice {
        /// Its state-dict name.
        name: String,
    },
    /// No kernel for the problem.
    #[error("{error}{}", at.map(|at| format!(", at {at}")).unwrap_or_default())]
    Kernel {
        /// The operation, and what is wrong with its sizes.
        error: KernelError,
        /// Where the operation was called; none if no call recorded it, as for the optimizer's step.
        at: Option<Location>,
    },
    /// The device was lost, or did not answer, while kernels were tuned.
    #[error(transparent)]
    Tune(#[from] TuneError),
    /// The device refused or failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

fn first(param: Option<&(String, Location)>) -> String {
    param.map_or_else(String::new, |(name, at)| format!(": it reads '{name}', at {at}"))
}

fn taken(derived: bool) -> &'static str {
    if derived { ", as an operation takes it" } else { "" }
}

fn range(low: u32, high: u32) -> String {
    if low > high { "none".to_owned() } else { format!("{low} to {high}") }
}

impl From<KernelError> for GraphError {
    fn from(error: KernelError) -> Self {
        GraphError::Kernel { error, at: None }
    }
}

impl GraphError {
    /// The same with the place of the operation that a kernel family refused.
    pub(crate) fn called(self, place: Location) -> Self {
        match self {
            GraphError::Kernel { error, at: None } => GraphError::Kernel { error, at: Some(place) },
            other => other,
        }
    }
}

fn list(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(" and ")
}
