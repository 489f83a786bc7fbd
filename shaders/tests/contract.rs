//! Every kernel in every shipped variant, against its contract, without a GPU.
//!
//! All faults are printed at once: a slip in a helper breaks many kernels, and one run should show all of it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is how a test fails

use std::collections::HashSet;

use seqloom_shaders::check::check;
use seqloom_shaders::matmul::MatmulCooperative;
use seqloom_shaders::{
    Access, AssembleError, Binding, Elem, FusedCode, Kernel, Spec, Value, Wgsl, Width, assemble,
    assemble_parts, kernel, kernels, libs, pointwise::Map, variants, view::Gather,
};

/// Fails with all of `faults`.
fn report(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_shipped_variant_keeps_its_contract() {
    let mut faults = Vec::new();
    for variant in variants() {
        match variant {
            Err(error) => faults.push(error.to_string()),
            Ok(wgsl) => match kernel(wgsl.kernel) {
                None => faults.push(format!("{}: no kernel of that name is listed", wgsl.label)),
                Some(kernel) => match check(&wgsl, kernel) {
                    Err(found) => faults.extend(found),
                    Ok(written) => {
                        assert!(
                            !written.spirv.is_empty()
                                && !written.msl.is_empty()
                                && written.hlsl.as_ref().is_none_or(|hlsl| !hlsl.is_empty())
                        );
                    }
                },
            },
        }
    }
    report(&faults);
}

#[test]
fn every_kernel_is_listed_once_and_shipped() {
    let mut faults = Vec::new();
    let shipped: Vec<Wgsl> = variants().into_iter().flatten().collect();
    let (mut names, mut files) = (HashSet::new(), HashSet::new());
    for kernel in kernels() {
        if !names.insert(kernel.name) {
            faults.push(format!("kernel {} is listed twice", kernel.name));
        }
        // A file with other helpers is another kernel.
        if !files.insert((kernel.file, kernel.libs.iter().map(|lib| lib.name).collect::<Vec<_>>())) {
            faults.push(format!("file {} belongs to two kernels with the same helpers", kernel.file));
        }
        if !shipped.iter().any(|wgsl| wgsl.kernel == kernel.name) {
            faults.push(format!("kernel {} is shipped in no variant", kernel.name));
        }
    }
    let mut labels = HashSet::new();
    for wgsl in &shipped {
        if !labels.insert(&wgsl.label) {
            faults.push(format!("variant {} is shipped twice", wgsl.label));
        }
    }
    report(&faults);
}

#[test]
fn every_wgsl_file_is_listed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("wgsl");
    let listed: HashSet<&str> =
        kernels().iter().map(|kernel| kernel.file).chain(libs().iter().map(|lib| lib.name)).collect();
    let mut faults = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let parts = path.strip_prefix(&root).unwrap().components();
            let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
            if !listed.contains(parts.join("/").as_str()) {
                faults.push(format!("wgsl/{} belongs to no kernel and is no lib", parts.join("/")));
            }
        }
    }
    report(&faults);
}

/// A header names a lib by its stem.
#[test]
fn every_lib_has_a_stem_of_its_own() {
    let stems: HashSet<&str> = libs().iter().map(|lib| lib.stem()).collect();
    assert_eq!(stems.len(), libs().len());
}

/// A file as on disk is valid WGSL once its libs are joined: the marks are comments, the defaults are values.
#[test]
fn files_parse_with_their_defaults() {
    let mut faults = Vec::new();
    for kernel in kernels() {
        let mut source = kernel.extensions().to_owned();
        kernel.libs.iter().for_each(|lib| source.push_str(lib.source));
        source.push_str(kernel.source);
        if let Err(error) = naga::front::wgsl::parse_str(&source) {
            faults.push(format!("{}: {}", kernel.file, error.emit_to_string(&source)));
        }
    }
    report(&faults);
}

