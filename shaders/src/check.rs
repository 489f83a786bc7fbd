//! Naga's view of an assembled kernel, compared with the Rust contract; and the kernel in the drivers' languages.
//!
//! One function serves the contract test and `cargo xtask shaders`: it collects every disagreement instead of
//! stopping at the first, because a slip in a shared helper shows up in thirty kernels at once. The feature `check`
//! keeps naga out of ordinary builds of this crate.
//!
//! What is compared: the line of the file's header that names the helpers joined before it, capabilities (only those declared,
//! and none declared in vain), the entry point, bindings (group,
//! index, name, access, element, and that each is really used as declared), the layout of `Params`, `View` and
//! `Control`, the limits that every device must offer, and that SPIR-V, MSL and HLSL can be written.

use naga::back::{hlsl, msl, spv};
use naga::proc::Layouter;
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{
    AddressSpace, GlobalVariable, Handle, Module, Scalar, ShaderStage, StorageAccess, Type, TypeInner,
    VectorSize,
};

use crate::contract::{fields, size_of_field};
use crate::{Access, Control, Elem, Field, Kernel, ViewParams, Wgsl};
use crate::{
    COOPERATIVE_WORKGROUP_BYTES, MAX_WORKGROUP_BYTES, MAX_WORKGROUP_INVOCATIONS, REQUIRED_IMMEDIATE_BYTES,
    REQUIRED_STORAGE_BUFFERS,
};

/// How the line of a header begins that names what is joined before the file.
const JOINED: &str = "// Joined";

/// Bytes of the four stride vectors of `View`.
const VIEW_STRIDES: u32 = size_of_field::<ViewParams, _>(|view| &view.strides);

/// A kernel in the languages of the drivers.
#[derive(Clone, Debug)]
pub struct Translations {
    /// SPIR-V 1.3, for Vulkan.
    pub spirv: Vec<u32>,
    /// Metal Shading Language 2.4, for Metal.
    pub msl: String,
    /// HLSL of shader model 6.0, for DX12; none with cooperative matrices, which it lacks.
    pub hlsl: Option<String>,
}

/// Checks `wgsl`, assembled from `kernel`, and translates it.
///
/// # Errors
/// Every disagreement found, one a string, each beginning with the variant's label.
pub fn check(wgsl: &Wgsl, kernel: &Kernel) -> Result<Translations, Vec<String>> {
    inspect(wgsl, kernel)
        .map_err(|faults| faults.into_iter().map(|fault| format!("{}: {fault}", wgsl.label)).collect())
}

/// [`check`] without the labels.
fn inspect(wgsl: &Wgsl, kernel: &Kernel) -> Result<Translations, Vec<String>> {
    let module = naga::front::wgsl::parse_str(&wgsl.source)
        .map_err(|error| vec![format!("does not parse: {}", error.emit_to_string(&wgsl.source))])?;
    let mut capabilities = Capabilities::IMMEDIATES;
    if kernel.subgroups {
        capabilities |= Capabilities::SUBGROUP;
    }
    if kernel.cooperative {
        capabilities |= Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16;
    }
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| vec![format!("is not valid: {}", error.emit_to_string(&wgsl.source))])?;
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| vec![format!("has no layout: {error}")])?;

    let mut checker = Checker { module: &module, info: &info, layouter: &layouter, faults: Vec::new() };
    if kernel.subgroups {
        let others = capabilities - Capabilities::SUBGROUP;
        let without = Validator::new(ValidationFlags::all(), others).validate(&module);
        checker.expect(without.is_err(), || "declares subgroups and uses none".to_owned());
    }
    checker.expect(wgsl.subgroups == kernel.subgroups, || {
        format!("assembled with subgroups {}, the contract says {}", wgsl.subgroups, kernel.subgroups)
    });
    checker.expect(wgsl.cooperative == kernel.cooperative, || {
        format!("assembled with cooperative {}, the contract says {}", wgsl.cooperative, kernel.cooperative)
    });
    checker.joined(kernel);
    checker.entry_point();
    checker.bindings(wgsl, kernel);
    checker.immediates(wgsl, kernel);
    checker.workgroup_memory(kernel);
    let translations = translate(&module, &info, kernel.cooperative, &mut checker.faults);
    match translations {
        Some(translations) if checker.faults.is_empty() => Ok(translations),
        _ => Err(checker.faults),
    }
}

