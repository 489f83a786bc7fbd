//! Tensors joined along an axis: each part is read where it lies and written once into its columns of the result.
//!
//! A launch joins seven parts, as many as its immediates hold. More parts take further launches, which write other columns. Copies
//! through windows would write the whole result for each part, and then add.

use seqloom_device::Facts;
use seqloom_shaders::Width;
use seqloom_shaders::view::{Concat, ConcatParams};

use crate::error::KernelError;
use crate::launch::{Job, Launch, Lowered, Operand, count, prefers_cpu, striding};

pub use seqloom_shaders::view::PARTS;

const OP: &str = "concat";

/// Rows of several tensors, side by side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Rows of each part and of the result, as two dimensions, outermost first.
    pub rows: [usize; 2],
    /// In the order in which they stand.
    pub parts: Vec<Part>,
}

/// What one tensor gives: pieces of as many neighbours as its rows are wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Elements of a row.
    pub width: usize,
    /// Element at which the first row begins.
    pub offset: u32,
    /// Elements from a row to the next along each dimension of the rows; 0 repeats, a negative number goes back.
    pub strides: [i32; 2],
}

impl Part {
    /// A tensor that is all rows of this width, in order.
    #[must_use]
    pub fn whole(width: usize, rows: [usize; 2]) -> Self {
        let stride = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
        Self { width, offset: 0, strides: [stride(width.saturating_mul(rows[1])), stride(width)] }
    }

    /// The same for a tensor whose elements are fours, if rows are multiples of four and begin at such.
    fn fours(&self) -> Option<Self> {
        let stride = |stride: i32| (stride % 4 == 0).then_some(stride / 4);
        let fits = self.width.is_multiple_of(4) && self.offset.is_multiple_of(4);
        let strides = [stride(self.strides[0])?, stride(self.strides[1])?];
        fits.then_some(Self { width: self.width / 4, offset: self.offset / 4, strides })
    }

    /// Refuses a part with an element that no kernel can number.
    fn check(&self, rows: [usize; 2]) -> Result<(), KernelError> {
        // Strides that go back lead to lesser addresses than the offset, which the operand holds.
        let far = |axis: usize| {
            (self.strides[axis].max(0).unsigned_abs() as usize).saturating_mul(rows[axis].saturating_sub(1))
        };
        let last = (self.offset as usize).saturating_add(self.width.saturating_sub(1));
        let last = last.saturating_add(far(0)).saturating_add(far(1));
        count(OP, "address in a part", &[last]).map(|_| ())
    }
}

/// `out[row] = x0[row], x1[row], ..` side by side, as copies of 32-bit words.
///
/// Bindings: `In(j)` part j, f32 or u32; `Out(0)` `[rows, sum of widths]` of the same type. Every byte of the result is written once,
/// and as many are read.
///
/// # Errors
/// A result, or an index of a part, that no kernel can number.
pub fn lower(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let [outer, inner] = problem.rows;
    let width = problem.parts.iter().map(|part| part.width).fold(0, usize::saturating_add);
    let mut lowered = Lowered::default();
    if count(OP, "out", &[outer, inner, width])? == 0 {
        return Ok(lowered);
    }
    let parts: Vec<_> = problem.parts.iter().enumerate().filter(|(_, part)| part.width > 0).collect();
    let mut begin = 0;
    for parts in parts.chunks(PARTS) {
        parts.iter().try_for_each(|(_, part)| part.check(problem.rows))?;
        lowered.launches.push(launch(problem.rows, parts, [begin, width], facts)?);
        begin += parts.iter().map(|(_, part)| part.width).sum::<usize>();
    }
    Ok(lowered)
}

/// Parts side by side from column `begin` of a result of `width` columns; all counts fit the kernel's.
fn launch(
    [outer, inner]: [usize; 2],
    parts: &[(usize, &Part)],
    [begin, width]: [usize; 2],
    facts: &Facts,
) -> Result<Launch, KernelError> {
    let fours: Option<Vec<_>> = parts.iter().map(|(_, part)| part.fours()).collect();
    let fits = prefers_cpu(facts) && begin.is_multiple_of(4) && width.is_multiple_of(4);
    let (word, pieces) = match fours {
        Some(fours) if fits => (Width::Four, fours),
        _ => (Width::One, parts.iter().map(|(_, part)| **part).collect()),
    };
    let rows = outer * inner;
    let widest = pieces.iter().map(|piece| piece.width).max().unwrap_or(0);
    // Each invocation takes up to one Word of each part after the other, or several by its loops.
    let (workgroup, grid) = striding(OP, (rows * widest) as u32, pieces.len() as u64, facts)?;
    let number = |at: usize| {
        pieces.get(at).map_or([0; 4], |piece| {
            let [far, near] = piece.strides.map(i32::cast_unsigned);
            [piece.width as u32, piece.offset, far, near]
        })
    };
    let moved: usize = parts.iter().map(|(_, part)| part.width).sum();
    // What has no part of its own reads none, but must be bound.
    let bound = (0..PARTS).map(|at| Operand::In(parts.get(at).unwrap_or(&parts[0]).0));
    let words = |elements: usize| elements as u32 / word.elements();
    Job {
        op: OP,
        shape: format!("[{rows}, {moved}] of {} parts", parts.len()),
        spec: Concat { workgroup, width: word },
        params: ConcatParams {
            part0: number(0),
            part1: number(1),
            part2: number(2),
            part3: number(3),
            part4: number(4),
            part5: number(5),
            part6: number(6),
            rows: rows as u32,
            inner: inner as u32,
            width: words(width),
            begin: words(begin),
        },
        bindings: bound.chain([Operand::Out(0)]).collect(),
        grid,
        flops: 0,
        bytes: 8 * rows as u64 * moved as u64,
    }
    .plain(facts)
}
