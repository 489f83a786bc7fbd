//! What a kernel promises, written once: its spec lines, its immediates, its bindings.
//!
//! A family file (`matmul.rs`, `reduce.rs`, ...) declares its kernels with two macros and lists them:
//!
//! ```text
//! use crate::contract::{Kernel, Spec, ViewParams, kernel, params};
//! use crate::variants::Variants;
//!
//! params! {                                    // the WGSL `struct Params`, shared by kernels that agree on it
//!     /// Docs.
//!     ThingParams { /// Docs.
//!                   len: u32, pad: [u32; 3], /// Docs.
//!                   view: ViewParams }
//! }
//! kernel! {
//!     /// Docs: formula, shapes, grid.
//!     Thing: "thing" in "family/thing.wgsl",   // wgsl/ is implied
//!     params ThingParams,
//!     libs [VIEW],                             // consts of libs.rs, joined before the file in this order
//!     subgroups false,
//!     fusable true,
//!     spec { /// Docs.
//!            WORKGROUP workgroup: u32 }        // WGSL constant, then the Rust field; types u32, f32, bool, Width
//!     bindings { x: Read U32, out: ReadWrite F32 }
//!     shipped [{ workgroup: 64 }, { workgroup: 256 }]   // or the name of a function that returns a Vec<Thing>
//! }
//! pub(crate) const KERNELS: &[&Kernel] = &[Thing::KERNEL];
//! pub(crate) fn variants(out: &mut Variants) { out.shipped::<Thing>(); }
//! ```
//!
//! Rules of the `params!` table: a field whose name begins with `pad` exists in Rust only and stands where WGSL
//! aligns the next `vec4` or `View` (or the struct's end) to 16 bytes; `[u32; 4]` mirrors `vec4<u32>`.
//!
//! Why tables and not reflection at build time: the Rust types must exist for the compiler to check their users,
//! and this crate must build without a shader compiler. The contract test lets naga compare both sides instead,
//! so nothing here is kept in step with the WGSL by hand and hope.

use crate::libs::Lib;

/// How a kernel uses a storage binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// What a storage binding holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elem {
    /// `array<f32>`.
    F32,
    /// `array<u32>`.
    U32,
    /// `array<vec4<f32>>`: loads of 16 bytes.
    F32x4,
    /// `array<vec4<u32>>`.
    U32x4,
    /// One or four f32 or u32, as the kernel's helpers or its specialisation choose: the buffer's content is the same.
    Packed,
    /// The struct `Control` of `lib/control.wgsl`, bound as a struct and not as an array.
    Control,
}

impl Elem {
    /// The WGSL type of a binding that holds this.
    pub fn wgsl(self) -> &'static str {
        match self {
            Elem::F32 => "array<f32>",
            Elem::U32 => "array<u32>",
            Elem::F32x4 => "array<vec4<f32>>",
            Elem::U32x4 => "array<vec4<u32>>",
            Elem::Packed => "array<Packed>",
            Elem::Control => "Control",
        }
    }
}

/// One storage binding; its index is its place in [`Kernel::bindings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Name of the WGSL variable.
    pub name: &'static str,
    /// Declared access.
    pub access: Access,
    /// Element type.
    pub elem: Elem,
}

/// One member of the immediates struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in both languages.
    pub name: &'static str,
    /// Byte offset from the struct's start.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// A value for a spec line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// For `const X: u32`.
    U32(u32),
    /// For `const X: f32`; must be finite.
    F32(f32),
    /// For `const X: bool`.
    Bool(bool),
    /// For `alias X = f32` and the like.
    Width(Width),
}

/// How many neighbouring elements a kernel computes with at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// Each on its own.
    #[default]
    One,
    /// Four, as the parts of a `vec4`; lengths of rows are multiples of 4.
    Four,
}

impl Width {
    /// The number.
    #[must_use]
    pub fn elements(self) -> u32 {
        match self {
            Width::One => 1,
            Width::Four => 4,
        }
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::U32(value)
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Value::F32(value)
    }
}

