//! Attention as users call it: against the oracle, with dropout, beside the path that stores its weights, in pieces as
//! a decoder with a cache uses it, and refused if operands do not fit.

use seqloom_graph::{
    AttentionOptions, Control, DType, Graph, HostData, HostTensor, Init, ParamStore, Params, Program,
    Request, Start, StoreKind, Tensor,
};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::device;
use seqloom_tests::executor::narrow;
use seqloom_tests::mid_graph::{ids, wave};
use seqloom_tests::oracle::attention::{Inputs, Sizes};
use seqloom_tests::oracle::operations as oracle;
use seqloom_tests::oracle::rng::uniform;
use seqloom_tests::oracle::widen;

/// Scores of some units have errors of some 1e-7, which their power multiplies; sums of some dozens of products follow.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 2e-5 };

fn values(tensor: &HostTensor) -> Vec<f64> {
    match tensor.data() {
        HostData::F32(values) => widen(values),
        _ => panic!("made as f32"),
    }
}

/// Queries, keys and values of those sizes: B, H, Hkv, Tq, Tk, D, Dv.
fn operands([batch, heads, key_heads, queries, keys, width, value_width]: [usize; 7]) -> Vec<HostTensor> {
    vec![
        wave(&[batch, queries, heads, width], 0),
        wave(&[batch, keys, key_heads, width], 1),
        wave(&[batch, keys, key_heads, value_width], 2),
    ]
}

/// The oracle's view of them, without masks.
fn meaning(operands: &[HostTensor], sizes: [usize; 7]) -> (Sizes, Inputs) {
    let [batch, heads, key_heads, queries, keys, width, value_width] = sizes;
    let sizes = Sizes {
        batch,
        heads,
        key_heads,
        queries,
        keys,
        width,
        value_width,
        scale: 1.0 / (width as f64).sqrt(),
        starts: vec![0; batch],
        lengths: vec![keys; batch],
        before: None,
        after: None,
    };
    let [q, k, v] = [0, 1, 2].map(|i| values(&operands[i]));
    (sizes, Inputs { q, k, v, bias: None, slopes: None, relative: None, kept: None })
}

/// The outputs of a function, recorded for training, and its gradients.
fn run(
    operands: &[HostTensor],
    function: impl for<'g> FnOnce(&'g Graph, &[Tensor<'g>]) -> Vec<Tensor<'g>>,
) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let case = Case::compile(&device::shared(), operands, |g, x| {
        let outputs = function(g, x);
        let loss = outputs.iter().map(|out| out.square().sum_all()).reduce(|sum, term| sum + term).unwrap();
        Recorded { outputs, loss }
    });
    let _ = case.loss();
    (case.outputs(), case.gradients())
}

#[test]
fn agrees_with_the_oracle() {
    let extents = [2, 4, 2, 37, 70, 9, 5];
    let mut all = operands(extents);
    all.push(ids(&[2], &[70, 41]));
    all.push(wave(&[4, 2 * 6 + 1], 3));
    let (mut sizes, mut inputs) = meaning(&all, extents);
    (sizes.lengths, sizes.starts) = (vec![70, 41], vec![70 - 37, 41 - 37]);
    (sizes.before, sizes.after) = (Some(20), Some(0));
    inputs.relative = Some(values(&all[4]));
    let (outputs, _) = run(&all, |_, x| {
        let options = AttentionOptions {
            causal: true,
            window: Some(20),
            start: Start::AtEnd,
            lengths: Some(x[3]),
            relative: Some(x[4]),
            ..AttentionOptions::default()
        };
        vec![x[0].attention(x[1], x[2], options), x[0].attention_weights(x[1], options)]
    });
    assert_close("out", &outputs[0], &narrow(&oracle::attention(&sizes, &inputs).data), TOLERANCE);
    assert_close(
        "weights",
        &outputs[1],
        &narrow(&oracle::attention_weights(&sizes, &inputs).data),
        TOLERANCE,
    );
}

#[test]
fn drops_weights_in_training_alone() {
    let extents = [2, 2, 1, 9, 40, 4, 4];
    let all = operands(extents);
    let (sizes, mut inputs) = meaning(&all, extents);
    // The graph's first use of random numbers is stream 1; a case runs with seed 7.
    let factor = |index| if uniform(7, 1, index) < 0.75 { 1.0 / 0.75 } else { 0.0 };
    inputs.kept = Some((0..2 * 2 * 9 * 40).map(factor).collect());
    let dropout = AttentionOptions { dropout: 0.25, ..AttentionOptions::default() };
    let (outputs, _) = run(&all, |_, x| {
        vec![x[0].attention(x[1], x[2], AttentionOptions { dropout: 0.25, ..AttentionOptions::default() })]
    });
    assert_close("dropped", &outputs[0], &narrow(&oracle::attention(&sizes, &inputs).data), TOLERANCE);

    let params = Params::seeded(0);
    let graph = Graph::inference(&params);
    let [q, k, v] = [0, 1, 2].map(|i| graph.feed(&format!("in{i}"), &all[i]));
    let same = format!("{:?}", q.attention(k, v, dropout));
    assert_eq!(same, format!("{:?}", q.attention(k, v, AttentionOptions::default())));
}

