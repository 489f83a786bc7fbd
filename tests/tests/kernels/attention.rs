//! Attention forward and backward, in both variants, under masks and terms of every kind.

use seqloom_device::{AdapterKind, Facts};
use seqloom_kernels::attention::{self, Bias, Dropout, Layout, Pass, Problem, Start, Variant};
use seqloom_kernels::{Control, Lowered};
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::executor::{Data, Executor, Feed, narrow, random};
use seqloom_tests::oracle::attention as oracle;
use seqloom_tests::oracle::rng::uniform;
use seqloom_tests::oracle::widen;
use seqloom_tests::skip::skip;

/// Scores of some units have errors of some 1e-7, which their power multiplies; sums of some dozens of products follow.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 2e-5 };

const SEED: u32 = 11;

/// A problem whose numbers are exact in f32, with its oracle's view of it.
pub(crate) struct Case {
    name: String,
    pub(crate) problem: Problem,
    pub(crate) sizes: oracle::Sizes,
    pub(crate) inputs: oracle::Inputs,
    lengths: Vec<u32>,
    pub(crate) dout: Vec<f64>,
}

pub(crate) fn case(name: &str, problem: Problem) -> Case {
    let Problem { batch, heads, key_heads, queries, keys, width, value_width, .. } = problem;
    let numbers = |seed, len| widen(&random(seed, len));
    // Full, none, one, and between.
    let pattern = [keys, 0, 1, keys.div_ceil(2), keys - keys / 3];
    let lengths: Vec<usize> =
        (0..batch).map(|b| if problem.lengths { pattern[b % pattern.len()] } else { keys }).collect();
    let starts = lengths.iter().map(|length| match problem.start {
        Start::At(start) => start as i64,
        Start::AtEnd => *length as i64 - queries as i64,
    });
    let sizes = oracle::Sizes {
        batch,
        heads,
        key_heads,
        queries,
        keys,
        width,
        value_width,
        scale: f64::from(problem.scale),
        starts: starts.collect(),
        lengths: lengths.clone(),
        before: problem.before,
        after: problem.after,
    };
    let bias = problem.bias.map(|Bias { batched, per_head }| {
        let extents = [if batched { batch } else { 1 }, if per_head { heads } else { 1 }];
        (numbers(4, extents[0] * extents[1] * queries * keys), extents)
    });
    let kept = problem.dropout.map(|Dropout { keep, stream }| {
        let keep = f64::from(keep);
        let factor = |index| if uniform(SEED, stream, index) < keep { 1.0 / keep } else { 0.0 };
        (0..(batch * heads * queries * keys) as u32).map(factor).collect()
    });
    let inputs = oracle::Inputs {
        q: widen(&random(1, batch * queries * heads * width).iter().map(|x| 2.0 * x).collect::<Vec<_>>()),
        k: numbers(2, batch * keys * key_heads * width),
        v: numbers(3, batch * keys * key_heads * value_width),
        bias,
        slopes: problem.slopes.then(|| (0..heads).map(|h| 0.5f64.powi(h as i32 + 1)).collect()),
        relative: problem.radius.map(|radius| numbers(5, heads * (2 * radius + 1))),
        kept,
    };
    let dout = numbers(6, batch * queries * heads * value_width);
    let lengths = lengths.iter().map(|length| *length as u32).collect();
    Case { name: name.to_owned(), problem, sizes, inputs, lengths, dout }
}

