//! Tests of the loaders on made-up configurations, in folders without tensors.

use std::path::Path;

use seqloom_graph::{Graph, Params};
use seqloom_nn::{Bert, Gpt, LanguageModel, TransformerDropout};

use crate::error::{Error, Result};
use crate::fault::ConfigFault;
use crate::interchange::hugging_face::settings::{CONFIG, WEIGHTS};
use crate::interchange::hugging_face::{read_bert, read_gpt2};

const GPT2_SIZES: &str = r#""vocab_size": 5, "n_embd": 8, "n_head": 2, "n_layer": 2, "n_positions": 4"#;
const BERT_SIZES: &str = r#""vocab_size": 5, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 8, "max_position_embeddings": 4, "type_vocab_size": 2"#;

/// A loader's result for a folder with this configuration and a file without tensors.
fn read<T>(config: &str, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(CONFIG), config).unwrap();
    let none: [(&str, safetensors::tensor::TensorView<'_>); 0] = [];
    std::fs::write(folder.path().join(WEIGHTS), safetensors::serialize(none, None).unwrap()).unwrap();
    read(folder.path())
}

fn gpt2(more: &str) -> Result<seqloom_nn::GptConfig> {
    read(&format!("{{{GPT2_SIZES}{more}}}"), |folder| read_gpt2(folder)).map(|(config, _)| config)
}

fn bert(more: &str) -> Result<seqloom_nn::BertConfig> {
    read(&format!("{{{BERT_SIZES}{more}}}"), |folder| read_bert(folder)).map(|(config, _)| config)
}

fn fault(config: &str) -> String {
    let gpt2 = read(config, |folder| read_gpt2(folder)).map(|_| ()).unwrap_err().to_string();
    assert!(gpt2.contains(CONFIG), "{gpt2}");
    gpt2
}

#[test]
fn broken_configurations_are_told_with_the_setting() {
    assert!(fault("{").contains("damaged"));
    assert!(fault("[]").contains("not an object"));
    assert!(fault("{}").contains("'vocab_size' is absent, it must be a whole number above 0"));
    assert!(fault(r#"{"vocab_size": -3}"#).contains("'vocab_size' is -3"));
    let with = |more: &str| fault(&format!("{{{GPT2_SIZES}, {more}}}"));
    assert!(with(r#""activation_function": "mish""#).contains(r#"'activation_function' is "mish""#));
    assert!(with(r#""layer_norm_epsilon": "small""#).contains("a number from 0"));
    assert!(with(r#""scale_attn_by_inverse_layer_idx": true"#).contains("must be false"));
    assert!(with(r#""tie_word_embeddings": false"#).contains("must be true"));
}

#[test]
fn sizes_beyond_all_bounds_are_no_panic() {
    let most = u64::MAX;
    let config =
        format!(r#"{{"vocab_size": 5, "n_embd": {most}, "n_head": 2, "n_layer": 2, "n_positions": 4}}"#);
    let (config, _) = read(&config, |folder| read_gpt2(folder)).unwrap();
    assert_eq!(config.block.feed_forward, usize::MAX);
}

#[test]
fn files_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_bert(folder.path()).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(CONFIG)), "{error}");
    std::fs::write(folder.path().join(CONFIG), format!("{{{BERT_SIZES}}}")).unwrap();
    let error = read_bert(folder.path()).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(WEIGHTS)), "{error}");
}

/// RoBERTa's base model has BERT's names and shapes, but its first position is another.
#[test]
fn another_kind_of_model_is_refused() {
    for more in [
        r#", "model_type": "roberta""#,
        r#", "model_type": "roberta", "architectures": ["BertModel"]"#,
        r#", "architectures": ["RobertaModel"]"#,
        r#", "architectures": ["BertModel", "ElectraModel"]"#,
    ] {
        let error = bert(more).unwrap_err().to_string();
        assert!(error.contains("model_type") || error.contains("architectures"), "{error}");
    }
    for more in [r#", "model_type": "gpt_neo""#, r#", "architectures": ["OpenAIGPTLMHeadModel"]"#] {
        gpt2(more).unwrap_err();
    }
    for more in [r#", "model_type": "bert""#, r#", "architectures": ["TFBertForMaskedLM"]"#, ""] {
        bert(more).unwrap();
    }
    gpt2(r#", "architectures": ["GPT2LMHeadModel"]"#).unwrap();
}

#[test]
fn every_place_drops_out_as_the_configuration_says() {
    let dropout = |p: [f32; 5]| TransformerDropout {
        embedding: p[0],
        attention: p[1],
        attention_result: p[2],
        inner: p[3],
        feed_forward_result: p[4],
    };
    let of_gpt2 = |more: &str| gpt2(more).unwrap().block.dropout;
    assert_eq!(of_gpt2(""), dropout([0.1, 0.1, 0.1, 0.0, 0.1]));
    let apart = r#", "embd_pdrop": 0.2, "attn_pdrop": 0.3, "resid_pdrop": 0.4"#;
    assert_eq!(of_gpt2(apart), dropout([0.2, 0.3, 0.4, 0.0, 0.4]));
    let of_bert = |more: &str| bert(more).unwrap().block.dropout;
    assert_eq!(of_bert(""), dropout([0.1, 0.1, 0.1, 0.0, 0.1]));
    let apart = r#", "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3"#;
    assert_eq!(of_bert(apart), dropout([0.2, 0.3, 0.2, 0.0, 0.2]));
    for bad in ["1", "-0.1", "\"none\""] {
        for setting in ["embd_pdrop", "attn_pdrop", "resid_pdrop"] {
            let error = gpt2(&format!(r#", "{setting}": {bad}"#)).unwrap_err().to_string();
            assert!(error.contains(setting) && error.contains("to below 1"), "{error}");
        }
        for setting in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
            let error = bert(&format!(r#", "{setting}": {bad}"#)).unwrap_err().to_string();
            assert!(error.contains(setting), "{error}");
        }
    }
}

/// The modules of `nn.Dropout` with p > 0 that a forward pass of theirs goes through, in two layers.
#[test]
fn as_many_places_drop_out_as_there() {
    let of_gpt2 = |more: &str| {
        let mut params = Params::seeded(1);
        let model = Gpt::new(&mut params, gpt2(more).unwrap());
        let g = Graph::training(&params);
        let _ = model.logits(model.features(g.ids("tokens", &[1, 3], 5)));
        g.check().unwrap();
        g.dropout_calls()
    };
    assert_eq!(of_gpt2(""), 1 + 2 * 3);
    assert_eq!(of_gpt2(r#", "resid_pdrop": 0"#), 1 + 2);
    assert_eq!(of_gpt2(r#", "resid_pdrop": 0.0, "embd_pdrop": 0.0"#), 2);
    assert_eq!(of_gpt2(r#", "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0"#), 0);
    let of_bert = |more: &str| {
        let mut params = Params::seeded(1);
        let model = Bert::new(&mut params, bert(more).unwrap());
        let g = Graph::training(&params);
        let _ = model.features(g.ids("tokens", &[1, 3], 5), None, None);
        g.check().unwrap();
        g.dropout_calls()
    };
    assert_eq!(of_bert(""), 1 + 2 * 3);
    assert_eq!(of_bert(r#", "attention_probs_dropout_prob": 0.0"#), 5);
    assert_eq!(of_bert(r#", "hidden_dropout_prob": 0.0"#), 2);
}

#[test]
fn what_changes_the_computation_is_refused_by_name() {
    for (setting, value) in [
        ("scale_attn_weights", "false"),
        ("scale_attn_by_inverse_layer_idx", "true"),
        ("add_cross_attention", "true"),
        ("is_encoder_decoder", "true"),
        ("tie_word_embeddings", "false"),
        ("activation_function", "\"quick_gelu\""),
        ("pruned_heads", r#"{"0": [1]}"#),
        ("quantization_config", r#"{"load_in_8bit": true}"#),
        ("auto_map", r#"{"AutoModel": "own.Model"}"#),
        ("hidden_size", "9"),
        ("rope_theta", "10000.0"),
        ("position_embedding_type", "\"absolute\""),
    ] {
        let error = gpt2(&format!(r#", "{setting}": {value}"#)).unwrap_err().to_string();
        assert!(error.contains(setting), "{error}");
    }
    for (setting, value) in [
        ("position_embedding_type", "\"relative_key\""),
        ("is_decoder", "true"),
        ("add_cross_attention", "true"),
        ("is_encoder_decoder", "true"),
        ("tie_word_embeddings", "false"),
        ("hidden_act", "\"tanh\""),
        ("pruned_heads", r#"{"1": [0]}"#),
        ("embedding_size", "4"),
    ] {
        let error = bert(&format!(r#", "{setting}": {value}"#)).unwrap_err().to_string();
        assert!(error.contains(setting), "{error}");
    }
    // All that are not known at once.
    let error = bert(r#", "wings": 2, "use_cache": true, "antennae": [1], "legs": null"#).unwrap_err();
    let Error::Config { fault: ConfigFault::Unknown { settings }, .. } = &error else { panic!("{error}") };
    assert_eq!(settings, &["antennae", "wings"]);
}

/// What the well-known checkpoints' files say, old and new.
#[test]
fn configurations_in_use_are_taken() {
    gpt2(
        r#", "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_inner": null, "resid_pdrop": 0.1,
        "reorder_and_upcast_attn": true, "summary_activation": null, "summary_first_dropout": 0.1,
        "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
        "task_specific_params": {"text-generation": {"do_sample": true}}, "_num_labels": 1,
        "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "pruned_heads": {}, "torchscript": false,
        "hidden_size": 8, "use_cache": true, "transformers_version": "4.6.0", "dtype": "float32""#,
    )
    .unwrap();
    bert(
        r#", "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "directionality": "bidi",
        "gradient_checkpointing": false, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "initializer_range": 0.02, "layer_norm_eps": 1e-12, "model_type": "bert", "pad_token_id": 0,
        "pooler_fc_size": 768, "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3,
        "pooler_size_per_head": 128, "pooler_type": "first_token_transform", "classifier_dropout": null,
        "position_embedding_type": "absolute", "transformers_version": "4.6.0.dev0", "use_cache": true"#,
    )
    .unwrap();
    // The older names of the sizes.
    let config = r#"{"vocab_size": 5, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3,
        "max_position_embeddings": 4}"#;
    let (config, _) = read(config, |folder| read_gpt2(folder)).unwrap();
    assert_eq!((config.block.channels, config.layers, config.max_time), (8, 3, 4));
}
