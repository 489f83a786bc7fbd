//! Models of other libraries: files of PyTorch and Hugging Face's transformers load by name and compute what theirs
//! compute. A file that does not fit is refused with all its misfits.

use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use seqloom_graph::{
    Arena, AttentionOptions, Control, Graph, HostTensor, Lengths, ParamStore, Params, Program, Request,
    StoreKind, Tensor,
};
use seqloom_nn::{
    AttentionConfig, Bert, BlockConfig, FeedForwardActivation, Gpt, LanguageModel, MultiHeadAttention,
    NormPlace, Place, StackMemory, TransformerStack,
};
use seqloom_tests::compare::{Tolerance, compare};
use seqloom_tests::device;
use seqloom_tests::golden::Golden;
use seqloom_train::{Checkpoint, CheckpointFault, Error, NameMap, read_bert, read_gpt2};

/// As for the golden cases of Transformers.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 5e-5 };

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/checkpoints").join(name)
}

/// Loads the checkpoint into a model with these parameters, and compares what it records with the case's golden outputs.
fn computes(
    case: &str,
    params: Params,
    checkpoint: &Checkpoint,
    inputs: &[&str],
    record: impl for<'g> FnOnce(&'g Graph) -> Vec<(&'static str, Tensor<'g>)>,
) {
    let golden = Golden::load("checkpoints");
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
    checkpoint.restore_parameters(&store).unwrap();
    let g = store.inference_graph();
    let outputs = record(&g);
    let program = Program::compile(&store, &g, Request { outputs: &outputs, objective: None }).unwrap();
    let named = |name: &str| format!("{case}.{name}");
    let inputs: Vec<(&str, &HostTensor)> =
        inputs.iter().map(|&name| (name, golden.tensor(&named(name)))).collect();
    program.run(&inputs, &Control::default()).unwrap();
    for (name, _) in outputs {
        let got = program.read(name).unwrap().wait().unwrap();
        compare(&named(name), &got, golden.floats(&named(name)), TOLERANCE).unwrap();
    }
}

fn x(g: &Graph) -> Tensor<'_> {
    g.input("x", &[2, 4, 8], seqloom_graph::DType::F32)
}

fn memory(g: &Graph, width: usize) -> Tensor<'_> {
    g.input("memory", &[2, 3, width], seqloom_graph::DType::F32)
}

fn read(name: &str) -> Checkpoint {
    Checkpoint::read(file(name)).unwrap()
}

#[test]
fn attention_of_pytorch() {
    let mut params = Params::seeded(1);
    let layer = MultiHeadAttention::new(&mut params, "", AttentionConfig::new(8, 2));
    computes("attention", params, &read("attention.safetensors"), &["x"], |g| {
        vec![("y", layer.forward(x(g), AttentionOptions::default()))]
    });
    let mut params = Params::seeded(1);
    let config = AttentionConfig { memory: Some(6), ..AttentionConfig::new(8, 2) };
    let layer = MultiHeadAttention::new(&mut params, "", config);
    computes("cross_attention", params, &read("cross_attention.safetensors"), &["x", "memory"], |g| {
        let memory = layer.memory(memory(g, 6), Place::From(0));
        let y = layer.attend(layer.queries(x(g), Place::From(0)), memory, AttentionOptions::default());
        vec![("y", y)]
    });
}

fn block(norm_place: NormPlace) -> BlockConfig {
    let activation = FeedForwardActivation::Relu;
    BlockConfig { feed_forward: 10, activation, norm_place, ..BlockConfig::new(8, 2) }
}

#[test]
fn encoder_of_pytorch() {
    let mut params = Params::seeded(1);
    let stack = TransformerStack::encoder(&mut params, "", &block(NormPlace::Post), 2, 4, false);
    computes("encoder", params, &read("encoder.safetensors"), &["x"], |g| {
        vec![("y", stack.forward(x(g), AttentionOptions::default(), None))]
    });
}

#[test]
fn decoder_of_pytorch() {
    let mut params = Params::seeded(1);
    let stack = TransformerStack::decoder(&mut params, "", &block(NormPlace::Pre), 2, 4, true);
    computes("decoder", params, &read("decoder.safetensors"), &["x", "memory"], |g| {
        let blocks = stack.memory(memory(g, 8));
        let memory = StackMemory { blocks: &blocks, mask: AttentionOptions::default() };
        let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
        vec![("y", stack.forward(x(g), causal, Some(memory)))]
    });
}

