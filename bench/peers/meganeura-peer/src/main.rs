//! meganeura peer (over blade-graphics, on Linux Vulkan). One JSON line per measured case.
//!
//! usage: meganeura-peer --workload W4|W6|all [--case NAME] [--json] [--cap SECONDS] [--label TEXT]
//!
//! Without --case every case runs in a child process of its own. W2 and W3 are not here because meganeura has no recurrent
//! operations; the composed attention of W6 is not because it has no batched matrix product.
//!
//! Its attention knows heads but no batch, so batch and heads are both heads here: rows are time-major, row `t·B + b`, and
//! `[T·B, D]` is seen as `[T, B·D]` at no cost. Where W4 is not to be had exactly, its nearest stands: GELU is the tanh
//! form forward, and its derivative is that of `x·sigmoid(1.702·x)`; targets are one-hot rows; attention's values pass a
//! change of sign (see `block`). Only f32 is used: no cooperative matrices that round to f16. The first step includes
//! building the session, which compiles the kernels.

mod check;

use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use meganeura::graph::Op;
use meganeura::nn::{Embedding, LayerNorm, Linear};
use meganeura::{CompileOptions, CoopPolicy, GpuOptions, Graph, Mode, NodeId, Session};
use meganeura::{SessionConfig, SessionOptions, init_gpu_context_with};

const CASES: &[(&str, &[&str])] = &[
    ("W4", &["gpt"]),
    ("W6", &["sdpa_fwd_T512", "sdpa_fwdbwd_T512", "sdpa_fwd_T1024", "sdpa_fwdbwd_T1024"]),
];

type Failure = Box<dyn std::error::Error>;

/// The generator of every peer.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// Uniform in `±bound`.
    fn uniform(&mut self, count: usize, bound: f32) -> Vec<f32> {
        (0..count).map(|_| bound * (self.next() as f32 / (1u64 << 30) as f32 - 1.0)).collect()
    }
}

// ---------------------------------------------------------------- W4

const BATCH: usize = 16;
const TIME: usize = 128;
const VOCABULARY: usize = 96;
const WIDTH: usize = 128;
const HEADS: usize = 4;
const BLOCKS: usize = 4;
const FFN: usize = 512;

/// `x + attention(norm(x))`, then `x + ffn(norm(x))`, of `x: [TIME·BATCH, WIDTH]`.
fn block(g: &mut Graph, name: &str, x: NodeId) -> NodeId {
    let part = |part: &str| format!("{name}.{part}");
    let h = LayerNorm::new(g, &part("norm1"), WIDTH, 1e-5).forward(g, x);
    let [q, k, v] = ["q", "k", "v"].map(|projection| {
        let y = Linear::new(g, &part(projection), WIDTH, WIDTH).forward(g, h);
        g.reshape(y, &[TIME, BATCH * WIDTH])
    });
    // Were V a reshape itself, its gradient would be lost: meganeura 0.3.0 reads the reshaped gradient from a buffer that
    // nothing writes. An operation with a kernel of its own between the two helps; the weights that follow undo a sign.
    let v = g.neg(v);
    let heads = (BATCH * HEADS) as u32;
    let y = g.causal_attention(q, k, v, heads, heads, (WIDTH / HEADS) as u32);
    let y = g.reshape(y, &[TIME * BATCH, WIDTH]);
    let y = Linear::new(g, &part("out"), WIDTH, WIDTH).forward(g, y);
    let x = g.add(x, y);
    let h = LayerNorm::new(g, &part("norm2"), WIDTH, 1e-5).forward(g, x);
    let h = Linear::new(g, &part("ffn1"), WIDTH, FFN).forward(g, h);
    let h = g.gelu(h);
    let h = Linear::new(g, &part("ffn2"), FFN, WIDTH).forward(g, h);
    g.add(x, h)
}

/// From "tokens", "positions" and one-hot "targets" to the mean cross-entropy.
fn gpt() -> Graph {
    let (mut graph, rows) = (Graph::new(), TIME * BATCH);
    let g = &mut graph;
    let (tokens, positions) = (g.input_u32("tokens", &[rows]), g.input_u32("positions", &[rows]));
    let x = Embedding::new(g, "token", VOCABULARY, WIDTH).forward(g, tokens);
    let p = Embedding::new(g, "position", TIME, WIDTH).forward(g, positions);
    let mut x = g.add(x, p);
    for index in 0..BLOCKS {
        x = block(g, &format!("block{index}"), x);
    }
    let x = LayerNorm::new(g, "norm", WIDTH, 1e-5).forward(g, x);
    let logits = Linear::new(g, "head", WIDTH, VOCABULARY).forward(g, x);
    let targets = g.input("targets", &[rows, VOCABULARY]);
    let loss = g.cross_entropy_loss(logits, targets);
    g.set_outputs(vec![loss]);
    graph
}