/// Every kind of mask and term, alone and together, over sizes that are no multiple of anything.
fn cases() -> Vec<Case> {
    let causal = |problem: Problem| Problem { after: Some(0), ..problem };
    let shared = Some(Bias { batched: false, per_head: false });
    let dropout = Some(Dropout { keep: 0.75, stream: 3 });
    let long = Problem::plain([2, 2, 2, 45, 77, 12, 20]);
    let every = Problem {
        lengths: true,
        bias: Some(Bias { batched: false, per_head: true }),
        slopes: true,
        radius: Some(6),
        dropout,
        before: Some(30),
        after: Some(9),
        ..Problem::plain([5, 4, 2, 45, 51, 12, 9])
    };
    vec![
        case("one element", Problem::plain([1, 1, 1, 1, 1, 1, 1])),
        case("no keys", Problem::plain([1, 2, 1, 3, 0, 4, 4])),
        case("few keys", causal(Problem::plain([2, 2, 2, 7, 7, 4, 4]))),
        case("cross", long),
        case("causal", causal(Problem::plain([2, 3, 3, 70, 70, 8, 8]))),
        case("wide", causal(Problem::plain([1, 1, 1, 40, 40, 70, 130]))),
        case("offset", Problem { start: Start::At(32), ..causal(long) }),
        case("before the keys' end", Problem { start: Start::At(90), before: Some(20), ..causal(long) }),
        case("grouped", causal(Problem::plain([2, 6, 2, 35, 35, 9, 5]))),
        case(
            "window",
            Problem { before: Some(5), after: Some(3), ..Problem::plain([1, 2, 2, 100, 100, 8, 8]) },
        ),
        case("lengths", Problem { lengths: true, ..Problem::plain([5, 2, 1, 21, 40, 8, 8]) }),
        case(
            "at the end",
            Problem { lengths: true, start: Start::AtEnd, ..causal(Problem::plain([5, 2, 2, 3, 40, 8, 8])) },
        ),
        case("shared bias", Problem { bias: shared, ..long }),
        case(
            "bias of heads",
            Problem { bias: Some(Bias { batched: false, per_head: true }), ..causal(long) },
        ),
        case(
            "bias of rows",
            Problem { bias: Some(Bias { batched: true, per_head: false }), lengths: true, ..long },
        ),
        case("bias of both", Problem { bias: Some(Bias { batched: true, per_head: true }), ..long }),
        case("slopes", Problem { slopes: true, ..causal(Problem::plain([2, 4, 2, 40, 40, 8, 8])) }),
        case("relative", Problem { radius: Some(9), ..long }),
        case("one distance", Problem { radius: Some(0), ..causal(long) }),
        case("far distances", Problem { radius: Some(100), start: Start::At(20), ..long }),
        case("dropout", Problem { dropout, ..causal(long) }),
        case("everything", every),
        case("everything, at the end", Problem { start: Start::AtEnd, ..every }),
    ]
}

fn variants(executor: &Executor, pass: Pass, problem: &Problem) -> Vec<Variant> {
    // Without a subgroup size that of CPU adapters must refuse, which a test below checks; both kinds are then the same.
    let suited = |(_, facts)| Variant::suited(pass, problem, &facts);
    executor.kinds().map(suited).to_vec()
}

fn floats(values: &[f64]) -> Data {
    Data::F32(narrow(values))
}

impl Case {
    /// What all passes read, in order, with what backward ones read besides.
    fn feed(&self, gradient: bool) -> Feed {
        let mut ins = vec![floats(&self.inputs.q), floats(&self.inputs.k), floats(&self.inputs.v)];
        let out = oracle::forward(&self.sizes, &self.inputs);
        if gradient {
            let width = self.sizes.value_width;
            let dot = |(x, y): (&[f64], &[f64])| x.iter().zip(y).map(|(x, y)| x * y).sum();
            let delta: Vec<f64> = out.chunks(width).zip(self.dout.chunks(width)).map(dot).collect();
            ins.extend([floats(&self.dout), Data::F32(self.log_sums()), floats(&delta)]);
        }
        if self.problem.lengths {
            ins.push((&self.lengths).into());
        }
        if let Some((bias, _)) = &self.inputs.bias {
            ins.push(floats(bias));
        }
        if self.problem.columns() > 0 {
            ins.push(Data::F32(self.distances(self.inputs.slopes.as_ref(), self.inputs.relative.as_ref())));
        }
        let control = Control { seed: SEED, ..Control::default() };
        Feed { ins, leaves: vec![Data::Control(control)], outs: vec![] }
    }