#[test]
fn gpt2_of_hugging_face() {
    let (config, checkpoint) = read_gpt2(file("gpt2")).unwrap();
    assert_eq!((config.max_time, config.layers, config.block.feed_forward), (8, 2, 32));
    let mut params = Params::seeded(1);
    let model = Gpt::new(&mut params, config);
    computes("gpt2", params, &checkpoint, &["tokens"], |g| {
        vec![("logits", model.logits(model.features(g.ids("tokens", &[2, 6], 11))))]
    });
}

/// Features, 0 on padded steps.
fn features<'g>(model: &Bert, g: &'g Graph) -> (Tensor<'g>, Lengths<'g>) {
    let lengths = g.lengths("lengths", 2, 6);
    let kinds = g.ids("kinds", &[2, 6], 2);
    (model.features(g.ids("tokens", &[2, 6], 11), Some(kinds), Some(lengths)), lengths)
}

fn cut<'g>(x: Tensor<'g>, lengths: Lengths<'g>) -> Tensor<'g> {
    lengths.unpack(lengths.pack(x)).reshape(&x.shape())
}

#[test]
fn bert_of_hugging_face() {
    let (config, checkpoint) = read_bert(file("bert")).unwrap();
    assert_eq!((config.pooler, config.head, config.block.norm_eps), (true, false, 1e-12));
    let mut params = Params::seeded(1);
    let model = Bert::new(&mut params, config);
    computes("bert", params, &checkpoint, &["tokens", "kinds", "lengths"], |g| {
        let (features, lengths) = features(&model, g);
        vec![("features", cut(features, lengths)), ("pooled", model.pooled(features))]
    });
}

#[test]
fn bert_with_a_head_of_hugging_face() {
    let (config, checkpoint) = read_bert(file("bert_masked")).unwrap();
    assert_eq!((config.pooler, config.head), (false, true));
    let mut params = Params::seeded(1);
    let model = Bert::new(&mut params, config);
    computes("bert_masked", params, &checkpoint, &["tokens", "kinds", "lengths"], |g| {
        let (features, lengths) = features(&model, g);
        vec![("logits", cut(model.logits(features), lengths))]
    });
}