impl From<Width> for Value {
    fn from(value: Width) -> Self {
        Value::Width(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

/// A kernel's contract: everything that its users know of the WGSL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Unique name, snake case.
    pub name: &'static str,
    /// Path below `wgsl/`.
    pub file: &'static str,
    /// Text of the file.
    pub source: &'static str,
    /// Helpers, in the order in which they are joined.
    pub libs: &'static [&'static Lib],
    /// Names of the spec lines that take a value.
    pub spec: &'static [&'static str],
    /// Members of `struct Params`, padding left out.
    pub params: &'static [Field],
    /// Bytes of `struct Params`.
    pub params_size: u32,
    /// Storage bindings of group 0, in index order.
    pub bindings: &'static [Binding],
    /// Whether it uses subgroup built-ins.
    pub subgroups: bool,
    /// Whether it uses cooperative matrices of 16-bit floats.
    pub cooperative: bool,
    /// Whether it has a `fn fused` line that generated code may replace.
    pub fusable: bool,
}

impl Kernel {
    /// What enables the extensions that it uses; stands before everything else.
    #[must_use]
    pub fn extensions(&self) -> &'static str {
        if self.cooperative { "enable f16;\nenable wgpu_cooperative_matrix;\n" } else { "" }
    }

    /// The helpers as the file's header names them: `value, view`, or `nothing`.
    #[must_use]
    pub fn joined(&self) -> String {
        let stems: Vec<&str> = self.libs.iter().map(|lib| lib.stem()).collect();
        if stems.is_empty() { "nothing".to_owned() } else { stems.join(", ") }
    }
}

/// A typed specialisation of one kernel; declared by the `kernel!` macro.
pub trait Spec: Sized {
    /// The contract of the kernel.
    const KERNEL: &'static Kernel;
    /// Rust's mirror of `struct Params`.
    type Params: Params;
    /// The value of each spec line, by WGSL name.
    fn values(&self) -> Vec<(&'static str, Value)>;
    /// How many elements the kernel, and fused code in it, computes with at once.
    fn width(&self) -> Width {
        let widths = self.values().into_iter().map(|(_, value)| match value {
            Value::Width(width) => width,
            _ => Width::One,
        });
        widths.max_by_key(|width| width.elements()).unwrap_or_default()
    }
    /// The specialisations that the project uses, for the contract test and for dumps.
    fn shipped() -> Vec<Self>;
}

/// A plain struct that mirrors a WGSL `struct Params`; declared by the `params!` macro.
pub trait Params: bytemuck::Pod + Default {
    /// Its members, padding left out.
    const FIELDS: &'static [Field];
}

/// Rust's mirror of `struct View` (80 bytes): how up to four operands of fused code are read.
///
/// Operand j of output element `i` is `leaf[strided(i, dims, strides[j])]`: `i` is split row-major by `dims` and
/// the parts are multiplied with the strides (0 broadcasts).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct ViewParams {
    /// Extents of the output, outermost first; 1 where unused.
    pub dims: [u32; 4],
    /// Element strides of up to four operands, `s0` to `s3` in WGSL.
    pub strides: [[u32; 4]; 4],
}

/// Learning rates that a [`Control`] holds. A step's own update is one of the next that many after those that the host knows of,
/// so fewer steps than this may be on their way at once.
pub const RATES: usize = 8;

/// Rust's mirror of `struct Control` (60 bytes): the numbers of one training step, written before the step.
///
/// A step that is not finite is skipped on the device, and the host hears of it later. Therefore it writes the learning rates of
/// the next [`RATES`] updates behind those that it knows of, and the device, which counts the applied ones, takes the one of its
/// update. A constant rate is `lr: [rate; RATES]`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Control {
    /// Decay of the first moment; 0 for an optimizer without one.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Share of this batch's gradient in a step over several batches; a step over one does not read it.
    pub share: f32,
    /// Largest global gradient norm; 0 or less means no clip.
    pub clip_norm: f32,
    /// What the loss was multiplied with; gradients are divided by it.
    pub loss_scale: f32,
    /// Seed of this step's random numbers.
    pub seed: u32,
    /// Updates that the host knows to be applied.
    pub applied: u32,
    /// Learning rates of the updates `applied` + 1, `applied` + 2 and so on; the last one serves those beyond too.
    pub lr: [f32; RATES],
}

impl Default for Control {
    /// Numbers of a step that changes no parameter: a learning rate of 0, no decay, no clip, a loss scale of 1.
    fn default() -> Self {
        Control {
            beta1: 0.9,
            beta2: 0.999,
            share: 1.0,
            clip_norm: 0.0,
            loss_scale: 1.0,
            seed: 0,
            applied: 0,
            lr: [0.0; RATES],
        }
    }
}

