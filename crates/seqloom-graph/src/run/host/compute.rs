//! The functions of derivations, from u32 values to u32 values.

use crate::ir::error::{GraphError, Result};
use crate::ir::payload::{Derivation, Table};
use crate::ir::steps::elements;
use crate::run::host::packing::Packing;
use crate::run::host::segments::{picks, sort};

/// The outputs in order. `name` is what an error calls the lengths.
pub(super) fn compute(what: Derivation, sources: &[&[u32]], name: &str) -> Result<Vec<Vec<u32>>, GraphError> {
    let packing = |lengths: &[u32], time, rows| {
        let packing = Packing::new(lengths, time);
        if packing.rows() > rows {
            let (name, has) = (name.to_owned(), packing.rows());
            return Err(GraphError::TooManySteps { name, has, holds: rows });
        }
        Ok(packing)
    };
    match (what, sources) {
        (Derivation::Segments { vocab }, &[ids]) => {
            let (order, starts) = sort(ids, vocab);
            Ok(vec![order, starts])
        }
        (Derivation::Picks { count, len, inner }, &[index]) => Ok(picks(index, [count, len, inner])),
        (Derivation::Packing { time, rows, table }, &[lengths]) => {
            Ok(vec![packing(lengths, time, rows)?.table(table, rows)])
        }
        (Derivation::PackIds { time, rows, fill }, &[ids, lengths]) => {
            let places = packing(lengths, time, rows)?.table(Table::Pack, rows);
            let id = |place: u32| ids.get(place as usize).copied().unwrap_or(fill);
            Ok(vec![places.into_iter().map(id).collect()])
        }
        (Derivation::Following { time, stride }, &[first]) => {
            let after =
                |first: u32, steps: usize| first.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
            let rows = first.iter().enumerate();
            let each = rows.flat_map(|(b, &f)| (0..time).map(move |t| after(f, b * stride + t)));
            Ok(vec![each.collect(), first.iter().map(|&f| after(f, time)).collect()])
        }
        (Derivation::View(view), &[x]) => Ok(vec![elements(&view, x)]),
        (Derivation::Join { outer }, parts) => {
            let stretch = |row: usize, part: &&[u32]| {
                let len = part.len() / outer;
                part[row * len..][..len].to_vec()
            };
            let rows = (0..outer).flat_map(|row| parts.iter().flat_map(move |part| stretch(row, part)));
            Ok(vec![rows.collect()])
        }
        (Derivation::Pick { channels }, &[table, ids]) => {
            let row = |&id: &u32| table.iter().skip(id as usize * channels).take(channels).copied();
            Ok(vec![ids.iter().flat_map(row).collect()])
        }
        // The graph records each with its own operands.
        _ => Ok(Vec::new()),
    }
}
