//! The report for people: a table per workload, one of the peers beside us, and above them the machine and its
//! ceilings.

use super::cases;
use super::ceilings::Ceilings;
use super::row::{OURS, Row};
use super::table::{Table, mebibytes, number, percent};

/// The adapter and its ceilings.
pub fn head(device: &str, ceilings: Ceilings) {
    println!("{device}, seqloom {}", env!("CARGO_PKG_VERSION"));
    println!(
        "ceilings: multiply-add {} GFLOP/s, triad {} GB/s; shares of the roofline are of these",
        number(ceilings.flops / 1e9),
        number(ceilings.bytes / 1e9)
    );
}

/// The head, as far as rows of an earlier run contain it.
pub fn head_of(rows: &[Row]) {
    let Some(row) = rows.iter().find(|row| row.peer == OURS) else { return };
    if let (Some(device), Some(flops), Some(bytes)) = (&row.device, row.ceiling_gflops, row.ceiling_gb_per_s)
    {
        head(device, Ceilings { flops: flops * 1e9, bytes: bytes * 1e9 });
    }
}

/// One table of ours per workload.
pub fn ours(rows: &[Row]) {
    for (workload, rows) in by_workload(rows, |row| row.peer == OURS) {
        let title = cases::workload(workload).map_or("", |workload| workload.title);
        println!("\n{workload}  {title}");
        let mut table = Table::new(&[
            "case",
            "median ms",
            "±",
            "least",
            "first, cold",
            "first, warm",
            "tokens/s",
            "GFLOP/s",
            "of roofline",
            "MiB planned",
            "peak",
            "dispatches",
            "host µs each",
        ]);
        for row in rows {
            table.row(vec![
                row.case.clone(),
                number(row.median_ms),
                percent(row.spread()),
                number(row.min_ms),
                number(row.first_ms),
                number(row.first_warm_ms),
                number(row.tokens_per_s),
                number(row.gflops),
                percent(row.roofline_share),
                mebibytes(row.planned_bytes),
                mebibytes(row.device_bytes),
                row.dispatches.map_or(String::new(), |count| count.to_string()),
                number(row.host_us_per_dispatch),
            ]);
        }
        table.print();
    }
}

/// Our and every peer's medians, and how many times slower we are; below 1 is faster.
pub fn peers(rows: &[Row]) {
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.peer != OURS) {
        if !names.contains(&row.peer.as_str()) {
            names.push(&row.peer);
        }
    }
    if names.is_empty() {
        return;
    }
    println!("\nbeside the peers (median ms; ×: our time over theirs, below 1 is ahead)");
    let mut head = vec!["case".to_owned(), OURS.to_owned()];
    head.extend(names.iter().flat_map(|name| [(*name).to_owned(), "×".to_owned()]));
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for own in rows.iter().filter(|row| row.peer == OURS) {
        let mut cells = vec![format!("{} {}", own.workload, own.case), number(own.median_ms)];
        for name in &names {
            let of =
                |row: &&Row| row.peer == *name && (&row.workload, &row.case) == (&own.workload, &own.case);
            match rows.iter().find(of) {
                Some(row) if row.error.is_none() => {
                    cells.extend([number(row.median_ms), number(own.median_ms / row.median_ms)]);
                }
                Some(_) => cells.extend(["failed".to_owned(), String::new()]),
                None => cells.extend([String::new(), String::new()]),
            }
        }
        table.row(cells);
    }
    table.print();
    for row in rows.iter().filter(|row| row.error.is_some()) {
        println!(
            "  {} failed at {} {}: {}",
            row.peer,
            row.workload,
            row.case,
            row.error.as_deref().unwrap_or("")
        );
    }
}

/// The rows that pass the filter, grouped by workload in order of appearance.
pub fn by_workload(rows: &[Row], pass: impl Fn(&Row) -> bool) -> Vec<(&str, Vec<&Row>)> {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in rows.iter().filter(|row| pass(row)) {
        match groups.iter_mut().find(|(workload, _)| *workload == row.workload) {
            Some((_, group)) => group.push(row),
            None => groups.push((&row.workload, vec![row])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn rows_are_grouped_in_their_order() {
        let mut rows = vec![row(OURS, "a", [1.0; 3]), row("torch", "a", [1.0; 3]), row(OURS, "b", [1.0; 3])];
        rows.push(Row { workload: "W1".to_owned(), ..row(OURS, "c", [1.0; 3]) });
        let groups = by_workload(&rows, |row| row.peer == OURS);
        let names: Vec<_> = groups.iter().map(|(name, rows)| (*name, rows.len())).collect();
        assert_eq!(names, [("W2", 2), ("W1", 1)]);
    }
}
