//! `assemble`: the only source of WGSL in the project.
//!
//! Joins the helpers and the kernel's file, and replaces each marked line by the typed value of that name; helpers may
//! have such lines too, where several kernels leave the same thing open. It reads
//! lines and nothing else: no expressions, no conditions, no includes. An override of the pipeline would do for
//! scalars but cannot size a register tile; a preprocessor would make the file on disk something other than WGSL.
//! Extensions are enabled here, since that must stand before everything else: in naga's dialect for kernels with cooperative
//! matrices, in that of the standard ([`Wgsl::standard_source`]) for all that use one.
//!
//! Marked lines: `const NAME: u32|f32|bool = ...; // spec` takes a value and must get one; `alias Name = ...; // spec`
//! keeps its default unless a width is given, but a `coop_mat16x16` takes the side that is given as `SIDE`;
//! `fn fused(value: Value, index: u32) -> Value { return value; } // spec` keeps its unless fused code is given. Anything else
//! that carries the mark is an error, so a typing slip cannot pass.

use std::fmt::Write as _;

use crate::contract::{Access, Elem, Kernel, Spec, Value, Width};
use crate::libs::FUSED_LIBS;
use crate::limits::REQUIRED_STORAGE_BUFFERS;

/// The mark at the end of a line that `assemble` may replace.
const MARK: &str = "// spec";

/// The value that is the side of cooperative matrices, which stands in the names of their types.
const SIDE: &str = "SIDE";

/// The head of the function that fused code replaces.
const FUSED_HEAD: &str = "fn fused(value: Value, index: u32) -> Value {";

/// Generated code for a fusable kernel.
///
/// `body` is the body of `fn fused(value: Value, index: u32) -> Value`, where `index` counts Values; it may call what `lib/pointwise.wgsl`,
/// `lib/activation.wgsl` and `lib/view.wgsl` define, reads the bindings `leaf0`, `leaf1`, ... that `leaves` lists, and reads and writes
/// `state0`, `state1`, ...
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FusedCode {
    /// Statements, ending in a `return`.
    pub body: String,
    /// What each extra read-only binding holds.
    pub leaves: Vec<Elem>,
    /// Number of bindings behind those that hold Values and are written too.
    pub states: usize,
}

impl FusedCode {
    /// Code with a leaf of every element type, for the contract test.
    pub fn sample(width: Width) -> Self {
        match width {
            Width::One => Self::sample_of_one(),
            Width::Four => Self::sample_of_four(),
        }
    }

    fn sample_of_four() -> Self {
        let body = "    let view = params.view;\n\
            \x20   let x = leaf0[strided(index, view.dims, view.s0)];\n\
            \x20   let id = leaf1[strided(index, view.dims, view.s1)];\n\
            \x20   let kept = dropout_four(gelu_erf(add(value, x)), 0.9f, leaf2.seed, 3u, index);\n\
            \x20   return select_(greater(Value(to_f32(id)), Value(0.5f)), kept, tanh_(x));\n";
        FusedCode { body: body.to_owned(), leaves: vec![Elem::F32x4, Elem::U32, Elem::Control], states: 0 }
    }

    fn sample_of_one() -> Self {
        let body = "    let view = params.view;\n\
            \x20   let x = leaf0[strided(index, view.dims, view.s0)];\n\
            \x20   let id = leaf1[strided(index, view.dims, view.s1)];\n\
            \x20   let kept = dropout(gelu_erf(add(value, x)), 0.9f, leaf2.seed, 3u, index);\n\
            \x20   return select_(greater(to_f32(id), 0.5f), kept, tanh_(x));\n";
        FusedCode { body: body.to_owned(), leaves: vec![Elem::F32, Elem::U32, Elem::Control], states: 0 }
    }
}