/// A module, what naga knows of it, and what was found wrong.
struct Checker<'a> {
    module: &'a Module,
    info: &'a ModuleInfo,
    layouter: &'a Layouter,
    faults: Vec<String>,
}

impl<'a> Checker<'a> {
    /// Notes a fault unless `holds`.
    fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// The globals of the spaces that `wanted` picks.
    fn globals(&self, wanted: fn(AddressSpace) -> bool) -> Vec<(Handle<GlobalVariable>, &'a GlobalVariable)> {
        self.module.global_variables.iter().filter(|(_, global)| wanted(global.space)).collect()
    }

    /// The header's lines `// Joined: ...` against the helpers that the contract lists. A file that serves several kernels has a
    /// line `// Joined for NAME: ...` for each.
    fn joined(&mut self, kernel: &Kernel) {
        let header = kernel.source.lines().take_while(|line| line.starts_with("//"));
        let found: Vec<&str> = header.filter(|line| line.starts_with(JOINED)).collect();
        let alone = format!("{JOINED}: {}", kernel.joined());
        let among = format!("{JOINED} for {}: {}", kernel.name, kernel.joined());
        self.expect(found == [alone.as_str()] || found.contains(&among.as_str()), || {
            format!("its header says {found:?}, the contract says `{alone}` (or `{among}` where it shares the file)")
        });
        for line in &found {
            let name = line.strip_prefix(JOINED).and_then(|line| line.strip_prefix(" for "));
            let name = name.and_then(|line| line.split_once(':')).map(|(name, _)| name);
            let known = |name| {
                name == kernel.name || crate::kernel(name).is_some_and(|other| other.file == kernel.file)
            };
            self.expect(name.is_none_or(known), || format!("`{line}` names no kernel of {}", kernel.file));
        }
    }

    /// One compute entry point `main` of a size that every device runs.
    fn entry_point(&mut self) {
        let [entry] = &self.module.entry_points[..] else {
            self.faults.push(format!("has {} entry points instead of 1", self.module.entry_points.len()));
            return;
        };
        self.expect(entry.name == "main" && entry.stage == ShaderStage::Compute, || {
            format!("entry point `{}` ({:?}) should be the compute shader `main`", entry.name, entry.stage)
        });
        let size = entry.workgroup_size;
        let invocations: u64 = size.iter().map(|&side| u64::from(side)).product();
        self.expect((1..=u64::from(MAX_WORKGROUP_INVOCATIONS)).contains(&invocations), || {
            format!("workgroup {size:?} has {invocations} invocations, limit {MAX_WORKGROUP_INVOCATIONS}")
        });
    }

    /// Storage bindings against the table; leaves of fused code come after it, read only.
    fn bindings(&mut self, wgsl: &Wgsl, kernel: &Kernel) {
        let mut found = self.globals(|space| {
            !matches!(space, AddressSpace::WorkGroup | AddressSpace::Private | AddressSpace::Immediate)
        });
        found.sort_by_key(|(_, global)| global.binding);
        let declared: Vec<Access> = kernel.bindings.iter().map(|binding| binding.access).collect();
        self.expect(wgsl.bindings.starts_with(&declared), || {
            format!("assembled bindings {:?} do not begin with the contract's {declared:?}", wgsl.bindings)
        });
        self.expect(found.len() == wgsl.bindings.len(), || {
            format!("has {} bindings, the contract (with leaves) {}", found.len(), wgsl.bindings.len())
        });
        self.expect(found.len() <= REQUIRED_STORAGE_BUFFERS as usize, || {
            format!("has {} storage buffers, limit {REQUIRED_STORAGE_BUFFERS}", found.len())
        });
        for (index, (handle, global)) in found.into_iter().enumerate() {
            let shown = global.name.as_deref().unwrap_or("(nameless)");
            let place = global.binding.map(|binding| (binding.group, binding.binding));
            self.expect(place == Some((0, index as u32)), || {
                format!("binding `{shown}` is at {place:?}, expected (group, binding) (0, {index})")
            });
            let (name, access, elem) = match kernel.bindings.get(index) {
                Some(binding) => (binding.name.to_owned(), binding.access, Some(binding.elem)),
                None => (format!("leaf{}", index - kernel.bindings.len()), Access::Read, None),
            };
            self.expect(shown == name, || {
                format!("binding {index} is `{shown}`, the contract says `{name}`")
            });
            let is = access_of(global.space);
            self.expect(is == Some(access), || {
                format!("binding `{shown}` has {:?}, the contract says {access:?}", global.space)
            });
            let holds = self.elem(global.ty);
            self.expect(holds.is_some_and(|holds| elem.is_none_or(|elem| fits(holds, elem))), || {
                format!("binding `{shown}` holds {holds:?}, the contract says {elem:?}")
            });
            if holds == Some(Elem::Control) {
                self.layout("Control", global.ty, Control::FIELDS, size_of::<Control>() as u32);
            }
            self.used(handle, shown, access);
        }
    }