/// An alias that no kernel sets is only another name for its type.
#[test]
fn every_marked_alias_is_set_by_some_kernel() {
    let mut faults = Vec::new();
    let files = kernels().iter().map(|kernel| (kernel.file, kernel.source));
    for (file, source) in files.chain(libs().iter().map(|lib| (lib.name, lib.source))) {
        let joins = |kernel: &Kernel| kernel.file == file || kernel.libs.iter().any(|lib| lib.name == file);
        for line in source.lines().filter(|line| line.starts_with("alias ") && line.ends_with("// spec")) {
            let name = line["alias ".len()..].split(' ').next().unwrap();
            // The side of cooperative matrices is set in their types.
            let name = if line.contains("coop_mat") { "SIDE" } else { name };
            if !kernels().iter().any(|kernel| joins(kernel) && kernel.spec.contains(&name)) {
                faults.push(format!("{file}: no kernel sets `{line}`"));
            }
        }
    }
    report(&faults);
}

#[test]
fn cooperative_matrices_take_their_side_and_extensions_come_first() {
    for spec in MatmulCooperative::shipped() {
        let source = assemble(&spec, None).unwrap().source;
        assert!(source.starts_with("enable f16;\nenable wgpu_cooperative_matrix;\n"), "{source}");
        let side = spec.side;
        for part in [format!("SIDE: u32 = {side}u;"), format!("alias Left = coop_mat{side}x{side}<f16, A>;")]
        {
            assert!(source.contains(&part), "{part} is not in\n{source}");
        }
        assert_eq!(source.contains("mat16x16"), side == 16);
    }
}

#[test]
fn assembling_is_repeatable_and_replaces_values() {
    let code = FusedCode::sample(Width::One);
    let one = Map { workgroup: 128, width: Width::One };
    let first = assemble(&one, Some(&code)).unwrap();
    assert_eq!(first, assemble(&one, Some(&code)).unwrap());
    assert_eq!(first.label, "map[WORKGROUP=128 Value=1]+fused");
    assert!(first.source.contains("const WORKGROUP: u32 = 128u;"));
    assert!(first.source.contains("alias Value = f32;"));
    let four = assemble(&Map { width: Width::Four, ..one }, Some(&FusedCode::sample(Width::Four))).unwrap();
    assert_eq!(four.label, "map[WORKGROUP=128 Value=4]+fused");
    assert!(four.source.contains("alias Value = vec4<f32>;"));
    assert_eq!(first.bindings, [Access::ReadWrite, Access::Read, Access::Read, Access::Read]);
    assert_eq!(first.immediate_bytes, 96);
}

/// A small sound kernel, for the tests that break it.
const GOOD: Kernel = Kernel {
    name: "toy",
    file: "toy.wgsl",
    source: "// Joined: nothing\n\
        const WORKGROUP: u32 = 8u; // spec\n\
        const GAIN: f32 = 1.0f; // spec\n\
        struct Params { len: u32 }\n\
        var<immediate> params: Params;\n\
        @group(0) @binding(0) var<storage, read> x: array<f32>;\n\
        @group(0) @binding(1) var<storage, read_write> out: array<f32>;\n\
        var<workgroup> tile: array<f32, WORKGROUP>;\n\
        @compute @workgroup_size(WORKGROUP)\n\
        fn main(@builtin(local_invocation_index) i: u32) {\n\
            tile[i] = GAIN * x[min(i, params.len - 1u)];\n\
            if i < params.len { out[i] = tile[i]; }\n\
        }\n",
    libs: &[],
    spec: &["WORKGROUP", "GAIN"],
    params: &[seqloom_shaders::Field { name: "len", offset: 0, size: 4 }],
    params_size: 4,
    bindings: &[
        Binding { name: "x", access: Access::Read, elem: Elem::F32 },
        Binding { name: "out", access: Access::ReadWrite, elem: Elem::F32 },
    ],
    subgroups: false,
    cooperative: false,
    fusable: false,
};

const VALUES: [(&str, Value); 2] = [("WORKGROUP", Value::U32(64)), ("GAIN", Value::F32(0.5))];