/// A finished shader: what the device needs to build a pipeline. Equal shaders are equal pipelines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wgsl {
    /// Name of the kernel, as in [`Kernel::name`].
    pub kernel: &'static str,
    /// Kernel and specialisation, for people: `reduce_rows[WORKGROUP=64 MAX=false]+fused`.
    pub label: String,
    /// The WGSL; its entry point is `main`.
    pub source: String,
    /// Access of each storage binding of group 0, the leaves of fused code last.
    pub bindings: Vec<Access>,
    /// Bytes of immediates.
    pub immediate_bytes: u32,
    /// Whether subgroup built-ins are used.
    pub subgroups: bool,
    /// Whether cooperative matrices of 16-bit floats are used.
    pub cooperative: bool,
}

impl Wgsl {
    /// The text as the standard and browsers want it: each extension in use is named before everything else. naga takes
    /// subgroups and immediates for granted, and refuses the line that names the first.
    ///
    /// Nothing where cooperative matrices are used, which only naga knows.
    #[must_use]
    pub fn standard_source(&self) -> Option<String> {
        if self.cooperative {
            return None;
        }
        let subgroups = if self.subgroups { "enable subgroups;\n" } else { "" };
        let immediates = if self.immediate_bytes > 0 { "requires immediate_address_space;\n" } else { "" };
        Some(format!("{subgroups}{immediates}{}", self.source))
    }
}

/// Why a kernel could not be assembled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// A value names no spec line of the kernel's file or its helpers.
    #[error("kernel {kernel} ({file}): value given for `{name}`, which no spec line declares")]
    UnknownSpec {
        /// Kernel.
        kernel: &'static str,
        /// File.
        file: &'static str,
        /// Name of the value.
        name: String,
    },
    /// Two values carry the same name.
    #[error("kernel {kernel}: `{name}` is given twice")]
    DuplicateSpec {
        /// Kernel.
        kernel: &'static str,
        /// Name of the value.
        name: String,
    },
    /// A marked line got no value.
    #[error("kernel {kernel} ({file}:{line}): spec line `{text}` is left unset")]
    Unset {
        /// Kernel.
        kernel: &'static str,
        /// File.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A marked line has a form that is not known.
    #[error(
        "kernel {kernel} ({file}:{line}): spec line `{text}` is neither a const, an alias nor the fused function"
    )]
    Malformed {
        /// Kernel.
        kernel: &'static str,
        /// File.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A value's type is not the line's, or it has no WGSL literal.
    #[error("kernel {kernel} ({file}:{line}): `{name}` is {declared}, the value given is {value}")]
    Type {
        /// Kernel.
        kernel: &'static str,
        /// File.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// Name of the constant.
        name: String,
        /// Type on the line.
        declared: String,
        /// The value.
        value: String,
    },
    /// Fused code for a kernel that takes none.
    #[error("kernel {kernel}: takes no fused code")]
    NotFusable {
        /// Kernel.
        kernel: &'static str,
    },
    /// The contract says fusable, the file has not exactly one fused line (or the other way round).
    #[error("kernel {kernel} ({file}): expected {expected} `fused` spec line(s), found {found}")]
    FusedLine {
        /// Kernel.
        kernel: &'static str,
        /// File.
        file: &'static str,
        /// 1 for a fusable kernel, 0 for any other.
        expected: usize,
        /// Lines found.
        found: usize,
    },
    /// Bindings and leaves together pass the storage buffers that every device must have.
    #[error("kernel {kernel}: {bindings} bindings and {leaves} leaves are more than {limit} storage buffers")]
    TooManyBindings {
        /// Kernel.
        kernel: &'static str,
        /// Bindings of the kernel itself.
        bindings: usize,
        /// Leaves of the fused code.
        leaves: usize,
        /// [`REQUIRED_STORAGE_BUFFERS`].
        limit: u32,
    },
}

/// Builds the WGSL of `spec`, with `fused` in the place of the kernel's default `fused` function.
///
/// # Errors
/// [`AssembleError`] when the values and the file's marked lines disagree, or when `fused` does not fit the kernel.
pub fn assemble<S: Spec>(spec: &S, fused: Option<&FusedCode>) -> Result<Wgsl, AssembleError> {
    assemble_parts(S::KERNEL, &spec.values(), fused)
}