    /// A binding that `main` never touches, or never writes though declared so, costs a barrier for nothing.
    fn used(&mut self, handle: Handle<GlobalVariable>, name: &str, access: Access) {
        if self.module.entry_points.is_empty() {
            return;
        }
        let usage = self.info.get_entry_point(0)[handle];
        let wanted = match access {
            Access::Read => GlobalUse::READ,
            Access::ReadWrite => GlobalUse::WRITE,
        };
        self.expect(usage.contains(wanted), || {
            format!("binding `{name}` is declared {access:?} and used as {usage:?}")
        });
    }

    /// What a binding's type holds, if it is one of the kinds that a contract can name.
    fn elem(&self, ty: Handle<Type>) -> Option<Elem> {
        let ty = &self.module.types[ty];
        match ty.inner {
            TypeInner::Array { base, size: naga::ArraySize::Dynamic, .. } => {
                match self.module.types[base].inner {
                    TypeInner::Scalar(Scalar::F32) => Some(Elem::F32),
                    TypeInner::Scalar(Scalar::U32) => Some(Elem::U32),
                    TypeInner::Vector { size: VectorSize::Quad, scalar: Scalar::F32 } => Some(Elem::F32x4),
                    TypeInner::Vector { size: VectorSize::Quad, scalar: Scalar::U32 } => Some(Elem::U32x4),
                    _ => None,
                }
            }
            TypeInner::Struct { .. } if ty.name.as_deref() == Some("Control") => Some(Elem::Control),
            _ => None,
        }
    }

    /// `var<immediate> params: Params` against the Pod struct.
    fn immediates(&mut self, wgsl: &Wgsl, kernel: &Kernel) {
        let found = self.globals(|space| space == AddressSpace::Immediate);
        let [(_, global)] = found[..] else {
            self.faults.push(format!("has {} immediate variables instead of 1", found.len()));
            return;
        };
        self.expect(global.name.as_deref() == Some("params"), || {
            format!("the immediates are {:?} instead of `params`", global.name)
        });
        self.layout("Params", global.ty, kernel.params, kernel.params_size);
        self.expect(wgsl.immediate_bytes == kernel.params_size, || {
            format!(
                "assembled with {} immediate bytes, Params has {}",
                wgsl.immediate_bytes, kernel.params_size
            )
        });
        self.expect(
            kernel.params_size <= REQUIRED_IMMEDIATE_BYTES && kernel.params_size.is_multiple_of(4),
            || format!("Params has {} bytes, limit {REQUIRED_IMMEDIATE_BYTES}, in fours", kernel.params_size),
        );
        let view = match &self.module.types[global.ty].inner {
            TypeInner::Struct { members, .. } => members.last(),
            _ => None,
        };
        let view = view.filter(|last| self.module.types[last.ty].name.as_deref() == Some("View"));
        self.expect(view.is_some() || !kernel.fusable, || {
            "is fusable, but the last member of Params is no View".to_owned()
        });
        if let Some(view) = view {
            self.view(view.ty);
        }
    }

    /// `View` against [`ViewParams`], whose strides are one array in Rust and four vectors in WGSL.
    fn view(&mut self, ty: Handle<Type>) {
        let rust = fields!(ViewParams { dims, strides });
        let step = VIEW_STRIDES / 4;
        let mut expected = vec![rust[0]];
        for (i, name) in ["s0", "s1", "s2", "s3"].into_iter().enumerate() {
            expected.push(Field { name, offset: rust[1].offset + step * i as u32, size: step });
        }
        self.layout("View", ty, &expected, size_of::<ViewParams>() as u32);
    }