    pub(crate) fn log_sums(&self) -> Vec<f32> {
        let sums = oracle::log_sums(&self.sizes, &self.inputs);
        sums.iter().map(|sum| if *sum == f64::NEG_INFINITY { 1e30 } else { *sum as f32 }).collect()
    }

    /// Slopes and relative terms as one table, a row a head.
    pub(crate) fn distances(&self, slopes: Option<&Vec<f64>>, relative: Option<&Vec<f64>>) -> Vec<f32> {
        let heads = self.problem.heads;
        let row = |h: usize| {
            let of = |table: Option<&Vec<f64>>| {
                table.map_or(vec![], |t| t.chunks(t.len() / heads).nth(h).unwrap_or_default().to_vec())
            };
            [of(slopes), of(relative)].concat()
        };
        narrow(&(0..heads).flat_map(row).collect::<Vec<_>>())
    }

    /// Runs a pass in every variant and compares all that it writes.
    fn check(&self, executor: &Executor, pass: Pass, want: &[(&str, Vec<f32>)]) {
        self.check_on(executor, executor.facts(), pass, want);
    }

    /// The same for a device of those facts.
    pub(crate) fn check_on(&self, executor: &Executor, facts: &Facts, pass: Pass, want: &[(&str, Vec<f32>)]) {
        let mut feed = self.feed(pass != Pass::Forward);
        feed.outs = want.iter().map(|(_, want)| want.len()).collect();
        let compare = |how: &str, lowered: &Lowered| {
            let ran = executor.run(lowered, &feed);
            for (i, (part, want)) in want.iter().enumerate().filter(|(_, (_, want))| !want.is_empty()) {
                let name = format!("{part} of {}, {how}", self.name);
                assert_close(&name, &ran.out(i), want, TOLERANCE);
            }
        };
        compare("chosen", &attention::lower(pass, &self.problem, facts).unwrap());
        for variant in variants(executor, pass, &self.problem) {
            let lowered = attention::lower_as(variant, pass, &self.problem, facts).unwrap();
            assert!(
                lowered.launches.iter().all(|launch| launch.grid.iter().all(|&axis| axis <= facts.max_grid))
            );
            compare(&format!("{variant:?}"), &lowered);
        }
    }
}

#[test]
fn forward() {
    let executor = Executor::shared();
    for case in cases() {
        let out = narrow(&oracle::forward(&case.sizes, &case.inputs));
        case.check(&executor, Pass::Forward, &[("out", out), ("lse", case.log_sums())]);
    }
}

#[test]
fn gradient_of_queries_and_distances() {
    let executor = Executor::shared();
    for case in cases() {
        let want = oracle::backward(&case.sizes, &case.inputs, &case.dout);
        let dq = ("dq", narrow(&want.q));
        case.check(&executor, Pass::Query { learned: false }, std::slice::from_ref(&dq));
        if case.problem.columns() > 0 {
            let slopes = case.problem.slopes.then_some(&want.slopes);
            let relative = case.problem.radius.is_some().then_some(&want.relative);
            let table = ("ddistance", case.distances(slopes, relative));
            case.check(&executor, Pass::Query { learned: true }, &[dq, table]);
        }
    }
}

#[test]
fn gradient_of_keys_and_values() {
    let executor = Executor::shared();
    for case in cases() {
        let want = oracle::backward(&case.sizes, &case.inputs, &case.dout);
        case.check(&executor, Pass::Key, &[("dk", narrow(&want.k)), ("dv", narrow(&want.v))]);
    }
}

#[test]
fn gradient_of_biases() {
    let executor = Executor::shared();
    for case in cases().into_iter().filter(|case| case.problem.bias.is_some()) {
        let want = oracle::backward(&case.sizes, &case.inputs, &case.dout);
        case.check(&executor, Pass::Bias, &[("dbias", narrow(&want.bias))]);
    }
}