/// [`assemble`] without the types: for tests that need a kernel and values which disagree.
pub fn assemble_parts(
    kernel: &Kernel,
    values: &[(&'static str, Value)],
    fused: Option<&FusedCode>,
) -> Result<Wgsl, AssembleError> {
    if fused.is_some() && !kernel.fusable {
        return Err(AssembleError::NotFusable { kernel: kernel.name });
    }
    for (i, (name, _)) in values.iter().enumerate() {
        if values[..i].iter().any(|(other, _)| other == name) {
            return Err(AssembleError::DuplicateSpec { kernel: kernel.name, name: (*name).to_owned() });
        }
    }
    let leaves = fused.map_or(&[][..], |code| &code.leaves);
    let states = fused.map_or(0, |code| code.states);
    if kernel.bindings.len() + leaves.len() + states > REQUIRED_STORAGE_BUFFERS as usize {
        return Err(AssembleError::TooManyBindings {
            kernel: kernel.name,
            bindings: kernel.bindings.len(),
            leaves: leaves.len() + states,
            limit: REQUIRED_STORAGE_BUFFERS,
        });
    }

    let mut joined =
        Joined { kernel, values, fused, source: String::new(), used: Vec::new(), fused_lines: 0 };
    joined.source.push_str(kernel.extensions());
    let more = if fused.is_some() { FUSED_LIBS } else { &[] };
    for (i, lib) in kernel.libs.iter().chain(more).enumerate() {
        // A fusable kernel may list one of the libs of fused code for its own use.
        if !kernel.libs.iter().chain(more).take(i).any(|before| before.name == lib.name) {
            joined.append(lib.name, lib.source)?;
            joined.source.push('\n');
        }
    }
    joined.append(kernel.file, kernel.source)?;
    let Joined { mut source, used, fused_lines, .. } = joined;
    let expected = usize::from(kernel.fusable);
    if fused_lines != expected {
        return Err(AssembleError::FusedLine {
            kernel: kernel.name,
            file: kernel.file,
            expected,
            found: fused_lines,
        });
    }
    if let Some((name, _)) = values.iter().find(|(name, _)| !used.contains(name)) {
        return Err(AssembleError::UnknownSpec {
            kernel: kernel.name,
            file: kernel.file,
            name: (*name).to_owned(),
        });
    }
    for (i, leaf) in leaves.iter().enumerate() {
        let binding = kernel.bindings.len() + i;
        // Writing into a String cannot fail.
        let _ = writeln!(
            source,
            "@group(0) @binding({binding}) var<storage, read> leaf{i}: {}; // operand {i} of the fused code",
            leaf.wgsl()
        );
    }

    for i in 0..states {
        let binding = kernel.bindings.len() + leaves.len() + i;
        let _ = writeln!(
            source,
            "@group(0) @binding({binding}) var<storage, read_write> state{i}: array<Value>; // what fused code keeps"
        );
    }

    let mut bindings: Vec<Access> = kernel.bindings.iter().map(|binding| binding.access).collect();
    bindings.extend(leaves.iter().map(|_| Access::Read));
    bindings.extend((0..states).map(|_| Access::ReadWrite));
    Ok(Wgsl {
        kernel: kernel.name,
        label: label(kernel, values, fused.is_some()),
        source,
        bindings,
        immediate_bytes: kernel.params_size,
        subgroups: kernel.subgroups,
        cooperative: kernel.cooperative,
    })
}

/// A kernel's text in the making.
struct Joined<'a> {
    kernel: &'a Kernel,
    values: &'a [(&'static str, Value)],
    fused: Option<&'a FusedCode>,
    source: String,
    /// Names that found their line.
    used: Vec<&'static str>,
    /// Marked `fused` lines met.
    fused_lines: usize,
}

