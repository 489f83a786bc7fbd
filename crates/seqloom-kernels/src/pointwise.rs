//! A graph of pointwise operations as one pass: all arithmetic is fused code.
//!
//! One kernel serves every graph. It strides over its output by the size of its grid, so the same shader works for a
//! GPU with an invocation per element and a CPU adapter with a few fat workgroups. The CPU adapter takes four elements
//! at once if the fused code allows it.

use seqloom_device::Facts;
use seqloom_shaders::pointwise::{Map, MapParams};

use crate::error::KernelError;
use crate::launch::{Fusion, Job, Lowered, Operand, count, striding, view_at, width};

const OP: &str = "pointwise";

/// `out[i] = fused(out[i], i)` for `i < len`. What the output held before is an operand if the code is written `over` it, and
/// ignored otherwise.
///
/// Bindings: `Out(0)` `[len]` f32, `Leaf(i)` as the fusion says.
///
/// # Errors
/// A `len` that no kernel can number, or a fusion with too many views or leaves.
pub fn lower(len: usize, over: bool, facts: &Facts, fusion: &Fusion) -> Result<Lowered, KernelError> {
    let len = count(OP, "out", &[len])?;
    if len == 0 {
        return Ok(Lowered::default());
    }
    let width = width(len, Some(fusion), facts);
    let items = len / width.elements();
    let (workgroup, grid) = striding(OP, items, 0, facts)?;
    let job = Job {
        op: OP,
        shape: len.to_string(),
        spec: Map { workgroup, width },
        params: MapParams { len: items, view: view_at(OP, Some(fusion), width)?, ..MapParams::default() },
        bindings: vec![Operand::Out(0)],
        grid,
        flops: 0,
        bytes: if over { 8 } else { 4 } * u64::from(len),
    };
    Ok(Lowered::single(job.fused(facts, Some(fusion), u64::from(len))?))
}