impl Control {
    /// The members as WGSL must lay them out.
    pub const FIELDS: &'static [Field] =
        &fields!(Control { beta1, beta2, share, clip_norm, loss_scale, seed, applied, lr });
}

/// The size of the field that `of` reads; only its type matters.
pub(crate) const fn size_of_field<T, F>(_of: fn(&T) -> &F) -> u32 {
    size_of::<F>() as u32
}

/// An array of [`Field`] for the named members of a Rust struct.
macro_rules! fields {
    ($name:ident { $($field:ident),* $(,)? }) => {
        [$($crate::contract::Field {
            name: stringify!($field),
            offset: ::core::mem::offset_of!($name, $field) as u32,
            size: $crate::contract::size_of_field::<$name, _>(|it| &it.$field),
        }),*]
    };
}

/// Declares a Pod mirror of a WGSL `struct Params`; see the module's header.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, ::bytemuck::Pod, ::bytemuck::Zeroable)]
        pub struct $name { $($(#[$field_doc])* pub $field: $ty),* }

        impl $crate::contract::Params for $name {
            const FIELDS: &'static [$crate::contract::Field] = {
                const ALL: &[$crate::contract::Field] = &$crate::contract::fields!($name { $($field),* });
                const KEPT: [$crate::contract::Field; $crate::contract::kept_count(ALL)] =
                    $crate::contract::kept(ALL);
                &KEPT
            };
        }
    };
}

/// Declares a kernel: its spec struct and its contract; see the module's header.
macro_rules! kernel {
    (
        $(#[$doc:meta])*
        $name:ident: $label:literal in $file:literal,
        params $params:ty,
        libs [$($lib:ident),* $(,)?],
        subgroups $subgroups:literal,
        $(cooperative $cooperative:literal,)?
        fusable $fusable:literal,
        spec { $($(#[$field_doc:meta])* $constant:ident $field:ident: $ty:ty),* $(,)? }
        bindings { $($binding:ident: $access:ident $elem:ident),* $(,)? }
        shipped $shipped:tt
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $ty),* }

        impl $crate::contract::Spec for $name {
            const KERNEL: &'static $crate::contract::Kernel = &$crate::contract::Kernel {
                name: $label,
                file: $file,
                source: include_str!(concat!("../wgsl/", $file)),
                libs: &[$(&$crate::libs::$lib),*],
                spec: &[$(stringify!($constant)),*],
                params: <$params as $crate::contract::Params>::FIELDS,
                params_size: size_of::<$params>() as u32,
                bindings: &[$($crate::contract::Binding {
                    name: stringify!($binding),
                    access: $crate::contract::Access::$access,
                    elem: $crate::contract::Elem::$elem,
                }),*],
                subgroups: $subgroups,
                cooperative: false $(|| $cooperative)?,
                fusable: $fusable,
            };
            type Params = $params;

            fn values(&self) -> Vec<(&'static str, $crate::contract::Value)> {
                vec![$((stringify!($constant), $crate::contract::Value::from(self.$field))),*]
            }

            fn shipped() -> Vec<Self> {
                $crate::contract::shipped!($shipped)
            }
        }
    };
}

/// The list of shipped specialisations, from the table or from a function that makes it.
macro_rules! shipped {
    ([$({ $($init:tt)* }),* $(,)?]) => {
        vec![$(Self { $($init)* }),*]
    };
    ($list:ident) => {
        $list()
    };
}

pub(crate) use {fields, kernel, params, shipped};

/// Whether WGSL has this field too: names that begin with `pad` are Rust's alone.
const fn is_kept(field: &Field) -> bool {
    !matches!(field.name.as_bytes(), [b'p', b'a', b'd', ..])
}

/// How many fields are not padding.
pub(crate) const fn kept_count(fields: &[Field]) -> usize {
    let (mut count, mut i) = (0, 0);
    while i < fields.len() {
        count += is_kept(&fields[i]) as usize;
        i += 1;
    }
    count
}

/// The fields that are not padding.
pub(crate) const fn kept<const N: usize>(fields: &[Field]) -> [Field; N] {
    let mut out = [Field { name: "", offset: 0, size: 0 }; N];
    let (mut count, mut i) = (0, 0);
    while i < fields.len() {
        if is_kept(&fields[i]) {
            out[count] = fields[i];
            count += 1;
        }
        i += 1;
    }
    out
}