impl Joined<'_> {
    /// A declared type; a cooperative matrix with the side that `SIDE` has been given.
    fn sized(&self, declared: &str) -> String {
        match self.values.iter().find(|(name, _)| *name == SIDE) {
            Some((_, Value::U32(side))) => declared.replace("_mat16x16", &format!("_mat{side}x{side}")),
            _ => declared.to_owned(),
        }
    }

    /// Appends a file with its marked lines replaced.
    fn append(&mut self, file: &'static str, text: &str) -> Result<(), AssembleError> {
        let kernel = self.kernel.name;
        for (number, line) in text.lines().enumerate() {
            let at = number + 1;
            let Some(code) = line.trim().strip_suffix(MARK).map(str::trim_end) else {
                self.source.push_str(line);
                self.source.push('\n');
                continue;
            };
            if code.starts_with(FUSED_HEAD) {
                self.fused_lines += 1;
                match self.fused {
                    Some(generated) => {
                        self.source.push_str(FUSED_HEAD);
                        self.source.push('\n');
                        self.source.push_str(generated.body.trim_end());
                        self.source.push_str("\n}");
                    }
                    None => self.source.push_str(code),
                }
            } else if let Some((name, declared)) = alias(code) {
                let given = self.values.iter().find(|(given, _)| *given == name);
                let ty = match given {
                    Some((given, Value::Width(width))) => {
                        self.used.push(given);
                        parts(declared, *width)
                    }
                    None => self.sized(declared),
                    Some((_, value)) => {
                        return Err(AssembleError::Type {
                            kernel,
                            file,
                            line: at,
                            name: name.to_owned(),
                            declared: declared.to_owned(),
                            value: format!("{value:?}"),
                        });
                    }
                };
                let _ = write!(self.source, "alias {name} = {ty};");
            } else {
                let text = || code.to_owned();
                let (name, declared) = constant(code).ok_or_else(|| AssembleError::Malformed {
                    kernel,
                    file,
                    line: at,
                    text: text(),
                })?;
                let Some(&(given, value)) = self.values.iter().find(|(given, _)| *given == name) else {
                    return Err(AssembleError::Unset { kernel, file, line: at, text: text() });
                };
                let literal = literal(value, declared).ok_or_else(|| AssembleError::Type {
                    kernel,
                    file,
                    line: at,
                    name: name.to_owned(),
                    declared: declared.to_owned(),
                    value: format!("{value:?}"),
                })?;
                self.used.push(given);
                let _ = write!(self.source, "const {name}: {declared} = {literal};");
            }
            self.source.push('\n');
        }
        Ok(())
    }
}

/// Name and type of `alias NAME = TYPE;`.
fn alias(code: &str) -> Option<(&str, &str)> {
    let (name, declared) = code.strip_prefix("alias ")?.strip_suffix(';')?.split_once('=')?;
    Some((name.trim(), declared.trim()))
}

/// The WGSL type of so many neighbours of type `of`.
fn parts(of: &str, width: Width) -> String {
    match width {
        Width::One => of.to_owned(),
        Width::Four => format!("vec4<{of}>"),
    }
}

/// Name and type of `const NAME: TYPE = VALUE;`.
fn constant(code: &str) -> Option<(&str, &str)> {
    let (head, tail) = code.strip_prefix("const ")?.split_once('=')?;
    let (name, declared) = head.split_once(':')?;
    tail.ends_with(';').then_some((name.trim(), declared.trim()))
}

/// The WGSL literal of `value` if it has type `declared`.
fn literal(value: Value, declared: &str) -> Option<String> {
    match (value, declared) {
        (Value::U32(value), "u32") => Some(format!("{value}u")),
        // `{:?}` is the shortest text that reads back to the same bits, and WGSL shares its form.
        (Value::F32(value), "f32") if value.is_finite() => Some(format!("{value:?}f")),
        (Value::Bool(value), "bool") => Some(value.to_string()),
        _ => None,
    }
}

/// `name[A=1 B=true]+fused`.
fn label(kernel: &Kernel, values: &[(&'static str, Value)], fused: bool) -> String {
    let mut label = kernel.name.to_owned();
    for (i, (name, value)) in values.iter().enumerate() {
        let value = match value {
            Value::U32(value) => value.to_string(),
            Value::F32(value) => format!("{value:?}"),
            Value::Bool(value) => value.to_string(),
            Value::Width(value) => value.elements().to_string(),
        };
        let _ = write!(label, "{}{name}={value}", if i == 0 { '[' } else { ' ' });
    }
    if !values.is_empty() {
        label.push(']');
    }
    if fused {
        label.push_str("+fused");
    }
    label
}
