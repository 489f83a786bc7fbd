//! The Transformer family against PyTorch: attention layers, encoders and decoders, decoder-only models with every kind
//! of positions and heads, the encoder–decoder, and biases from a tree. Rows are ragged here, and run one by one in
//! PyTorch.

use seqloom_graph::{AttentionOptions, Graph, HostData, HostTensor, Init, Lengths, ParamId, Params, Tensor};
use seqloom_nn::{
    AbsolutePositions, AttentionConfig, Batch, Bert, BertConfig, BlockConfig, BlockInit, FeedForward,
    FeedForwardActivation, FeedForwardConfig, FeedForwardNames, Gpt, GptConfig, LmBatch, MaskedBatch,
    Masking, Model, MultiHeadAttention, NormKind, NormPlace, RelativePositions, Rotary, SinusoidLayout,
    StackMemory, Transformer, TransformerConfig, TransformerDropout, TransformerStack, TranslationBatch,
    TranslationVocab, TreePositions, Vocab, tree_distances,
};
use seqloom_tests::case::weighted_sum;
use seqloom_tests::compare::Tolerance;
use seqloom_tests::golden::Golden;
use seqloom_tests::golden_model::{Recorded, assert_golden};

/// The golden values are exact to a float32. Some ten dependent layers round to 6e-8 each, sums of some tens of terms among
/// them; exp, erf and square roots come from a driver that may be off by some units in the last place.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 5e-5 };

fn golden() -> Golden {
    Golden::load("transformer")
}

/// A leaf of a case that is a parameter here, to have its gradient.
fn leaf(golden: &Golden, params: &mut Params, case: &str, name: &str) -> ParamId {
    params.add(name, &golden.tensor(&format!("{case}.{name}")).shape(), Init::Zeros)
}