/// Name and shape of every parameter.
fn parameters(graph: &Graph) -> Vec<(String, Vec<usize>)> {
    let parameter = |node: &meganeura::graph::Node| match &node.op {
        Op::Parameter { name } => Some((name.clone(), node.ty.shape.clone())),
        _ => None,
    };
    graph.nodes().iter().filter_map(parameter).collect()
}

/// Matrices uniform in `±1/√rows`, scales 1, biases 0; the fixed batch; AdamW.
fn set_up_training(session: &mut Session, graph: &Graph) {
    let mut random = Lcg(1234);
    for (name, shape) in parameters(graph) {
        let values = match shape[..] {
            [rows, columns] => random.uniform(rows * columns, 1.0 / (rows as f32).sqrt()),
            _ => vec![if name.ends_with(".bias") { 0.0 } else { 1.0 }; shape.iter().product()],
        };
        session.set_parameter(&name, &values);
    }
    let mut random = Lcg(42);
    let all: Vec<u32> = (0..BATCH * (TIME + 1)).map(|_| (random.next() % VOCABULARY as u64) as u32).collect();
    let rows = || (0..TIME).flat_map(|time| (0..BATCH).map(move |item| (time, item)));
    let at = |(time, item): (usize, usize)| all[item * (TIME + 1) + time];
    let mut targets = vec![0.0; TIME * BATCH * VOCABULARY];
    for (row, (time, item)) in rows().enumerate() {
        targets[row * VOCABULARY + at((time + 1, item)) as usize] = 1.0;
    }
    session.set_input_u32("tokens", &rows().map(at).collect::<Vec<_>>());
    session.set_input_u32("positions", &rows().map(|(time, _)| time as u32).collect::<Vec<_>>());
    session.set_input("targets", &targets);
    session.set_adam(1e-3, 0.9, 0.999, 1e-8);
    session.set_weight_decay(0.01);
}

// ---------------------------------------------------------------- W6

const HEAD: usize = 64;
/// Batch 4 times 8 heads.
const ALL_HEADS: usize = 32;

/// Causal attention of "q", "k", "v: [time, ALL_HEADS·HEAD]`; with gradients also the sum of what it gives times "grad".
fn attention(time: usize, gradients: bool) -> Graph {
    let mut graph = Graph::new();
    let (g, shape, heads) = (&mut graph, [time, ALL_HEADS * HEAD], ALL_HEADS as u32);
    let leaf =
        |g: &mut Graph, name| if gradients { g.parameter(name, &shape) } else { g.input(name, &shape) };
    let [q, k, v] = ["q", "k", "v"].map(|name| leaf(g, name));
    let mut y = g.causal_attention(q, k, v, heads, heads, HEAD as u32);
    if gradients {
        let grad = g.input("grad", &shape);
        let weighted = g.mul(y, grad);
        y = g.sum_all(weighted);
    }
    g.set_outputs(vec![y]);
    graph
}

// ---------------------------------------------------------------- measuring

#[derive(Default)]
struct Times {
    first: f64,
    warm: Vec<f64>,
    timed: Vec<f64>,
    losses: Vec<f32>,
}

/// `begin` is when the session began to be built. The loss is read outside the timed region.
fn measure(session: &mut Session, begin: Instant, cap: f64, has_loss: bool) -> Times {
    let (least_steps, warm, least_ms, most_steps) = (10, 3, 3000.0, 200);
    let mut times = Times::default();
    let mut step = |losses: &mut Vec<f32>, begin: Instant| {
        session.step();
        session.wait();
        let elapsed = begin.elapsed().as_secs_f64() * 1e3;
        if has_loss {
            losses.push(session.read_loss());
        }
        elapsed
    };
    times.first = step(&mut times.losses, begin);
    for _ in 0..warm {
        times.warm.push(step(&mut times.losses, Instant::now()));
    }
    let begin = Instant::now();
    while times.timed.is_empty() || begin.elapsed().as_secs_f64() < cap {
        times.timed.push(step(&mut times.losses, Instant::now()));
        let (steps, sum) = (times.timed.len(), times.timed.iter().sum::<f64>());
        if steps >= most_steps || (steps >= least_steps && sum >= least_ms) {
            break;
        }
    }
    times
}