/// `[B, T, H, C]` as `[B, H, T, C]`.
fn heads_first(values: &[f64], [batch, time, heads]: [usize; 3]) -> Vec<f64> {
    let width = values.len() / (batch * time * heads).max(1);
    let mut turned = Vec::with_capacity(values.len());
    for b in 0..batch {
        for h in 0..heads {
            for t in 0..time {
                turned.extend_from_slice(&values[((b * time + t) * heads + h) * width..][..width]);
            }
        }
    }
    turned
}

#[test]
fn heads_may_come_first() {
    let executor = Executor::shared();
    let usual = case("heads first", Problem::plain([2, 4, 2, 9, 11, 5, 3]));
    let problem = Problem { layout: Layout::HeadsFirst, ..usual.problem };
    let (queries, keys) = ([2, 9, 4], [2, 11, 2]);
    let out = heads_first(&oracle::forward(&usual.sizes, &usual.inputs), queries);
    let grads = oracle::backward(&usual.sizes, &usual.inputs, &usual.dout);
    let want = [
        (Pass::Forward, vec![narrow(&out), usual.log_sums()]),
        (Pass::Query { learned: false }, vec![narrow(&heads_first(&grads.q, queries))]),
        (Pass::Key, vec![narrow(&heads_first(&grads.k, keys)), narrow(&heads_first(&grads.v, keys))]),
    ];
    for (pass, want) in want {
        let mut feed = usual.feed(pass != Pass::Forward);
        let turned = [(&usual.inputs.q, queries), (&usual.inputs.k, keys), (&usual.inputs.v, keys)];
        for (i, (values, extents)) in turned.into_iter().enumerate() {
            feed.ins[i] = floats(&heads_first(values, extents));
        }
        if pass != Pass::Forward {
            feed.ins[3] = floats(&heads_first(&usual.dout, queries));
        }
        feed.outs = want.iter().map(Vec::len).collect();
        for variant in variants(&executor, pass, &problem) {
            let lowered = attention::lower_as(variant, pass, &problem, executor.facts()).unwrap();
            let ran = executor.run(&lowered, &feed);
            for (i, want) in want.iter().enumerate() {
                assert_close(&format!("{pass:?} {i} {variant:?}"), &ran.out(i), want, TOLERANCE);
            }
        }
    }
}

/// Scores of minus infinity count as masked; a row of nothing else gives 0 and no gradient, though keys past its length
/// hold what is no number.
#[test]
fn nothing_to_attend_to() {
    let executor = Executor::shared();
    let mut case = case(
        "minus infinity",
        Problem {
            bias: Some(Bias { batched: false, per_head: false }),
            lengths: true,
            ..Problem::plain([3, 1, 1, 9, 40, 8, 8])
        },
    );
    if let Some((bias, _)) = &mut case.inputs.bias {
        bias.iter_mut().enumerate().for_each(|(at, x)| {
            if at / 40 == 4 || at % 3 == 0 {
                *x = f64::NEG_INFINITY;
            }
        });
    }
    let keys = 40 * 8;
    for (b, length) in case.lengths.iter().enumerate() {
        for at in b * keys + *length as usize * 8..(b + 1) * keys {
            (case.inputs.k[at], case.inputs.v[at]) = (f64::NAN, f64::NAN);
        }
    }
    let want = oracle::backward(&case.sizes, &case.inputs, &case.dout);
    let out = narrow(&oracle::forward(&case.sizes, &case.inputs));
    assert!(out.iter().all(|x| x.is_finite()), "the oracle read what is masked");
    case.check(&executor, Pass::Forward, &[("out", out), ("lse", case.log_sums())]);
    case.check(&executor, Pass::Query { learned: false }, &[("dq", narrow(&want.q))]);
    case.check(&executor, Pass::Key, &[("dk", narrow(&want.k)), ("dv", narrow(&want.v))]);
    case.check(&executor, Pass::Bias, &[("dbias", narrow(&want.bias))]);
}

