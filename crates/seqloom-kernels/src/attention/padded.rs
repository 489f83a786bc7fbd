//! Attention on CPU adapters for channel counts that are no multiple of 4.
//!
//! The kernels there read four channels at a time, so other widths are copied to rows padded with zeros. Zeros add
//! nothing to a product, and their results are left out when copying back. Separate kernels would avoid the copies, but
//! heads of such widths are rare, and every kernel would have to be written and compiled twice.

use seqloom_device::Facts;

use super::plan::{Plan, QUAD};
use super::problem::{Pass, Problem};
use crate::error::KernelError;
use crate::launch::{Launch, Lowered, Operand};
use crate::view;

/// Whether the kernels need the copies.
pub(super) fn needed(problem: &Problem) -> bool {
    !(problem.width.is_multiple_of(QUAD) && problem.value_width.is_multiple_of(QUAD))
}

/// [`super::lower`] with copies around it.
pub(super) fn lower(rows: u32, pass: Pass, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Problem { batch, heads, key_heads, queries, keys, width, value_width, .. } = *problem;
    let [width4, value_width4] = [width, value_width].map(|width| width.next_multiple_of(QUAD));
    let wide = Problem { width: width4, value_width: value_width4, ..*problem };
    let mut inner = Plan::new(pass, &wide)?.cpu(rows, facts)?;
    let [query_rows, key_rows] = [batch * queries * heads, batch * keys * key_heads];
    let q = (query_rows, width);
    let k = (key_rows, width);
    let v = (key_rows, value_width);
    let out = (query_rows, value_width);
    let mut ins = vec![q, k, v];
    if pass != Pass::Forward {
        ins.push(out);
    }
    let outs = match pass {
        Pass::Forward => vec![out],
        Pass::Query { .. } => vec![q],
        Pass::Key => vec![k, v],
        Pass::Bias => Vec::new(),
    };
    let mut before = Vec::new();
    for (i, (rows, width)) in ins.into_iter().enumerate().filter(|(_, (_, width))| width % QUAD > 0) {
        let wide = width.next_multiple_of(QUAD);
        surround(&mut inner, &mut before, copy(rows, [width, wide], facts)?, Operand::In(i), rows * wide);
    }
    let mut after = Vec::new();
    for (i, (rows, width)) in outs.into_iter().enumerate().filter(|(_, (_, width))| width % QUAD > 0) {
        let wide = width.next_multiple_of(QUAD);
        surround(&mut inner, &mut after, copy(rows, [wide, width], facts)?, Operand::Out(i), rows * wide);
    }
    before.append(&mut inner.launches);
    before.append(&mut after);
    Ok(Lowered { launches: before, scratch: inner.scratch })
}

/// Replaces an operand by scratch of `len` elements, and adds `copy` between the two to `copies`.
fn surround(inner: &mut Lowered, copies: &mut Vec<Launch>, copy: Lowered, operand: Operand, len: usize) {
    let scratch = Operand::Scratch(inner.scratch.len());
    inner.scratch.push(4 * len.max(QUAD) as u64);
    for binding in inner.launches.iter_mut().flat_map(|launch| &mut launch.bindings) {
        if *binding == operand {
            *binding = scratch;
        }
    }
    let ends = if let Operand::In(_) = operand { [operand, scratch] } else { [scratch, operand] };
    copies.extend(copy.launches.into_iter().map(|launch| Launch { bindings: ends.to_vec(), ..launch }));
}

/// Copies rows of one width to rows of another, padded with zeros.
fn copy(rows: usize, [from, to]: [usize; 2], facts: &Facts) -> Result<Lowered, KernelError> {
    let stride = i32::try_from(from).unwrap_or(i32::MAX);
    let [rows, from, to] = [rows, from, to].map(|size| u32::try_from(size).unwrap_or(u32::MAX));
    let problem = view::Problem {
        dims: [1, 1, rows, to],
        strides: [0, 0, stride, 1],
        lo: [0; 4],
        extent: [1, 1, rows, from],
        offset: 0,
        fill: 0,
    };
    view::lower(&problem, facts)
}