/// Copies a safetensors file with its tensors renamed, and further ones of one byte each.
fn rewritten(from: &Path, to: &Path, name: impl Fn(&str) -> Option<String>, buffers: &[&str]) {
    let bytes = std::fs::read(from).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut views: Vec<_> = tensors.iter().filter_map(|(old, view)| Some((name(old)?, view))).collect();
    let byte = TensorView::new(Dtype::U8, vec![1], &[1]).unwrap();
    views.extend(buffers.iter().map(|buffer| ((*buffer).to_owned(), byte.clone())));
    std::fs::write(to, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Older files have other names and hold buffers; they load all the same.
#[test]
fn older_files_of_hugging_face() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(file("gpt2/config.json"), at("config.json")).unwrap();
    let plain = |name: &str| Some(name.strip_prefix("transformer.").unwrap_or(name).to_owned());
    let buffers = ["h.0.attn.bias", "h.1.attn.masked_bias"];
    rewritten(&file("gpt2/model.safetensors"), &at("model.safetensors"), plain, &buffers);
    assert_eq!(parameters(&read_gpt2(folder.path()).unwrap()), parameters(&read_gpt2(file("gpt2")).unwrap()));

    std::fs::copy(file("bert_masked/config.json"), at("config.json")).unwrap();
    let greek = |name: &str| {
        let name =
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        Some(name)
    };
    let buffers = ["bert.embeddings.position_ids", "cls.seq_relationship.weight"];
    rewritten(&file("bert_masked/model.safetensors"), &at("model.safetensors"), greek, &buffers);
    let (config, old) = read_bert(folder.path()).unwrap();
    let (_, new) = read_bert(file("bert_masked")).unwrap();
    let values = |checkpoint: &Checkpoint| {
        let mut params = Params::seeded(1);
        let _ = Bert::new(&mut params, config.clone());
        stored(params, checkpoint)
    };
    assert_eq!(values(&old), values(&new));
}

/// A table that head and embedding share is in a file under either name.
#[test]
fn a_shared_table_under_the_head_s_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let moved = |from: &'static str, to: &'static str| {
        move |name: &str| Some(if name == from { to } else { name }.to_owned())
    };
    std::fs::copy(file("gpt2/config.json"), at("config.json")).unwrap();
    let to_head = moved("transformer.wte.weight", "lm_head.weight");
    rewritten(&file("gpt2/model.safetensors"), &at("model.safetensors"), to_head, &[]);
    assert_eq!(parameters(&read_gpt2(folder.path()).unwrap()), parameters(&read_gpt2(file("gpt2")).unwrap()));

    let values = |from: &Path| {
        let (config, checkpoint) = read_bert(from).unwrap();
        assert!(config.head);
        let mut params = Params::seeded(1);
        let _ = Bert::new(&mut params, config);
        stored(params, &checkpoint)
    };
    std::fs::copy(file("bert_masked/config.json"), at("config.json")).unwrap();
    for (from, to) in [
        ("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
        ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    ] {
        rewritten(&file("bert_masked/model.safetensors"), &at("model.safetensors"), moved(from, to), &[]);
        assert_eq!(values(folder.path()), values(&file("bert_masked")), "{to}");
    }
}

fn parameters((config, checkpoint): &(seqloom_nn::GptConfig, Checkpoint)) -> Vec<Vec<f32>> {
    let mut params = Params::seeded(1);
    let _ = Gpt::new(&mut params, config.clone());
    stored(params, checkpoint)
}

fn stored(params: Params, checkpoint: &Checkpoint) -> Vec<Vec<f32>> {
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
    checkpoint.restore_parameters(&store).unwrap();
    store.read(Arena::Params).unwrap()
}

fn refused(params: Params, checkpoint: &Checkpoint) -> CheckpointFault {
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
    let before = store.read(Arena::Params).unwrap();
    let error = checkpoint.restore_parameters(&store).unwrap_err();
    assert_eq!(store.read(Arena::Params).unwrap(), before, "nothing was written");
    match error {
        Error::Checkpoint { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn all_that_does_not_fit_is_told_at_once() {
    // The file lacks the last normalisation and the second feed-forward layer is wider.
    let mut params = Params::seeded(1);
    let wider = BlockConfig { feed_forward: 11, ..block(NormPlace::Post) };
    let _ = TransformerStack::encoder(&mut params, "", &wider, 1, 4, true);
    let CheckpointFault::Mismatch { missing, extra, misshapen } =
        refused(params, &read("encoder.safetensors"))
    else {
        panic!("another fault")
    };
    assert_eq!(missing, ["norm.bias", "norm.weight"]);
    assert!(extra.len() == 12 && extra.iter().all(|name| name.starts_with("layers.1.")), "{extra:?}");
    let names: Vec<_> = misshapen.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["layers.0.linear1.bias", "layers.0.linear1.weight", "layers.0.linear2.weight"]);
    assert_eq!((&misshapen[2].has, &misshapen[2].needs), (&vec![8, 10], &vec![8, 11]));
}

#[test]
fn parts_of_foreign_models_that_do_not_fit_are_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(file("bert/config.json"), at("config.json")).unwrap();
    // A key's projection is gone, and one tensor nobody knows is there.
    let name = |name: &str| match name {
        "encoder.layer.1.attention.self.key.weight" => None,
        "embeddings.LayerNorm.bias" => Some("embeddings.unknown".to_owned()),
        name => Some(name.to_owned()),
    };
    rewritten(&file("bert/model.safetensors"), &at("model.safetensors"), name, &[]);
    let (config, checkpoint) = read_bert(folder.path()).unwrap();
    let mut params = Params::seeded(1);
    let _ = Bert::new(&mut params, config);
    let CheckpointFault::Mismatch { missing, extra, misshapen } = refused(params, &checkpoint) else {
        panic!("another fault")
    };
    assert_eq!(missing, ["blocks.layers.1.self_attn.in_proj_weight", "norm.bias"]);
    let parts = ["query", "value"].map(|part| format!("encoder.layer.1.attention.self.{part}.weight"));
    assert_eq!(extra, [&["embeddings.unknown".to_owned()], &parts[..]].concat());
    assert!(misshapen.is_empty());
}

/// A file that a table of names does not know keeps its names.
#[test]
fn a_map_without_rules_changes_nothing() {
    const NOTHING: NameMap = NameMap::SAME;
    let path = file("attention.safetensors");
    assert_eq!(Checkpoint::read_as(&path, &NOTHING).unwrap(), Checkpoint::read(&path).unwrap());
}