/// Sums so long that an invocation of a CPU adapter comes near to what it may iterate, and some that take several launches.
#[test]
fn long_sums() {
    let executor = Executor::shared();
    let (cpu, facts) = (AdapterKind::Cpu, executor.facts().clone());
    let facts = Facts { kind: cpu, ..facts };
    if facts.lanes().is_none() {
        return skip("subgroups have no one size, so no kernel is bounded");
    }
    let bias = Some(Bias { batched: false, per_head: false });
    let many_heads = Problem { after: Some(0), ..Problem::plain([1, 192, 1, 160, 160, 64, 64]) };
    let many_rows = Problem { bias, ..Problem::plain([44, 64, 64, 8, 8, 64, 64]) };
    // How long, follows from the size of the subgroup: the longest that one launch takes.
    let longest = |pass: Pass, of: fn(usize) -> Problem| {
        let lengths = (1..).map(|n| of(60_000 * 5 / (5 + n)));
        let launches = |problem: &Problem| attention::lower(pass, problem, &facts).unwrap().launches.len();
        lengths.into_iter().find(|problem| launches(problem) == 1).unwrap()
    };
    let (query, learned) = (Pass::Query { learned: false }, Pass::Query { learned: true });
    // Some queries see no key of the later launches, and those of the second row none at all.
    let many_keys = Problem {
        lengths: true,
        start: Start::At(50_000),
        after: Some(0),
        ..Problem::plain([2, 1, 1, 8, 60_000, 64, 64])
    };
    let distances = Problem { radius: Some(9), slopes: true, ..many_keys };
    let many_queries =
        Problem { lengths: true, after: Some(0), ..Problem::plain([2, 2, 1, 40_000, 8, 64, 64]) };
    let runs = [
        (Pass::Forward, longest(Pass::Forward, |keys| Problem::plain([1, 1, 1, 3, keys, 64, 64])), false),
        (query, longest(query, |keys| Problem::plain([1, 1, 1, 3, keys, 64, 64])), false),
        (Pass::Key, longest(Pass::Key, |queries| Problem::plain([1, 1, 1, queries, 3, 64, 64])), false),
        (Pass::Forward, many_keys, true),
        (learned, distances, true),
        (Pass::Key, many_queries, true),
        (Pass::Key, many_heads, true),
        (Pass::Bias, many_rows, true),
    ];
    for (pass, problem, several) in runs {
        let case = case("long", problem);
        let lowered = attention::lower(pass, &problem, &facts).unwrap();
        assert_eq!(lowered.launches.len() > 1, several, "{pass:?}");
        let (sizes, inputs) = (&case.sizes, &case.inputs);
        let grads = || oracle::backward(sizes, inputs, &case.dout);
        let want = match pass {
            Pass::Forward => vec![narrow(&oracle::forward(sizes, inputs)), case.log_sums()],
            Pass::Query { learned: false } => vec![narrow(&grads().q)],
            Pass::Query { learned: true } => {
                let grads = grads();
                vec![narrow(&grads.q), case.distances(Some(&grads.slopes), Some(&grads.relative))]
            }
            Pass::Key => vec![narrow(&grads().k), narrow(&grads().v)],
            Pass::Bias => vec![narrow(&grads().bias)],
        };
        let mut feed = case.feed(pass != Pass::Forward);
        feed.outs = want.iter().map(Vec::len).collect();
        let ran = executor.run(&lowered, &feed);
        for (i, want) in want.iter().enumerate() {
            // Some thousand terms of size 1 are added.
            let tolerance = Tolerance { abs: 2e-4, rel: 2e-5 };
            assert_close(&format!("{pass:?} {i}"), &ran.out(i), want, tolerance);
        }
    }
    let wide = Problem::plain([1, 1, 1, 3, 3, 64, 1_000_000]);
    let error = attention::lower(Pass::Forward, &wide, &facts).unwrap_err().to_string();
    assert!(error.contains("widths 64 and 1000000") && error.contains("can walk"), "{error}");
    // A window bounds what is walked, so that one launch takes as long a sequence as one likes.
    let windowed =
        Problem { before: Some(100), after: Some(0), ..Problem::plain([1, 1, 1, 3, 1_000_000, 64, 64]) };
    assert_eq!(attention::lower(Pass::Forward, &windowed, &facts).unwrap().launches.len(), 1);
}

