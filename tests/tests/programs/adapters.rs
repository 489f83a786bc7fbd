//! The errors when there is no adapter, not the one asked for, or one that lacks something.

use seqloom_device::{AdapterChoice, Device, DeviceError, DeviceOptions};
use seqloom_tests::device;

/// Set in a process that the test below starts.
const CHILD: &str = "SEQLOOM_TEST_WITHOUT_ADAPTER";

/// A process whose Vulkan loader finds no driver: the state of a fresh machine. The loader reads its environment once, so
/// this has to be a process of its own: this same test, told by a variable to be the inner one.
#[test]
#[cfg(target_os = "linux")]
fn without_any_adapter_the_error_says_what_to_install() {
    if std::env::var_os(CHILD).is_some() {
        let error = Device::open(DeviceOptions::default()).map(|_| ()).expect_err("there is no adapter");
        assert!(matches!(error, DeviceError::NoAdapter), "{error:?}");
        assert!(error.to_string().contains("mesa-vulkan-drivers"), "{error}");
        assert!(Device::adapters().is_empty());
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adapters::without_any_adapter_the_error_says_what_to_install", "--nocapture"])
        .env(CHILD, "1")
        // The second is the name that older loaders know.
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .env_remove("VK_ADD_DRIVER_FILES")
        .env_remove("SEQLOOM_ADAPTER")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{text}");
    assert!(text.contains("1 passed"), "the inner test did not run: {text}");
}

#[test]
fn an_adapter_that_is_not_there_is_named_with_those_that_are() {
    let present = device::open().facts().name.clone();
    for (choice, asked) in [
        (AdapterChoice::Name("no such adapter".to_owned()), "no such adapter"),
        (AdapterChoice::Index(usize::MAX), &usize::MAX.to_string()),
    ] {
        let options = DeviceOptions { adapter: Some(choice), no_cache: true, ..DeviceOptions::default() };
        let error = Device::open(options).map(|_| ()).expect_err("there is no such adapter");
        assert!(matches!(error, DeviceError::AdapterNotFound { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(asked) && message.contains(&present), "{message}");
    }
}

#[test]
fn what_an_adapter_lacks_is_named_with_what_it_has_and_what_is_needed() {
    let mut facts = device::open().facts().clone();
    assert!(facts.missing().is_empty(), "the adapter in use suffices");
    facts.max_immediate_bytes = 64;
    facts.max_storage_buffers = 8;
    facts.max_binding_bytes = 1 << 20;
    let missing = facts.missing();
    assert_eq!(missing.len(), 3, "{missing:?}");
    let message = DeviceError::Unsuitable { adapter: facts.name.clone(), missing }.to_string();
    let figures =
        ["64", "128", "8", "12", &(1u64 << 20).to_string(), &(128u64 << 20).to_string(), &facts.name];
    for part in figures {
        assert!(message.contains(part), "no {part} in: {message}");
    }
}
