//! Makes sure that there is an adapter to run on, so a machine with only Rust can train.
//!
//! An adapter that is there is used. If none suits, on Debian and Ubuntu the software Vulkan driver is installed with
//! the system's package manager, if this process has the rights (root, or `sudo` without a password). Otherwise the
//! exact command is printed and the task stops. It never asks for a password, and never goes on without an adapter,
//! because a test run that silently skips the GPU proves nothing.
//!
//! After an installation the adapters are listed again in this process: every listing opens a new instance, and the
//! Vulkan loader reads its driver files at that moment.

use std::process::{Command, Stdio};

use seqloom_device::{Device, Facts};

use crate::error::{Result, XtaskError};
use crate::process;

/// Debian's package of Mesa's Vulkan drivers, which includes lavapipe, and the loader (a dependency, named to be safe).
const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

/// Makes sure that at least one adapter suits; installs the software driver if possible.
///
/// # Errors
/// [`XtaskError::NoAdapter`] with the command to type, [`XtaskError::StillNoAdapter`] if installing did not
/// help.
pub fn prepare() -> Result<()> {
    let found = Device::adapters();
    if suitable(&found) {
        return Ok(());
    }
    let why = describe(&found);
    let no_adapter = |advice: String| XtaskError::NoAdapter { why: why.clone(), advice };
    if !cfg!(target_os = "linux") {
        return Err(no_adapter(elsewhere().to_owned()));
    }
    if !process::succeeds(Command::new("apt-get").arg("--version")) {
        return Err(no_adapter(other_linux().to_owned()));
    }
    let Some(rights) = rights() else {
        return Err(no_adapter(format!("Install the software Vulkan driver by:\n\n    {}", command_line())));
    };
    eprintln!("no suitable adapter ({why}): installing {}", PACKAGES[0]);
    // A stale package list fails later with its own clear message; an unreachable mirror may still have a cache.
    if let Err(error) = process::run(&mut apt(&rights, &["update", "--quiet"])) {
        eprintln!("warning: {error}");
    }
    let mut install = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    install.extend(PACKAGES);
    process::run(&mut apt(&rights, &install))?;
    let found = Device::adapters();
    if suitable(&found) { Ok(()) } else { Err(XtaskError::StillNoAdapter { why: describe(&found) }) }
}

/// Whether any adapter has all that is required.
fn suitable(adapters: &[Facts]) -> bool {
    adapters.iter().any(|facts| facts.missing().is_empty())
}

/// The adapters found, in one line.
fn describe(adapters: &[Facts]) -> String {
    if adapters.is_empty() {
        return "none was found".to_owned();
    }
    let one = |facts: &Facts| {
        let lacks: Vec<String> = facts.missing().iter().map(ToString::to_string).collect();
        format!("{} ({}) lacks {}", facts.name, facts.backend, lacks.join(", "))
    };
    adapters.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What goes before `apt-get`: nothing for root, `sudo -n` if that works without a password.
fn rights() -> Option<Vec<&'static str>> {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    if id.is_ok_and(|out| out.stdout.trim_ascii() == b"0") {
        return Some(Vec::new());
    }
    process::succeeds(Command::new("sudo").args(["-n", "true"])).then(|| vec!["sudo", "-n"])
}

fn apt(rights: &[&str], args: &[&str]) -> Command {
    // `env` sets the variable on the far side of sudo, which clears the environment.
    let mut words = [rights, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], args].concat();
    let mut command = Command::new(words.remove(0));
    // Output of apt goes to standard error: standard output may be JSON that somebody reads.
    command.args(words).stdin(Stdio::null()).stdout(std::io::stderr());
    command
}

fn command_line() -> String {
    format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {}", PACKAGES.join(" "))
}

fn other_linux() -> &'static str {
    "Install your distribution's Vulkan driver: a GPU's own, or Mesa's software driver lavapipe\n\
     (Fedora: mesa-vulkan-drivers; Arch: vulkan-swrast; Alpine: mesa-vulkan-swrast)."
}

fn elsewhere() -> &'static str {
    "On macOS, Metal comes with the system. On Windows, DX12 comes with the system and WARP serves as a software\n\
     adapter; a GPU needs its vendor's driver. `cargo xtask doctor` shows what each adapter lacks."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_type_installs_the_driver_after_an_update() {
        let line = command_line();
        let (update, install) = line.split_once(" && ").unwrap();
        assert_eq!(update, "sudo apt-get update");
        assert!(install.contains("install -y") && install.contains("mesa-vulkan-drivers"), "{install}");
    }

    #[test]
    fn root_runs_apt_without_sudo_and_others_with_it() {
        assert_eq!(
            process::shown(&apt(&[], &["update"])),
            "env DEBIAN_FRONTEND=noninteractive apt-get update"
        );
        let with = process::shown(&apt(&["sudo", "-n"], &["update"]));
        assert_eq!(with, "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get update");
    }

    #[test]
    fn no_adapter_is_said_plainly() {
        assert!(!suitable(&[]));
        assert_eq!(describe(&[]), "none was found");
    }
}