#[test]
fn problems_that_contradict_themselves() {
    let executor = Executor::shared();
    let says = |pass: Pass, problem: Problem, part: &str| {
        let message = attention::lower(pass, &problem, executor.facts()).unwrap_err().to_string();
        assert!(message.contains("attention") && message.contains(part), "`{message}` does not say `{part}`");
    };
    let usual = Problem::plain([2, 4, 2, 5, 7, 3, 3]);
    says(Pass::Forward, Problem { width: 0, ..usual }, "queries of width 0");
    says(Pass::Forward, Problem { key_heads: 3, ..usual }, "4 heads cannot share 3 key heads");
    says(Pass::Forward, Problem { heads: 0, ..usual }, "0 heads");
    says(Pass::Forward, Problem { start: Start::AtEnd, ..usual }, "need lengths");
    says(Pass::Forward, Problem { start: Start::At(1 << 30), ..usual }, "position 1073741824");
    says(Pass::Forward, Problem { batch: 1 << 30, ..usual }, "1073741824");
    says(Pass::Forward, Problem { dropout: Some(Dropout { keep: 0.0, stream: 1 }), ..usual }, "keep: 0.0");
    let none = Problem { batch: 0, radius: Some(2), ..usual };
    says(Pass::Query { learned: true }, none, "no queries to learn");
    let small = Facts { max_grid: 1, ..executor.facts().clone() };
    let error = attention::lower(Pass::Forward, &usual, &small).unwrap_err().to_string();
    assert!(error.contains("attention: 8 workgroups"), "{error}");
    let unknown = Facts { subgroups: None, ..executor.facts().clone() };
    let error =
        attention::lower_as(Variant::Cpu(32), Pass::Forward, &usual, &unknown).unwrap_err().to_string();
    assert!(error.contains("attention") && error.contains("subgroup"), "{error}");
    // Left to itself the family finds a variant that runs.
    assert!(attention::lower(Pass::Forward, &usual, &unknown).is_ok());
}

/// The backward oracle against finite differences of the forward one.
#[test]
fn the_oracle_is_its_own_derivative() {
    for case in cases().into_iter().filter(|case| case.sizes.keys > 0) {
        let loss = |inputs: &oracle::Inputs| -> f64 {
            oracle::forward(&case.sizes, inputs)
                .iter()
                .zip(&case.dout)
                .map(|(out, weight)| out * weight)
                .sum()
        };
        let want = oracle::backward(&case.sizes, &case.inputs, &case.dout);
        type Field = fn(&mut oracle::Inputs) -> Option<&mut Vec<f64>>;
        let fields: [(&str, Field, &Vec<f64>); 6] = [
            ("q", |inputs| Some(&mut inputs.q), &want.q),
            ("k", |inputs| Some(&mut inputs.k), &want.k),
            ("v", |inputs| Some(&mut inputs.v), &want.v),
            ("bias", |inputs| inputs.bias.as_mut().map(|(bias, _)| bias), &want.bias),
            ("slopes", |inputs| inputs.slopes.as_mut(), &want.slopes),
            ("relative", |inputs| inputs.relative.as_mut(), &want.relative),
        ];
        for (name, field, gradient) in fields {
            let direction = widen(&random(8, gradient.len()));
            let moved = |step: f64| {
                let mut inputs = case.inputs.clone();
                if let Some(values) = field(&mut inputs) {
                    values.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
                }
                loss(&inputs)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let analytic: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            // The difference of two losses of some dozens in f64, over 2e-5.
            let error = (numeric - analytic).abs();
            assert!(
                error < 1e-6 * (1.0 + numeric.abs()),
                "{name} of {}: {numeric} and {analytic}",
                case.name
            );
        }
    }
}
