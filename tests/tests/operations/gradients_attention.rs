//! Gradients of attention in the middle of a graph (`seqloom_tests::mid_graph`), against finite differences of the loss:
//! every combination of masks and terms. The kernels' own tests cover sizes; here they are small.

use seqloom_graph::{AttentionOptions, Start, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::device;
use seqloom_tests::mid_graph::{check, ids, tensor, wave};

/// B, H, Hkv, Tq, Tk, D, Dv.
const SIZES: [usize; 7] = [2, 4, 2, 5, 7, 3, 2];

/// What may be asked for beside each other, a bit each.
const LENGTHS: u32 = 1;
const WINDOW: u32 = 2;
const CAUSAL: u32 = 4;
const BIAS: u32 = 8;
const SLOPES: u32 = 16;
const RELATIVE: u32 = 32;
const DROPOUT: u32 = 64;
const ALL: u32 = 127;

/// Records one combination over operands that may or may not be used.
fn attend<'g>(x: &[Tensor<'g>], chosen: u32, start: Start) -> Tensor<'g> {
    let has = |option: u32| chosen & option != 0;
    let mut rest = x[3..].iter().copied();
    let mut next = |option: u32| has(option).then(|| rest.next().unwrap());
    let options = AttentionOptions {
        causal: has(CAUSAL),
        window: has(WINDOW).then_some(3),
        start,
        lengths: next(LENGTHS),
        bias: next(BIAS),
        slopes: next(SLOPES),
        relative: next(RELATIVE),
        dropout: if has(DROPOUT) { 0.25 } else { 0.0 },
        scale: None,
    };
    x[0].attention(x[1], x[2], options)
}

fn check_combination(chosen: u32, start: Start) {
    let [batch, heads, key_heads, queries, keys, width, value_width] = SIZES;
    let mut operands = vec![
        wave(&[batch, queries, heads, width], 0),
        wave(&[batch, keys, key_heads, width], 1),
        wave(&[batch, keys, key_heads, value_width], 2),
    ];
    let has = |option: u32| chosen & option != 0;
    operands.extend(has(LENGTHS).then(|| ids(&[batch], &[7, 4])));
    operands.extend(has(BIAS).then(|| wave(&[heads, queries, keys], 3)));
    operands.extend(has(SLOPES).then(|| tensor(&[heads], |h| 0.5 / (h + 1) as f32)));
    operands.extend(has(RELATIVE).then(|| wave(&[heads, 5], 4)));
    check(&operands, |x| vec![attend(x, chosen, start)]);
}

/// All combinations whose two lowest bits are these.
fn quarter(lowest: u32) {
    for chosen in (0..=ALL).filter(|chosen| chosen & 3 == lowest) {
        check_combination(chosen, Start::At(2));
    }
}

#[test]
fn gradient_of_attention() {
    quarter(0);
}

#[test]
fn with_lengths() {
    quarter(LENGTHS);
}

#[test]
fn with_a_window() {
    quarter(WINDOW);
}

#[test]
fn with_lengths_and_a_window() {
    quarter(LENGTHS | WINDOW);
}

#[test]
fn at_the_end_of_rows() {
    for chosen in [LENGTHS | CAUSAL, LENGTHS | CAUSAL | WINDOW | SLOPES, ALL] {
        check_combination(chosen, Start::AtEnd);
    }
}

#[test]
fn with_shared_biases() {
    let [batch, heads, _, queries, keys, width, _] = SIZES;
    let operand = |time: usize, salt| wave(&[batch, time, heads, width], salt);
    for extents in [[1, 1], [batch, 1], [batch, heads]] {
        let bias = wave(&[extents[0], extents[1], queries, keys], 3);
        check(&[operand(queries, 0), operand(keys, 1), operand(keys, 2), bias], |x| {
            vec![x[0].attention(
                x[1],
                x[2],
                AttentionOptions { bias: Some(x[3]), ..AttentionOptions::default() },
            )]
        });
    }
}

/// One tensor in all three roles, and no gradient wanted of the terms.
#[test]
fn of_itself() {
    check(&[wave(&[2, 6, 2, 4], 0)], |x| {
        let slopes = x[0].graph().literal(&[2], vec![0.5, 0.25]);
        let options = AttentionOptions { causal: true, slopes: Some(slopes), ..AttentionOptions::default() };
        vec![x[0].attention(x[0], x[0], options)]
    });
}