    /// A WGSL struct against the fields and the size of its Rust mirror.
    fn layout(&mut self, name: &str, ty: Handle<Type>, fields: &[Field], size: u32) {
        let declared = &self.module.types[ty];
        let TypeInner::Struct { members, span } = &declared.inner else {
            self.faults.push(format!("`{name}` is no struct"));
            return;
        };
        self.expect(declared.name.as_deref() == Some(name), || {
            format!("struct {:?} should be called `{name}`", declared.name)
        });
        self.expect(*span == size, || format!("`{name}` has {span} bytes in WGSL and {size} in Rust"));
        self.expect(members.len() == fields.len(), || {
            format!("`{name}` has {} members in WGSL and {} in Rust", members.len(), fields.len())
        });
        for (member, field) in members.iter().zip(fields) {
            let is = (member.name.as_deref().unwrap_or(""), member.offset, self.layouter[member.ty].size);
            let rust = (field.name, field.offset, field.size);
            self.expect(is == rust, || {
                format!("`{name}`: (member, offset, bytes) is {is:?} in WGSL and {rust:?} in Rust")
            });
        }
    }

    /// Workgroup variables within the limit.
    fn workgroup_memory(&mut self, kernel: &Kernel) {
        let limit = if kernel.cooperative { COOPERATIVE_WORKGROUP_BYTES } else { MAX_WORKGROUP_BYTES };
        let globals = self.globals(|space| space == AddressSpace::WorkGroup);
        // Each variable may start at a multiple of 16, as WebGPU counts.
        let bytes: u64 = globals
            .iter()
            .map(|(_, global)| u64::from(self.layouter[global.ty].size).next_multiple_of(16))
            .sum();
        self.expect(bytes <= u64::from(limit), || {
            format!("has {bytes} bytes of workgroup memory, limit {limit}")
        });
    }
}

/// The access of a storage binding.
fn access_of(space: AddressSpace) -> Option<Access> {
    match space {
        AddressSpace::Storage { access } if access == StorageAccess::LOAD => Some(Access::Read),
        AddressSpace::Storage { access } if access == StorageAccess::LOAD | StorageAccess::STORE => {
            Some(Access::ReadWrite)
        }
        _ => None,
    }
}

/// Writes the three languages; what a back end refuses is a fault.
fn translate(
    module: &Module,
    info: &ModuleInfo,
    cooperative: bool,
    faults: &mut Vec<String>,
) -> Option<Translations> {
    let spirv_options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let spirv = spv::write_vec(module, info, &spirv_options, None)
        .map_err(|error| faults.push(format!("cannot be written as SPIR-V: {error}")))
        .ok();
    let msl_options = msl::Options { lang_version: (2, 4), ..Default::default() };
    let msl = msl::write_string(module, info, &msl_options, &msl::PipelineOptions::default())
        .map_err(|error| faults.push(format!("cannot be written as MSL: {error}")))
        .ok();
    // MSL answers per entry point too: a resource that cannot be bound is refused there.
    let msl = msl.and_then(|(text, written)| {
        let mut refused = written.entry_point_names.iter().filter_map(|name| name.as_ref().err()).peekable();
        let sound = refused.peek().is_none();
        faults.extend(refused.map(|error| format!("cannot be written as MSL: {error}")));
        sound.then_some(text)
    });
    let hlsl = if cooperative { None } else { Some(as_hlsl(module, info, faults)?) };
    Some(Translations { spirv: spirv?, msl: msl?, hlsl })
}

fn as_hlsl(module: &Module, info: &ModuleInfo, faults: &mut Vec<String>) -> Option<String> {
    let hlsl_options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        // Any register will do for a listing; without one the writer refuses immediates.
        immediates_target: Some(hlsl::BindTarget { space: 1, ..Default::default() }),
        ..Default::default()
    };
    let hlsl_pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    let hlsl = hlsl::Writer::new(&mut text, &hlsl_options, &hlsl_pipeline)
        .write(module, info, None)
        .map_err(|error| error.to_string())
        .and_then(|written| {
            let refused: Vec<String> = written
                .entry_point_names
                .into_iter()
                .filter_map(|name| name.err().map(|error| error.to_string()))
                .collect();
            if refused.is_empty() { Ok(()) } else { Err(refused.join("; ")) }
        })
        .map_err(|error| faults.push(format!("cannot be written as HLSL: {error}")))
        .ok();
    hlsl.map(|()| text)
}

/// Whether a binding's type is one that the contract allows.
fn fits(holds: Elem, declared: Elem) -> bool {
    let packs = matches!(holds, Elem::F32 | Elem::F32x4 | Elem::U32 | Elem::U32x4);
    holds == declared || declared == Elem::Packed && packs
}