#[test]
fn a_sound_kernel_passes() {
    let wgsl = assemble_parts(&GOOD, &VALUES, None).unwrap();
    assert!(check(&wgsl, &GOOD).is_ok(), "{:?}", check(&wgsl, &GOOD));
}

/// Assembles `kernel` and returns what the check finds, each expected part of a message ticked off.
fn expect_faults(kernel: &Kernel, values: &[(&'static str, Value)], expected: &[&str]) {
    let wgsl = assemble_parts(kernel, values, None).unwrap();
    let found = check(&wgsl, kernel).expect_err("the mistake should be found");
    for part in expected {
        assert!(found.iter().any(|fault| fault.contains(part)), "no `{part}` among {found:#?}");
    }
}

#[test]
fn mistakes_in_a_contract_are_all_reported_at_once() {
    let wrong = Kernel {
        params: &[seqloom_shaders::Field { name: "length", offset: 4, size: 8 }],
        params_size: 8,
        bindings: &[
            Binding { name: "y", access: Access::ReadWrite, elem: Elem::U32 },
            Binding { name: "out", access: Access::Read, elem: Elem::Control },
        ],
        ..GOOD
    };
    expect_faults(
        &wrong,
        &VALUES,
        &[
            "binding 0 is `x`, the contract says `y`",
            "binding `x` has Storage",
            "binding `x` holds Some(F32), the contract says Some(U32)",
            "binding `out` has Storage",
            "binding `out` holds Some(F32), the contract says Some(Control)",
            "`Params` has 4 bytes in WGSL and 8 in Rust",
            "(\"length\", 4, 8) in Rust",
        ],
    );
    expect_faults(&Kernel { bindings: &GOOD.bindings[..1], ..GOOD }, &VALUES, &["has 2 bindings"]);
    expect_faults(&Kernel { subgroups: true, ..GOOD }, &VALUES, &["declares subgroups and uses none"]);
}

#[test]
fn a_header_names_what_is_joined() {
    let libs = &[&seqloom_shaders::VALUE, &seqloom_shaders::RNG];
    let body = GOOD.source.split_once('\n').unwrap().1;
    let headed = |lines: &str| Kernel { source: format!("{lines}\n{body}").leak(), libs, ..GOOD };
    let sound = headed("// Joined: value, rng");
    assert!(check(&assemble_parts(&sound, &VALUES, None).unwrap(), &sound).is_ok());
    let says = "the contract says `// Joined: value, rng`";
    expect_faults(&headed("// A toy."), &VALUES, &["its header says []", says]);
    expect_faults(&headed("// Joined: value"), &VALUES, &["[\"// Joined: value\"]", says]);
    expect_faults(&headed("// Joined: rng, value"), &VALUES, &[says]);
    expect_faults(&headed("// Joined: value, rng\n// Joined: value"), &VALUES, &[says]);
    expect_faults(&headed("// Toy.\n\n// Joined: value, rng"), &VALUES, &[says]);
    // Where a file serves several kernels each has its line, and no line is left over from one that is gone.
    let lines = "// Joined for toy: value, rng\n// Joined for gone: value";
    expect_faults(&headed(lines), &VALUES, &["`// Joined for gone: value` names no kernel of toy.wgsl"]);
    expect_faults(&headed("// Joined for other: value, rng"), &VALUES, &[says]);
}

#[test]
fn mistakes_in_a_file_are_reported() {
    let large = [("WORKGROUP", Value::U32(8192)), ("GAIN", Value::F32(1.0))];
    expect_faults(&GOOD, &large, &["8192 invocations, limit 256", "32768 bytes of workgroup memory"]);

    let shuffled = "var<immediate> params: vec4<u32>;\n\
        @group(1) @binding(3) var<storage, read> x: array<f32>;\n\
        @group(0) @binding(0) var<storage, read_write> out: array<f32>;\n\
        @compute @workgroup_size(1) fn run() { out[0] = f32(params.x); }\n";
    expect_faults(
        &Kernel { source: shuffled, spec: &[], ..GOOD },
        &[],
        &[
            "entry point `run`",
            "`x` is at Some((1, 3))",
            "`Params` is no struct",
            "binding `out` is declared Read and used as GlobalUse(WRITE)",
            "binding `x` is declared ReadWrite and used as GlobalUse(0x0)",
        ],
    );

    let broken = Kernel { source: "fn main() { let x = ; }", spec: &[], ..GOOD };
    expect_faults(&broken, &[], &["does not parse"]);

    let undeclared = "struct Params { len: u32 }\nvar<immediate> params: Params;\n\
        @group(0) @binding(0) var<storage, read_write> out: array<f32>;\n\
        @compute @workgroup_size(8) fn main() { out[params.len] = subgroupAdd(1.0f); }\n";
    expect_faults(&Kernel { source: undeclared, spec: &[], ..GOOD }, &[], &["is not valid"]);
}

#[test]
fn marked_lines_and_values_must_agree() {
    let unknown = assemble_parts(&GOOD, &[VALUES[0], VALUES[1], ("TILE", Value::U32(1))], None);
    assert!(matches!(unknown, Err(AssembleError::UnknownSpec { name, .. }) if name == "TILE"));
    let unset = assemble_parts(&GOOD, &VALUES[..1], None);
    assert!(matches!(unset, Err(AssembleError::Unset { line: 3, .. })), "{unset:?}");
    let twice = assemble_parts(&GOOD, &[VALUES[0], VALUES[1], VALUES[0]], None);
    assert!(matches!(twice, Err(AssembleError::DuplicateSpec { .. })));
    for value in [Value::Bool(true), Value::U32(1), Value::F32(f32::NAN), Value::F32(f32::INFINITY)] {
        let mistyped = assemble_parts(&GOOD, &[VALUES[0], ("GAIN", value)], None);
        assert!(matches!(mistyped, Err(AssembleError::Type { line: 3, .. })), "{mistyped:?}");
    }
    // An alias keeps its default, or becomes as wide as is said.
    let words = Kernel { source: "alias Word = u32; // spec\n", ..GOOD };
    let word = |given: &[_]| assemble_parts(&words, given, None);
    assert_eq!(word(&[]).unwrap().source, "alias Word = u32;\n");
    assert_eq!(word(&[("Word", Value::Width(Width::Four))]).unwrap().source, "alias Word = vec4<u32>;\n");
    let mistyped = word(&[("Word", Value::U32(4))]);
    assert!(matches!(mistyped, Err(AssembleError::Type { line: 1, .. })), "{mistyped:?}");
    let malformed = Kernel { source: "override WORKGROUP: u32 = 8u; // spec\n", ..GOOD };
    let malformed = assemble_parts(&malformed, &VALUES, None);
    assert!(matches!(malformed, Err(AssembleError::Malformed { line: 1, .. })));
}

#[test]
fn fused_code_must_fit() {
    let code = FusedCode::sample(Width::One);
    let refused = assemble(&Gather { workgroup: 64, width: Width::One }, Some(&code));
    assert_eq!(refused, Err(AssembleError::NotFusable { kernel: "gather" }));
    let lineless = Kernel { fusable: true, ..GOOD };
    let lineless = assemble_parts(&lineless, &VALUES, None);
    assert!(matches!(lineless, Err(AssembleError::FusedLine { expected: 1, found: 0, .. })));
    let secret = Kernel { fusable: false, ..*Map::KERNEL };
    let secret = assemble_parts(&secret, &[VALUES[0]], None);
    assert!(matches!(secret, Err(AssembleError::FusedLine { expected: 0, found: 1, .. })));
    let many = FusedCode { body: "    return value;".to_owned(), leaves: vec![Elem::F32; 12], states: 0 };
    let many = assemble(&Map { workgroup: 64, width: Width::One }, Some(&many));
    assert!(matches!(many, Err(AssembleError::TooManyBindings { leaves: 12, .. })));
}