/// The fused operation against softmax and products that store the weights: outputs and gradients.
#[test]
fn agrees_with_the_path_that_stores_weights() {
    let all: Vec<_> = operands([2, 3, 3, 40, 40, 8, 8]).into_iter().chain([wave(&[3, 40, 40], 4)]).collect();
    let (fused, of_fused) = run(&all, |_, x| {
        let options = AttentionOptions { causal: true, bias: Some(x[3]), ..AttentionOptions::default() };
        vec![x[0].attention(x[1], x[2], options)]
    });
    let (stored, of_stored) = run(&all, |_, x| {
        let options = AttentionOptions { causal: true, bias: Some(x[3]), ..AttentionOptions::default() };
        let weights = x[0].attention_weights(x[1], options);
        vec![weights.matmul(x[2].transpose(1, 2)).transpose(1, 2)]
    });
    assert_close("out", &fused[0], &stored[0], TOLERANCE);
    for (i, (fused, stored)) in of_fused.iter().zip(&of_stored).enumerate() {
        assert_close(&format!("gradient {i}"), fused, stored, TOLERANCE);
    }
}

/// Queries one at a time behind a cache that fills give what all at once give.
#[test]
fn decodes_with_a_cache() {
    let all = operands([2, 2, 2, 12, 12, 4, 4]);
    let (whole, _) = run(&all, |_, x| {
        vec![x[0].attention(x[1], x[2], AttentionOptions { causal: true, ..AttentionOptions::default() })]
    });
    let (pieces, _) = run(&all, |g, x| {
        let piece = |at: usize, start: Start| {
            let lengths = g.literal_u32(&[2], vec![at as u32 + 3; 2]);
            let lengths = (start == Start::AtEnd).then_some(lengths);
            let options = AttentionOptions { causal: true, start, lengths, ..AttentionOptions::default() };
            x[0].slice(1, at, 3).attention(x[1], x[2], options)
        };
        vec![
            Tensor::concat(
                piece(0, Start::At(0)),
                &[piece(3, Start::At(3)), piece(6, Start::At(6)), piece(9, Start::At(9))],
                1,
            ),
            Tensor::concat(
                piece(0, Start::AtEnd),
                &[piece(3, Start::AtEnd), piece(6, Start::AtEnd), piece(9, Start::AtEnd)],
                1,
            ),
        ]
    });
    assert_close("from positions", &pieces[0], &whole[0], TOLERANCE);
    assert_close("from lengths", &pieces[1], &whole[0], TOLERANCE);
}

#[test]
fn gives_the_same_bits_again() {
    let mut all = operands([2, 4, 2, 50, 50, 8, 8]);
    all.push(wave(&[4, 9], 4));
    let once = || {
        run(&all, |_, x| {
            let options = AttentionOptions {
                causal: true,
                relative: Some(x[3]),
                dropout: 0.1,
                ..AttentionOptions::default()
            };
            vec![x[0].attention(x[1], x[2], options)]
        })
    };
    let (first, second) = (once(), once());
    assert_same_bits("out", &first.0[0], &second.0[0]);
    for (first, second) in first.1.iter().zip(&second.1) {
        assert_same_bits("gradient", first, second);
    }
}

/// Memory of a training step: at four times the length four times as much, and an eighth of what stored weights take.
#[test]
fn memory_grows_with_the_length() {
    let slots = |time: usize, fused: bool| {
        let sizes = [1, 4, 4, time, time, 16, 16];
        let case = Case::compile(&device::shared(), &operands(sizes), |_, x| {
            let options = AttentionOptions { causal: true, ..AttentionOptions::default() };
            let out = if fused {
                x[0].attention(x[1], x[2], options)
            } else {
                x[0].attention_weights(x[1], options).matmul(x[2].transpose(1, 2)).transpose(1, 2)
            };
            Recorded { outputs: vec![], loss: out.square().sum_all() }
        });
        case.program().memory().slots
    };
    let (short, long) = (slots(256, true), slots(1024, true));
    assert!(long <= 5 * short, "{short} bytes at 256 steps, {long} at 1024");
    let stored = slots(1024, false);
    assert!(8 * long <= stored, "{long} bytes, {stored} with stored weights");
}

