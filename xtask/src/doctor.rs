//! `cargo xtask doctor`: this machine's adapters, their relevant facts, and which one would be used and why.
//!
//! It only looks. Nothing is installed, and an adapter that does not suit is listed with what it has and what is
//! needed.

use seqloom_device::{AdapterKind, Device, DeviceOptions, Facts};

use crate::error::{Result, XtaskError};

/// Prints the table and the choice.
///
/// # Errors
/// The device's own error if no adapter can be opened.
pub fn run() -> Result<()> {
    let adapters = Device::adapters();
    if adapters.is_empty() {
        println!(
            "No adapter was found. `cargo xtask test` and `cargo xtask demo` install a software one on Debian and Ubuntu."
        );
    }
    for facts in &adapters {
        print!("{}", card(facts));
    }
    let device = Device::open(DeviceOptions::default()).map_err(XtaskError::from)?;
    println!("{}", choice(device.facts(), &adapters, std::env::var("SEQLOOM_ADAPTER").ok().as_deref()));
    Ok(())
}

/// One adapter: a title and a table of *what, has, needs*.
fn card(facts: &Facts) -> String {
    let mut text = format!("[{}] {}\n", facts.index, facts.name);
    let subgroups = match facts.subgroups {
        Some(s) if s.min == s.max => s.min.to_string(),
        Some(s) => format!("{} to {}", s.min, s.max),
        None => "no".to_owned(),
    };
    let cooperative = facts.cooperative.map_or("no".to_owned(), |side| format!("{side}×{side} of f16"));
    let rows: [(&str, String, &str); 17] = [
        ("kind", kind(facts.kind).to_owned(), ""),
        ("backend", facts.backend.clone(), ""),
        ("driver", facts.driver.clone(), ""),
        ("immediates", yes(facts.immediates), "yes"),
        ("immediate bytes", facts.max_immediate_bytes.to_string(), "128"),
        ("storage buffers in a stage", facts.max_storage_buffers.to_string(), "12"),
        ("largest binding", bytes(facts.max_binding_bytes), "128 MiB"),
        ("largest buffer", bytes(facts.max_buffer_bytes), ""),
        ("workgroup invocations", facts.max_workgroup_invocations.to_string(), ""),
        ("workgroup memory", bytes(u64::from(facts.max_workgroup_bytes)), ""),
        ("grid dimension", facts.max_grid.to_string(), ""),
        ("offset alignment", facts.offset_alignment.to_string(), ""),
        ("subgroup size", subgroups, ""),
        ("f16", yes(facts.f16), ""),
        ("cooperative matrices", cooperative, ""),
        ("timestamps", yes(facts.timestamps), ""),
        ("pipeline cache", yes(facts.pipeline_cache), ""),
    ];
    for (what, has, needs) in rows {
        let needs = if needs.is_empty() { String::new() } else { format!("needs {needs}") };
        text.push_str(format!("    {what:<28}{has:<24}{needs}").trim_end());
        text.push('\n');
    }
    let missing = facts.missing();
    for m in &missing {
        text.push_str(&format!("    lacks {m}\n"));
    }
    if missing.is_empty() {
        text.push_str("    suits\n");
    }
    text.push('\n');
    text
}

/// Which adapter would be used, and why.
fn choice(used: &Facts, all: &[Facts], asked: Option<&str>) -> String {
    let why = match asked {
        Some(asked) => format!("SEQLOOM_ADAPTER={asked} asks for it"),
        None if all.len() == 1 => "it is the only one".to_owned(),
        None => format!(
            "of those that suit it is the best kind, {} (order: discrete, integrated, virtual, CPU)",
            kind(used.kind)
        ),
    };
    format!("Would be used: [{}] {}: {why}.", used.index, used.name)
}

fn kind(kind: AdapterKind) -> &'static str {
    match kind {
        AdapterKind::Discrete => "discrete GPU",
        AdapterKind::Integrated => "integrated GPU",
        AdapterKind::Virtual => "virtual GPU",
        AdapterKind::Cpu => "CPU",
        // Other kinds, and future ones.
        _ => "other",
    }
}

fn yes(has: bool) -> String {
    if has { "yes" } else { "no" }.to_owned()
}

/// Bytes in the largest binary unit that leaves a whole number of at least 1.
fn bytes(count: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{} {unit}", count / size),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit() {
        assert_eq!(bytes(128 << 20), "128 MiB");
        assert_eq!(bytes(32768), "32 KiB");
        assert_eq!(bytes(256), "256 B");
        assert_eq!(bytes(u64::MAX), "17179869183 GiB");
    }
}
