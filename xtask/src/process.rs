//! Runs other programs: started by name, shown as one line, on request both shown and captured.
//!
//! Variables that `cargo run` sets for this process are not passed on, because build scripts that watch them would run
//! again and rebuild half the workspace.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};

use crate::error::{Result, XtaskError};

/// The cargo that runs us, or the one on the path.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|p| text.starts_with(p))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// The command line as one would type it.
pub fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut words = vec![program.file_stem().unwrap_or_default().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains([' ', '"', '$', '&', ';']) { format!("'{word}'") } else { word.into_owned() }
}

fn start_error(command: &Command) -> impl FnOnce(std::io::Error) -> XtaskError {
    let command = shown(command);
    move |source| XtaskError::Start { command, source }
}

fn ended(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(XtaskError::Command { command: shown(command), status: status.to_string() })
}

/// Runs `command` with our own input and outputs.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(start_error(command))?;
    ended(command, status)
}

/// Whether `command` runs and succeeds; its outputs are dropped.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Runs `command` and returns what it wrote to its standard output; its standard error stays visible.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.stderr(Stdio::inherit()).output().map_err(start_error(command))?;
    ended(command, out.status)?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// As [`output`], but shows standard error only on failure: its last line, in the error.
pub fn output_quiet(command: &mut Command) -> Result<String> {
    let out = command.stderr(Stdio::piped()).output().map_err(start_error(command))?;
    if !out.status.success() {
        let errors = String::from_utf8_lossy(&out.stderr);
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let status = format!("{}: {}", out.status, last.trim());
        return Err(XtaskError::Command { command: shown(command), status });
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs `command`, shows both its outputs as they come, and returns them with the exit status.
pub fn tee(command: &mut Command) -> Result<(String, Result<()>)> {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(start_error(command))?;
    let stderr = child.stderr.take();
    let errors =
        std::thread::spawn(move || stderr.map(|pipe| copy(pipe, std::io::stderr())).unwrap_or_default());
    let mut text = child.stdout.take().map(|pipe| copy(pipe, std::io::stdout())).unwrap_or_default();
    let status = child.wait().map_err(start_error(command))?;
    text.push_str(&errors.join().unwrap_or_default());
    Ok((text, ended(command, status)))
}

/// Copies line by line, so two pipes do not mix within a line.
fn copy(from: impl Read, mut to: impl Write) -> String {
    let mut reader = BufReader::new(from);
    let mut text = String::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        // A closed terminal must not stop the child; output that cannot be shown is still captured.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        text.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    text
}
