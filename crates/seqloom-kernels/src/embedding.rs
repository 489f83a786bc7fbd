//! Embedding lookup, and its gradient by sorted segments.
//!
//! Operations after a lookup (a scale, the position's vector, dropout) are fused into it, on a CPU adapter too, because
//! a separate pass would be as many pipelines. Lookup, position and dropout with a softmax after them, forward and
//! backward: 12.7 instead of 13.2 ms of processor time over [32, 64, 128], 40.5 instead of 43.5 over [8, 128, 768]
//! (lavapipe).
//!
//! The gradient takes the tokens sorted by id; usually the host sorts them, because it knows the ids. Each element of
//! the table is then one invocation's sum in a fixed order, without atomics and without a scan of every token per id.
//! All tokens may have one id, and an invocation of a CPU adapter may not walk far, so there many tokens take several
//! launches.

use seqloom_device::Facts;
use seqloom_shaders::embedding::{
    EmbeddingBackward, EmbeddingBackwardParams, EmbeddingForward, EmbeddingParams,
};

use crate::error::KernelError;
use crate::launch::{
    Fusion, Job, Lowered, MOST_ITERATIONS, Operand, count, prefers_cpu, striding, view_at, width,
};
use crate::sums;

const OP: &str = "embedding";

/// Tokens that the gradient's kernel adds one by one.
const BLOCK: u32 = sums::BLOCK as u32;

/// Most tokens of one backward launch on a CPU adapter: whole blocks, each with two extra iterations, and some reserve.
const MOST_TOKENS: u32 = (MOST_ITERATIONS / (BLOCK + 2) - 1) * BLOCK;

/// A lookup of N tokens in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// N.
    pub tokens: usize,
    /// V, at least 1.
    pub vocab: usize,
    /// C, at least 1.
    pub channels: usize,
}

impl Problem {
    /// The checked parameters, and the elements of the rows and of the table.
    fn params(&self) -> Result<(EmbeddingParams, u32, u32), KernelError> {
        let rows = count(OP, "rows", &[self.tokens, self.channels])?;
        let table = count(OP, "table", &[self.vocab, self.channels])?;
        if table == 0 {
            let detail = format!("an empty table [{}, {}]", self.vocab, self.channels);
            return Err(KernelError::Problem { op: OP, detail });
        }
        let [tokens, vocab, channels] = [self.tokens, self.vocab, self.channels].map(|size| size as u32);
        let params = EmbeddingParams { tokens, vocab, channels, ..EmbeddingParams::default() };
        Ok((params, rows, table))
    }

    fn shape(&self) -> String {
        format!("N={} V={} C={}", self.tokens, self.vocab, self.channels)
    }
}

/// `out[n, c] = fused(table[ids[n], c], n·C + c)`, with 0 for an id of V or more.
///
/// Bindings: `In(0)` table `[V, C]`, `In(1)` ids `[N]` u32, `Out(0)` `[N, C]`, `Leaf(i)` as the fusion says.
///
/// # Errors
/// An empty table, sizes that no kernel can number, or a fusion that does not fit.
pub fn lower_forward(
    problem: &Problem,
    facts: &Facts,
    tail: Option<&Fusion>,
) -> Result<Lowered, KernelError> {
    let (params, rows, _) = problem.params()?;
    let width = width(params.channels, tail, facts);
    let channels = params.channels / width.elements();
    let params = EmbeddingParams { channels, view: view_at(OP, tail, width)?, ..params };
    if rows == 0 {
        return Ok(Lowered::default());
    }
    let (workgroup, grid) = striding(OP, rows / width.elements(), 0, facts)?;
    let job = Job {
        op: OP,
        shape: problem.shape(),
        spec: EmbeddingForward { workgroup, width },
        params,
        bindings: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
        grid,
        flops: 0,
        bytes: 8 * u64::from(rows) + 4 * u64::from(params.tokens),
    };
    Ok(Lowered::single(job.fused(facts, tail, u64::from(rows))?))
}

/// `dtable[v] = Σ_s dy[order[s]]` for `starts[v] <= s < starts[v + 1]`.
///
/// Bindings: `In(0)` dy `[N, C]`, `In(1)` order `[N]` u32, `In(2)` starts `[V + 1]` u32, `Out(0)` dtable `[V, C]`.
///
/// # Errors
/// As [`lower_forward`].
pub fn lower_backward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let (EmbeddingParams { tokens, vocab, channels, .. }, _, table) = problem.params()?;
    let most = if prefers_cpu(facts) { MOST_TOKENS } else { u32::MAX };
    let width = width(channels, None, facts);
    let items = table / width.elements();
    // A block of tokens costs two iterations more than its tokens.
    let walk = u64::from(tokens.min(most));
    let (workgroup, grid) = striding(OP, items, walk + 2 * walk.div_ceil(u64::from(BLOCK)) + 1, facts)?;
    let mut lowered = Lowered::default();
    // Without tokens there is still a launch, to write zeros.
    for first in (0..tokens.max(1)).step_by(most as usize) {
        let end = tokens.min(first.saturating_add(most));
        let rows = u64::from(end - first) * u64::from(channels);
        let job = Job {
            op: OP,
            shape: problem.shape(),
            spec: EmbeddingBackward { workgroup, width },
            params: EmbeddingBackwardParams {
                channels: channels / width.elements(),
                tokens,
                vocab,
                first,
                end,
            },
            bindings: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Out(0)],
            grid,
            flops: rows,
            bytes: 4 * (rows + u64::from(table) + u64::from(end - first) + u64::from(vocab) + 1),
        };
        lowered.launches.push(job.plain(facts)?);
    }
    Ok(lowered)
}
