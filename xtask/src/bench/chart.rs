//! Draws the README's charts from rows: matrix products, training steps, attention, and growth.

use std::path::{Path, PathBuf};

use seqloom::train::{Axis, Bars, Chart, Line, Series, bar_chart, line_chart};

use super::row::Row;
use super::study::Study;
use crate::error::{Result, at};

/// A chart of bars: file, title, axis, workloads, and what a bar shows.
struct Sheet {
    file: &'static str,
    title: &'static str,
    axis: &'static str,
    workloads: &'static [&'static str],
    value: fn(&Row) -> Option<f64>,
}

const SHEETS: &[Sheet] = &[
    Sheet {
        file: "matmul.svg",
        title: "Matrix product, float32: higher is better",
        axis: "GFLOP/s",
        workloads: &["W1"],
        value: |row| row.gflops,
    },
    Sheet {
        file: "steps.svg",
        title: "One training step, or 128 generated tokens: lower is better",
        axis: "ms",
        workloads: &["W2", "W3", "W4", "W5", "W7"],
        value: |row| Some(row.median_ms),
    },
    Sheet {
        file: "attention.svg",
        title: "Causal attention, batch 4, 8 heads of 64: lower is better",
        axis: "ms",
        workloads: &["W6"],
        value: |row| Some(row.median_ms),
    },
];

/// Draws every chart that has figures into `folder`; returns the files.
///
/// # Errors
/// A file that cannot be written.
pub fn draw(folder: &Path, rows: &[Row], studies: &[Study]) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    let mut drawn = Vec::new();
    for sheet in SHEETS {
        let rows: Vec<&Row> = rows
            .iter()
            // Queued cases measure a system's host, not products, and would crowd the picture.
            .filter(|row| sheet.workloads.contains(&row.workload.as_str()) && !row.case.ends_with("_pipe"))
            .filter(|row| row.error.is_none())
            .collect();
        if rows.is_empty() {
            continue;
        }
        let path = folder.join(sheet.file);
        bars(&path, sheet, &rows)?;
        drawn.push(path);
    }
    for (unit, file) in [("ms", "growth.svg"), ("MiB", "growth_memory.svg")] {
        let grown: Vec<&Study> = studies
            .iter()
            .filter(|study| study.workload == "growth" && study.sizes_are == "T" && study.unit == unit)
            .collect();
        if !grown.is_empty() {
            let path = folder.join(file);
            growth(&path, unit, &grown)?;
            drawn.push(path);
        }
    }
    Ok(drawn)
}

/// Each of them once, in order of first appearance.
fn distinct<'a>(of: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in of {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn bars(path: &Path, sheet: &Sheet, rows: &[&Row]) -> Result<()> {
    let groups = distinct(rows.iter().map(|row| row.case.as_str()));
    let systems = distinct(rows.iter().map(|row| row.peer.as_str()));
    let value = |peer: &str, case: &str| {
        let row = rows.iter().find(|row| row.peer == peer && row.case == case)?;
        (sheet.value)(row)
    };
    let series = systems
        .iter()
        .map(|peer| Series { label: peer, values: groups.iter().map(|case| value(peer, case)).collect() })
        .collect();
    let y = Axis { label: sheet.axis, log: true };
    Ok(bar_chart(path, &Bars { title: sheet.title, y, groups, series })?)
}

fn growth(path: &Path, unit: &str, studies: &[&Study]) -> Result<()> {
    let name = |study: &&Study| format!("{}: exponent {:.2}", study.case.replace('_', " by "), study.result);
    let names: Vec<String> = studies.iter().map(name).collect();
    let points = |study: &&Study| study.sizes.iter().copied().zip(study.values.iter().copied()).collect();
    let lines = studies.iter().zip(&names).map(|(s, label)| Line { label, points: points(s) }).collect();
    let title = if unit == "ms" { "Time of a step against T" } else { "Memory against T" };
    let (x, y) = (Axis { label: "T", log: true }, Axis { label: unit, log: true });
    Ok(line_chart(path, &Chart { title, x, y, lines })?)
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn what_has_figures_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            row("seqloom", "lstm1", [9.0; 3]),
            row("torch", "lstm1", [3.0; 3]),
            row("torch", "lstm2", [6.0; 3]),
        ];
        let study = Study {
            workload: "growth".to_owned(),
            case: "lstm_T".to_owned(),
            sizes_are: "T".to_owned(),
            sizes: vec![64.0, 128.0],
            unit: "ms".to_owned(),
            values: vec![10.0, 20.0],
            result_is: "exponent".to_owned(),
            result: 1.0,
            limit: 1.05,
            adapter: "adapter".to_owned(),
        };
        let drawn = draw(&folder.path().join("new"), &rows, &[study]).unwrap();
        let names: Vec<_> = drawn.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["steps.svg", "growth.svg"]);
        let steps = std::fs::read_to_string(&drawn[0]).unwrap();
        for word in ["seqloom", "torch", "lstm1", "lstm2", "9.00"] {
            assert!(steps.contains(word), "{word}");
        }
        assert!(std::fs::read_to_string(&drawn[1]).unwrap().contains("lstm by T: exponent 1.00"));
    }
}
