//! The choice of an adapter, on made-up facts. Needs no GPU.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.

use seqloom_device::{AdapterChoice, AdapterKind, DeviceError, Facts, Missing, Subgroups, choose};

/// Facts of an adapter that suffices.
fn facts(name: &str, kind: AdapterKind) -> Facts {
    Facts {
        index: 0,
        name: name.to_owned(),
        backend: "vulkan".to_owned(),
        kind,
        driver: "made up 1.0".to_owned(),
        subgroups: Some(Subgroups { min: 32, max: 32 }),
        timestamps: true,
        pipeline_cache: true,
        immediates: true,
        f16: true,
        cooperative: None,
        max_buffer_bytes: 1 << 32,
        max_binding_bytes: 1 << 31,
        max_storage_buffers: 16,
        max_immediate_bytes: 128,
        max_workgroup_invocations: 1024,
        max_workgroup_bytes: 32768,
        max_grid: 65535,
        offset_alignment: 64,
    }
}

/// One of each kind, worst first.
fn machine() -> Vec<Facts> {
    let all = [
        facts("Software Rasterizer", AdapterKind::Cpu),
        facts("Oddity", AdapterKind::Other),
        facts("Hosted GPU", AdapterKind::Virtual),
        facts("Onboard Graphics", AdapterKind::Integrated),
        facts("Big Card", AdapterKind::Discrete),
    ];
    (0..).zip(all).map(|(index, facts)| Facts { index, ..facts }).collect()
}

#[test]
fn the_best_kind_comes_first() {
    let mut machine = machine();
    for best in (0..machine.len()).rev() {
        assert_eq!(choose(&machine, None).unwrap(), best);
        machine.truncate(best);
    }
}

#[test]
fn of_one_kind_the_earlier_one_is_taken() {
    let twins = [facts("first", AdapterKind::Discrete), facts("second", AdapterKind::Discrete)];
    assert_eq!(choose(&twins, None).unwrap(), 0);
}

#[test]
fn a_part_of_the_name_in_any_case_picks() {
    let asked = AdapterChoice::Name("software".to_owned());
    assert_eq!(choose(&machine(), Some(&asked)).unwrap(), 0);
    let best_of_several = AdapterChoice::Name("g".to_owned());
    assert_eq!(choose(&machine(), Some(&best_of_several)).unwrap(), 4);
}

#[test]
fn an_index_picks() {
    assert_eq!(choose(&machine(), Some(&AdapterChoice::Index(2))).unwrap(), 2);
}

#[test]
fn text_is_an_index_or_a_name() {
    assert_eq!(AdapterChoice::parse(" 3 "), AdapterChoice::Index(3));
    assert_eq!(AdapterChoice::parse("llvm"), AdapterChoice::Name("llvm".to_owned()));
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    for asked in [AdapterChoice::Index(9), AdapterChoice::Name("quantum".to_owned())] {
        let error = choose(&machine(), Some(&asked)).unwrap_err();
        let DeviceError::AdapterNotFound { available, .. } = &error else { panic!("{error}") };
        assert_eq!(available.len(), 5);
        let text = error.to_string();
        assert!(text.contains("Big Card") && (text.contains('9') || text.contains("quantum")), "{text}");
    }
}

#[test]
fn an_unsuitable_adapter_is_named_with_limit_has_and_needs() {
    let weak = Facts { max_storage_buffers: 8, ..facts("Weak", AdapterKind::Discrete) };
    let error = choose(&[weak], None).unwrap_err();
    let DeviceError::Unsuitable { adapter, missing } = &error else { panic!("{error}") };
    assert_eq!(adapter, "Weak");
    let [Missing { what, has, needs, .. }] = missing.as_slice() else { panic!("{missing:?}") };
    assert_eq!((*what, *has, *needs), ("storage buffers per kernel", 8, 12));
    assert_eq!(
        error.to_string(),
        "adapter Weak does not suffice: storage buffers per kernel: has 8, needs 12"
    );
}

#[test]
fn everything_that_is_missing_is_listed() {
    let nothing = Facts {
        immediates: false,
        max_immediate_bytes: 0,
        max_storage_buffers: 4,
        max_binding_bytes: 1 << 20,
        ..facts("Nothing", AdapterKind::Cpu)
    };
    assert_eq!(nothing.missing().len(), 4);
}

#[test]
fn an_unsuitable_adapter_yields_to_a_lesser_one_unless_asked_for() {
    let weak = Facts { immediates: false, ..facts("Weak", AdapterKind::Discrete) };
    let machine = [weak, facts("Fine", AdapterKind::Cpu)];
    assert_eq!(choose(&machine, None).unwrap(), 1);
    let asked = AdapterChoice::Name("weak".to_owned());
    assert!(matches!(choose(&machine, Some(&asked)), Err(DeviceError::Unsuitable { .. })));
}

#[test]
fn a_machine_without_adapters_gets_a_hint() {
    let error = choose(&[], None).unwrap_err();
    assert!(matches!(error, DeviceError::NoAdapter));
    assert!(error.to_string().contains("mesa-vulkan-drivers"), "{error}");
}

#[test]
fn lanes_are_known_only_where_all_subgroups_are_equal() {
    let mut adapter = facts("x", AdapterKind::Cpu);
    assert_eq!(adapter.lanes(), Some(32));
    adapter.subgroups = Some(Subgroups { min: 8, max: 32 });
    assert_eq!(adapter.lanes(), None);
    adapter.subgroups = None;
    assert_eq!(adapter.lanes(), None);
    assert!(adapter.is_cpu());
}