/// The message of the first mistake of a recording.
fn mistake(record: impl for<'g> FnOnce(&'g Graph) -> Tensor<'g>) -> String {
    let params = Params::seeded(0);
    let graph = Graph::training(&params);
    let tensor = record(&graph);
    assert!(tensor.is_poisoned(), "recorded {tensor:?}");
    graph.check().unwrap_err().to_string()
}

#[test]
fn refuses_what_does_not_fit() {
    let q = [2, 5, 4, 3];
    let with = |key: &'static [usize], value: &'static [usize], parts: &[&str]| {
        let message = mistake(|g| {
            let [q, k, v] = [("q", &q[..]), ("k", key), ("v", value)].map(|(n, s)| g.input(n, s, DType::F32));
            q.attention(k, v, AttentionOptions::default())
        });
        for part in parts {
            assert!(message.contains(part), "`{message}` does not say `{part}`");
        }
    };
    with(
        &[2, 7, 4, 2],
        &[2, 7, 4, 3],
        &["attention", "keys need the queries' B and D", "[2, 7, 4, 2]", "fused_attention.rs"],
    );
    with(&[2, 7, 4, 3], &[2, 6, 4, 3], &["values the keys' B, T and H"]);
    with(&[2, 7, 3, 3], &[2, 7, 3, 3], &["4 query heads cannot share 3 key heads"]);
    with(&[2, 7, 12], &[2, 7, 12], &["[B, T, H, D]"]);
    // No keys at all are keys that no query sees (`empty.rs`); heads and channels there must be.
    with(&[2, 7, 0, 3], &[2, 7, 0, 3], &["H and D of 1 or more"]);

    type Options = for<'g> fn(&'g Graph) -> AttentionOptions<'g>;
    let optioned = |options: Options, part: &str| {
        let message = mistake(|g| {
            let [q, k, v] = ["q", "k", "v"].map(|name| g.input(name, &[2, 5, 4, 3], DType::F32));
            q.attention(k, v, options(g))
        });
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    };
    optioned(
        |g| AttentionOptions { bias: Some(g.full(&[3, 5, 5], 0.0)), ..AttentionOptions::default() },
        "a bias is [2 or 1, 4 or 1, 5, 5]",
    );
    optioned(
        |g| AttentionOptions { bias: Some(g.full(&[5, 5], 0.0)), ..AttentionOptions::default() },
        "a bias is",
    );
    optioned(
        |g| AttentionOptions {
            lengths: Some(g.literal_u32(&[3], vec![1; 3])),
            ..AttentionOptions::default()
        },
        "lengths are [2]",
    );
    optioned(
        |g| AttentionOptions { lengths: Some(g.full(&[2], 1.0)), ..AttentionOptions::default() },
        "needs u32",
    );
    optioned(
        |g| AttentionOptions { slopes: Some(g.full(&[2], 1.0)), ..AttentionOptions::default() },
        "slopes are [4]",
    );
    optioned(
        |g| AttentionOptions { relative: Some(g.full(&[4, 6], 1.0)), ..AttentionOptions::default() },
        "[4, 2R+1]",
    );
    optioned(|_| AttentionOptions { start: Start::AtEnd, ..AttentionOptions::default() }, "need lengths");
    optioned(
        |_| AttentionOptions { start: Start::At(usize::MAX), ..AttentionOptions::default() },
        "start = 18446744073709551615 is beyond",
    );
    optioned(|_| AttentionOptions { dropout: 1.0, ..AttentionOptions::default() }, "dropout = 1 is not in");
    optioned(|_| AttentionOptions { scale: Some(f32::NAN), ..AttentionOptions::default() }, "scale = NaN");
}

/// Lengths are checked on the host, and may be 0.
#[test]
fn lengths_beyond_the_keys_are_found() {
    let mut params = Params::seeded(0);
    let id = params.add("q", &[2, 5, 1, 4], Init::Ones);
    let graph = Graph::training(&params);
    let q = graph.param(id);
    let lengths = graph.input("lengths", &[2], DType::U32);
    let out = q.attention(q, q, AttentionOptions { lengths: Some(lengths), ..AttentionOptions::default() });
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
    let request = Request { outputs: &[("out", out)], objective: None };
    let program = Program::compile(&store, &graph, request).unwrap();
    let run = |lengths: &[u32]| program.run(&[("lengths", &ids(&[2], lengths))], &Control::default());
    let message = run(&[5, 6]).unwrap_err().to_string();
    assert!(message.contains("element 1 is 6, allowed are 0 to 5"), "{message}");
    run(&[0, 3]).unwrap();
    let got = program.read("out").unwrap().wait().unwrap();
    assert_eq!(got, [[0.0; 20], [1.0; 20]].concat());
}