fn run_case(workload: &str, case: &str, cap: f64, label: &str) -> Result<String, Failure> {
    let known = CASES.iter().any(|(name, cases)| *name == workload && cases.contains(&case));
    if !known {
        return Err(format!("meganeura has no {workload} {case}").into());
    }
    let gpu =
        init_gpu_context_with(GpuOptions::from_env()).map_err(|error| format!("blade-graphics: {error}"))?;
    let (about, tiles) = (gpu.device_information(), gpu.capabilities().cooperative_matrix);
    let device = format!("{} ({} {})", about.device_name, about.driver_name, about.driver_info);
    let training = !case.contains("_fwd_");
    let config = SessionConfig {
        mode: if training { Mode::Training } else { Mode::Inference },
        // Tiles of f32 would be allowed, but no rounding to f16.
        options: CompileOptions { flash_forward_coop: false, ..CompileOptions::default() },
        runtime: SessionOptions {
            coop: if tiles.f32_tile > 0 { CoopPolicy::Auto } else { CoopPolicy::Disabled },
            ..SessionOptions::default()
        },
        gpu: Some(Arc::new(gpu)),
        ..SessionConfig::default()
    };
    let mut extra = String::new();
    let (times, tokens) = if workload == "W4" {
        let graph = gpt();
        let count: usize = parameters(&graph).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        write!(extra, ",\"params\":{count}")?;
        let begin = Instant::now();
        let (mut session, _) = meganeura::build(&graph, config);
        set_up_training(&mut session, &graph);
        (measure(&mut session, begin, cap, true), Some(BATCH * TIME))
    } else {
        let time: usize = case.rsplit_once('T').ok_or("no length")?.1.parse()?;
        let inputs = check::Inputs::random(time);
        let begin = Instant::now();
        let (mut session, _) = meganeura::build(&attention(time, training), config);
        inputs.set(&mut session, training);
        let times = measure(&mut session, begin, cap, false);
        let error = inputs.error(&session, training);
        write!(extra, ",\"max_error\":{error:.1e}")?;
        if error > check::TOLERANCE {
            return Err(format!("wrong result: off by {error:.1e} of the greatest value").into());
        }
        (times, None)
    };
    if times.losses.iter().any(|loss| !loss.is_finite()) {
        return Err("the loss is not finite".into());
    }
    let mut sorted = times.timed.clone();
    sorted.sort_by(f64::total_cmp);
    let (least, steps) = (sorted[0], sorted.len());
    let median = (sorted[(steps - 1) / 2] + sorted[steps / 2]) / 2.0;
    let mut line = format!(
        "{{\"peer\":\"meganeura\",\"workload\":\"{workload}\",\"case\":\"{case}\",\"first_ms\":{:.4},\
         \"median_ms\":{median:.4},\"min_ms\":{least:.4},\"warm_ms\":{:.1?},\"timed_steps\":{steps}",
        times.first, times.warm
    );
    if let [first, .., last] = times.losses[..] {
        write!(
            line,
            ",\"loss_first\":{first:.4},\"loss_last\":{last:.4},\"loss_steps\":{}",
            times.losses.len()
        )?;
    }
    write!(line, ",\"peak_rss_mb\":{:.1}{extra}", peak_rss_mb())?;
    if let Some(tokens) = tokens {
        write!(line, ",\"tokens_per_s\":{:.1}", tokens as f64 / median * 1e3)?;
    }
    write!(line, ",\"device\":{device:?},\"version\":\"meganeura 0.3.0\"")?;
    if !label.is_empty() {
        write!(line, ",\"env\":{label:?}")?;
    }
    Ok(line + "}")
}

fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn run() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    let get = |key: &str| args.iter().position(|arg| arg == key).and_then(|at| args.get(at + 1)).cloned();
    let workload = get("--workload").unwrap_or_else(|| "all".to_owned());
    let cap = get("--cap").map_or(Ok(180.0), |cap| cap.parse())?;
    let label = get("--label").unwrap_or_default();
    if let Some(case) = get("--case") {
        println!("{}", run_case(&workload, &case, cap, &label)?);
        return Ok(());
    }
    let mut failed = Vec::new();
    for (name, cases) in CASES.iter().filter(|(name, _)| workload == "all" || workload == *name) {
        for case in *cases {
            let arguments =
                ["--workload", name, "--case", case, "--cap", &cap.to_string(), "--label", &label];
            if !Command::new(std::env::current_exe()?).args(arguments).status()?.success() {
                failed.push(format!("{name} {case}"));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meganeura-peer: {error}");
            ExitCode::FAILURE
        }
    }
}