/// The case's loss: each output times its weights, summed.
fn judged<'g>(golden: &Golden, g: &'g Graph, case: &str, outputs: Vec<(String, Tensor<'g>)>) -> Recorded<'g> {
    let weights: Vec<_> =
        outputs.iter().map(|(name, _)| golden.tensor(&format!("{case}.weight_{name}"))).collect();
    let tensors: Vec<_> = outputs.iter().map(|(_, tensor)| *tensor).collect();
    Recorded { loss: weighted_sum(g, &tensors, &weights), outputs }
}

fn seen(lengths: Option<Lengths<'_>>) -> AttentionOptions<'_> {
    AttentionOptions { lengths: lengths.map(Lengths::tensor), ..AttentionOptions::default() }
}

/// Rows of ids of these lengths.
fn rows(golden: &Golden, ids: &str, lengths: &str, more: usize) -> Vec<Vec<u32>> {
    let time = golden.tensor(ids).shape()[1];
    let rows = golden.ids(ids).chunks(time).zip(golden.ids(lengths));
    rows.map(|(row, &length)| row[..length as usize + more].to_vec()).collect()
}

fn attention(case: &str, memory: Option<usize>, causal: bool) {
    attention_with(case, AttentionConfig { memory, ..AttentionConfig::new(8, 2) }, causal);
}

fn attention_with(case: &str, config: AttentionConfig, causal: bool) {
    let memory = config.memory;
    let golden = golden();
    let mut params = Params::seeded(0);
    let x = leaf(&golden, &mut params, case, "x");
    let from = memory.map(|_| leaf(&golden, &mut params, case, "memory"));
    let layer = MultiHeadAttention::new(&mut params, "", config);
    let lengths = golden.get(&format!("{case}.lengths"));
    let inputs: Vec<_> = lengths.map(|lengths| ("lengths", lengths)).into_iter().collect();
    assert_golden(&golden, case, params, &inputs, TOLERANCE, |g| {
        let (x, from) = (g.param(x), from.map(|from| g.param(from)));
        let lengths = lengths.map(|_| g.lengths("lengths", 3, from.map_or(4, |from| from.dim(1))));
        let mask = AttentionOptions { causal, ..seen(lengths) };
        let place = seqloom_nn::Place::From(0);
        let (query, memory) = match from {
            None => layer.project(x, place),
            Some(from) => (layer.queries(x, place), layer.memory(from, place)),
        };
        let weights = layer.weights(query, memory, mask).mean(1);
        let y = layer.attend(query, memory, mask);
        judged(&golden, g, case, vec![("y".to_owned(), y), ("weights".to_owned(), weights)])
    });
}

#[test]
fn self_attention() {
    attention("attention_self", None, false);
}

#[test]
fn causal_self_attention() {
    attention("attention_causal", None, true);
}

#[test]
fn self_attention_over_ragged_rows() {
    attention("attention_lengths", None, false);
}

#[test]
fn cross_attention_to_another_width() {
    attention("attention_cross", Some(6), false);
}

#[test]
fn attention_without_bias() {
    let config = AttentionConfig { bias: false, ..AttentionConfig::new(8, 2) };
    attention_with("attention_without_bias", config.clone(), true);
    let cross = AttentionConfig { memory: Some(6), ..config };
    attention_with("attention_cross_without_bias", cross, false);
}

#[test]
fn feed_forward_with_gates() {
    let gates = |activation, bias, names| FeedForwardConfig {
        bias,
        names,
        ..FeedForwardConfig::new(8, 10, activation)
    };
    use FeedForwardActivation::GeGlu;
    use FeedForwardNames::{Llama, Torch};
    for (case, config) in [
        ("feed_forward_swiglu", FeedForwardConfig::llama(8, 10)),
        ("feed_forward_geglu", gates(GeGlu, true, Llama)),
        ("feed_forward_geglu_plain", gates(GeGlu, false, Torch)),
    ] {
        let golden = golden();
        let mut params = Params::seeded(0);
        let x = leaf(&golden, &mut params, case, "x");
        let layer = FeedForward::new(&mut params, config);
        assert_golden(&golden, case, params, &[], TOLERANCE, |g| {
            judged(&golden, g, case, vec![("y".to_owned(), layer.forward(g.param(x)))])
        });
    }
}

fn block(heads: usize, pre: bool, gelu: bool) -> BlockConfig {
    let activation = if gelu { FeedForwardActivation::Gelu } else { FeedForwardActivation::Relu };
    let norm_place = if pre { NormPlace::Pre } else { NormPlace::Post };
    BlockConfig { feed_forward: 10, activation, norm_place, ..BlockConfig::new(8, heads) }
}

/// Zeros on padded steps, as the golden file has them.
fn cut<'g>(y: Tensor<'g>, lengths: Lengths<'g>) -> Tensor<'g> {
    lengths.unpack(lengths.pack(y)).reshape(&y.shape())
}

fn stack(case: &str, decoder: bool, pre: bool, gelu: bool, normed: bool) {
    stack_of(case, decoder, &block(2, pre, gelu), normed);
}

fn stack_of(case: &str, decoder: bool, block: &BlockConfig, normed: bool) {
    let golden = golden();
    let mut params = Params::seeded(0);
    let x = leaf(&golden, &mut params, case, "x");
    let memory = decoder.then(|| leaf(&golden, &mut params, case, "memory"));
    let make = if decoder { TransformerStack::decoder } else { TransformerStack::encoder };
    let stack = make(&mut params, "", block, 2, 8, normed);
    let mut inputs = vec![("lengths", golden.tensor(&format!("{case}.lengths")))];
    inputs.extend(golden.get(&format!("{case}.memory_lengths")).map(|l| ("memory_lengths", l)));
    assert_golden(&golden, case, params, &inputs, TOLERANCE, |g| {
        let lengths = g.lengths("lengths", 3, 4);
        let y = match memory {
            None => stack.forward(g.param(x), seen(Some(lengths)), None),
            Some(memory) => {
                let blocks = stack.memory(g.param(memory));
                let mask = seen(Some(g.lengths("memory_lengths", 3, 5)));
                let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
                stack.forward(g.param(x), causal, Some(StackMemory { blocks: &blocks, mask }))
            }
        };
        judged(&golden, g, case, vec![("y".to_owned(), cut(y, lengths))])
    });
}

#[test]
fn stacks_without_bias() {
    stack_of("encoder_without_bias", false, &BlockConfig { bias: false, ..block(2, true, true) }, true);
    stack_of("decoder_without_bias", true, &BlockConfig { bias: false, ..block(2, false, false) }, false);
}

#[test]
fn encoder_pre_norm() {
    stack("encoder_pre", false, true, true, true);
}

#[test]
fn encoder_post_norm() {
    stack("encoder_post", false, false, false, false);
}

#[test]
fn decoder_pre_norm() {
    stack("decoder_pre", true, true, false, false);
}

#[test]
fn decoder_post_norm() {
    stack("decoder_post", true, false, true, true);
}

fn gpt(case: &str, adjust: impl Fn(GptConfig) -> GptConfig) {
    let golden = golden();
    let ragged = rows(&golden, &format!("{case}.sequences"), &format!("{case}.lengths"), 1);
    let full = ragged.iter().all(|row| row.len() == ragged[0].len());
    let batch = if full {
        let part = |from: usize, to: usize| ragged.iter().flat_map(|row| row[from..to].to_vec()).collect();
        let time = ragged[0].len() - 1;
        LmBatch::new(ragged.len(), time, part(0, time), part(1, time + 1)).unwrap()
    } else {
        LmBatch::ragged(&ragged, 7).unwrap()
    };
    let mut params = Params::seeded(0);
    let block = BlockConfig { init: BlockInit::Torch, ..block(2, true, true) };
    let config = GptConfig { block, ..GptConfig::new(Vocab::ids(7), 8, 2, 2, 8) };
    let model = Gpt::new(&mut params, adjust(config));
    assert_golden(&golden, case, params, &batch.tensors(), TOLERANCE, |g| Recorded {
        loss: model.loss(g, &batch),
        outputs: Vec::new(),
    });
}

/// A model in which only the heads know positions.
fn relative(config: GptConfig, relative: RelativePositions) -> GptConfig {
    let block = BlockConfig { relative, ..config.block };
    GptConfig { positions: AbsolutePositions::None, block, ..config }
}

fn rotary(interleaved: bool) -> RelativePositions {
    RelativePositions::Rotary(Rotary { interleaved, ..Rotary::default() })
}

#[test]
fn decoder_only() {
    gpt("gpt_full", |config| config);
}

#[test]
fn decoder_only_tied() {
    gpt("gpt_tied", |config| GptConfig { tied: true, ..config });
}

#[test]
fn decoder_only_with_sinusoids() {
    let sinusoidal = |layout| move |c| GptConfig { positions: AbsolutePositions::Sinusoidal(layout), ..c };
    gpt("gpt_interleaved", sinusoidal(SinusoidLayout::Interleaved));
    gpt("gpt_halves", sinusoidal(SinusoidLayout::Halves));
}

#[test]
fn decoder_only_with_rotations() {
    gpt("gpt_rotary", |config| relative(config, rotary(true)));
    gpt("gpt_rotary_halves", |config| relative(config, rotary(false)));
}

#[test]
fn decoder_only_with_slopes() {
    gpt("gpt_alibi", |config| {
        let block = BlockConfig { channels: 6, heads: 3, ..config.block };
        relative(GptConfig { block, ..config }, RelativePositions::Alibi)
    });
}

#[test]
fn decoder_only_with_terms_by_distance() {
    gpt("gpt_relative", |config| relative(config, RelativePositions::Learned { radius: 2 }));
}

#[test]
fn decoder_only_with_a_window() {
    gpt("gpt_window", |config| GptConfig { window: Some(2), ..config });
}

#[test]
fn decoder_only_with_grouped_heads() {
    gpt("gpt_grouped", |config| {
        let block = BlockConfig { heads: 4, key_heads: Some(2), ..config.block };
        GptConfig { block, ..config }
    });
}

#[test]
fn decoder_only_with_gates_and_root_mean_squares() {
    gpt("gpt_gated", |config| {
        let activation = FeedForwardActivation::SwiGlu;
        let block = BlockConfig { activation, norm: NormKind::Rms, ..config.block };
        relative(GptConfig { block, ..config }, rotary(false))
    });
}

fn translation(case: &str, pre: bool, positions: AbsolutePositions, tied: bool, label_smoothing: f32) {
    const VOCAB: TranslationVocab = TranslationVocab { source: 9, target: 8, bos: 1, eos: 2 };
    let golden = golden();
    let side = |side: &str| rows(&golden, &format!("{case}.{side}s"), &format!("{case}.{side}_lengths"), 0);
    let batch = TranslationBatch::new(&side("source"), &side("target"), VOCAB).unwrap();
    let mut params = Params::seeded(0);
    let config = TransformerConfig {
        vocab: VOCAB,
        block: block(2, pre, pre),
        encoder_layers: 2,
        decoder_layers: 1,
        max_source: 6,
        max_target: 6,
        positions,
        tied,
        label_smoothing,
    };
    let model = Transformer::new(&mut params, config);
    assert_golden(&golden, case, params, &batch.tensors(), TOLERANCE, |g| Recorded {
        loss: model.loss(g, &batch),
        outputs: Vec::new(),
    });
}

#[test]
fn encoder_decoder_post_norm() {
    let interleaved = AbsolutePositions::Sinusoidal(SinusoidLayout::Interleaved);
    translation("translation_post", false, interleaved, false, 0.0);
}

#[test]
fn encoder_decoder_pre_norm() {
    translation("translation_pre", true, AbsolutePositions::Learned, true, 0.1);
}

#[test]
fn encoder_only() {
    let (golden, case) = (golden(), "bert");
    // As many rows and places as the case has; its own choice of tokens stands in for the batch's random one.
    let masking = Masking { ratio: 0.5, ..Masking::new(7, 6) };
    let batch = MaskedBatch::new(&[vec![1; 6], vec![1; 1], vec![1; 4]], &masking, 1).unwrap();
    // The case has rows of 6 steps, the batch pads them to more.
    let (time, wide) = (6, batch.time());
    let ids = |name: &str| golden.ids(&format!("{case}.{name}"));
    let rows = ids("tokens").chunks(time);
    let tokens = rows.flat_map(|row| [row, &vec![0; wide - time]].concat()).collect();
    let place = |&place: &u32| place / time as u32 * wide as u32 + place % time as u32;
    let moved = [
        ("tokens", HostTensor::u32(&[3, wide], tokens).unwrap()),
        (
            "places",
            HostTensor::u32(&[batch.place_count()], ids("places").iter().map(place).collect()).unwrap(),
        ),
    ];
    let given = |name: &str| {
        let moved = moved.iter().find(|(has, _)| *has == name).map(|(_, tensor)| tensor);
        moved.unwrap_or_else(|| golden.tensor(&format!("{case}.{name}")))
    };
    let inputs: Vec<_> = batch.tensors().iter().map(|(name, _)| (*name, given(name))).collect();
    let mut params = Params::seeded(0);
    let config = BertConfig::new(Vocab::ids(7), 8, 2, 2, 8);
    let block = BlockConfig { feed_forward: 10, dropout: TransformerDropout::default(), ..config.block };
    let model = Bert::new(&mut params, BertConfig { block, token_types: 2, ..config });
    assert_golden(&golden, case, params, &inputs, TOLERANCE, |g| Recorded {
        loss: model.loss(g, &batch),
        outputs: Vec::new(),
    });
}

#[test]
fn positions_from_a_tree() {
    let (golden, case) = (golden(), "tree");
    let distances = golden.tensor("tree.distances");
    let heads = golden.ids("tree.heads").chunks(5);
    let found = heads.flat_map(|row| {
        let heads: Vec<_> = row.iter().map(|&head| (head < 5).then_some(head as usize)).collect();
        tree_distances(&heads, 3).unwrap()
    });
    assert_eq!(&HostData::U32(found.collect()), distances.data());

    let mut params = Params::seeded(0);
    let x = leaf(&golden, &mut params, case, "x");
    let layer = MultiHeadAttention::new(&mut params, "", AttentionConfig::new(8, 2));
    let tree = TreePositions::new(&mut params, "tree", 2, 3);
    let inputs: [(&str, &HostTensor); 1] = [("distances", distances)];
    assert_golden(&golden, case, params, &inputs, TOLERANCE, |g| {
        let bias = tree.forward(tree.distances(g, "distances", 2, 5));
        let mask = AttentionOptions { bias: Some(bias), ..AttentionOptions::default() };
        judged(&golden, g, case, vec![("y".to_owned(), layer.forward(g.param(x), mask))])
    });
}