#[test]
fn gradient_of_attention_weights() {
    let [batch, heads, key_heads, queries, keys, width, _] = SIZES;
    let operands = [
        wave(&[batch, queries, heads, width], 0),
        wave(&[batch, keys, key_heads, width], 1),
        ids(&[batch], &[7, 4]),
        wave(&[heads, queries, keys], 2),
    ];
    check(&operands, |x| {
        let (lengths, bias, start) = (Some(x[2]), Some(x[3]), Start::At(2));
        let options = AttentionOptions {
            causal: true,
            window: Some(4),
            lengths,
            bias,
            start,
            ..AttentionOptions::default()
        };
        vec![x[0].attention_weights(x[1], options)]
    });
    let [q, k, lengths, _] = operands;
    let operands = [q, k, lengths, tensor(&[heads], |h| 0.5 / (h + 1) as f32), wave(&[heads, 5], 3)];
    check(&operands, |x| {
        let (lengths, slopes, relative, start) = (Some(x[2]), Some(x[3]), Some(x[4]), Start::AtEnd);
        let options = AttentionOptions { lengths, slopes, relative, start, ..AttentionOptions::default() };
        vec![x[0].attention_weights(x[1], options)]
    });
}

/// A query that sees no key has no weights and no gradient, however it comes to see none: no key in its row, a window that
/// lies elsewhere, scores of −∞ alone. As in `attention`, whose result is 0 there.
#[test]
fn weights_of_a_query_that_sees_nothing() {
    let [batch, heads, key_heads, queries, keys, width, _] = SIZES;
    let blind = 1;
    let bias =
        tensor(
            &[heads, queries, keys],
            |k| if k / keys % queries == blind { f32::NEG_INFINITY } else { 0.1 },
        );
    let operands = [
        wave(&[batch, queries, heads, width], 0),
        wave(&[batch, keys, key_heads, width], 1),
        ids(&[batch], &[0, 7]),
        bias,
    ];
    type Blind = fn(usize, usize) -> bool;
    let everything = AttentionOptions::default();
    let cases: [(&str, AttentionOptions<'_>, [bool; 2], Blind); 4] = [
        ("lengths", everything, [true, false], |row, _| row == 0),
        ("bias", everything, [false, true], |_, query| query == 1),
        // Queries stand at 5 to 9 and see 2 back: of keys 0 to 6 those at 9 see none.
        (
            "window",
            AttentionOptions { window: Some(2), start: Start::At(5), ..everything },
            [false; 2],
            |_, query| query == 4,
        ),
        ("all", AttentionOptions { causal: true, window: Some(3), ..everything }, [true; 2], |row, query| {
            row == 0 || query == 1
        }),
    ];
    for (name, options, [lengths, bias], blind) in cases {
        let case = Case::compile(&device::shared(), &operands, |g, x| {
            let options = AttentionOptions {
                causal: options.causal,
                window: options.window,
                start: options.start,
                lengths: lengths.then_some(x[2]),
                bias: bias.then_some(x[3]),
                ..AttentionOptions::default()
            };
            let weights = x[0].attention_weights(x[1], options);
            let attended = x[0].attention(x[1], x[1], options);
            let pick = g.literal(
                &weights.shape(),
                (0..weights.shape().elements()).map(|k| (k as f32).sin()).collect(),
            );
            Recorded { outputs: vec![weights, attended], loss: (weights * pick).sum_all() }
        });
        assert!(case.loss().is_finite(), "{name}");
        let outputs = case.outputs();
        for (at, told) in outputs[0].chunks(keys).enumerate() {
            let (row, query) = (at / queries / heads, at % queries);
            let sum: f32 = told.iter().sum();
            if blind(row, query) {
                assert!(told.iter().all(|&weight| weight == 0.0), "{name} {row} {query}: {told:?}");
            } else {
                assert!((sum - 1.0).abs() < 1e-5, "{name} {row} {query}: {told:?}");
            }
        }
        let gradients = case.gradients();
        assert!(gradients.iter().flatten().all(|gradient| gradient.is_finite()), "{name}");
        // One key alone has the weight 1 and no gradient either, so only what sees nothing is asked.
        for (step, of) in outputs[1].chunks(heads * width).zip(gradients[0].chunks(heads * width)).enumerate()
        {
            if blind(step / queries, step % queries) {
                assert!(of.0.iter().chain(of.1).all(|&value| value == 0.0), "{name}, step {step}: {of:?}");
            }
        }
    }
}
