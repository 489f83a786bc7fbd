//! The settings of a `config.json`: each is obeyed, refused, or known not to affect the computation.
//!
//! A setting that a loader asks for is obeyed. Some settings may have only one value. A list names those that the
//! models' own code uses for other purposes. All others are refused by name, because an unknown setting may change what
//! the model computes: settings of later releases, of other models, of somebody's own code.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use seqloom_nn::FeedForwardActivation;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::fault::ConfigFault;

/// File names that `save_pretrained` chooses.
pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";

/// Settings of any model that do not change what ours computes from the same parameters. Settings whose names begin
/// with an underscore are the library's own notes and never affect a model's mathematics.
const HARMLESS: &[&str] = &[
    // Its name, what made it, and how its numbers are stored.
    "name_or_path",
    "architectures",
    "transformers_version",
    "tokenizer_class",
    "prefix",
    "torch_dtype",
    "dtype",
    "use_bfloat16",
    "torchscript",
    "tf_legacy_loss",
    // Additional results of a call.
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "return_dict",
    "return_dict_in_generate",
    "use_cache",
    // How the same numbers are computed.
    "attn_implementation",
    "chunk_size_feed_forward",
    "gradient_checkpointing",
    // Initial values, which the file's replace.
    "initializer_range",
    // Heads for other tasks.
    "num_labels",
    "id2label",
    "label2id",
    "problem_type",
    "finetuning_task",
    "task_specific_params",
    // Of encoder–decoders and of attention to another model, which are refused.
    "tie_encoder_decoder",
    "cross_attention_hidden_size",
    // Tokens, and how text is generated.
    "bos_token_id",
    "eos_token_id",
    "eos_token_ids",
    "pad_token_id",
    "sep_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "max_length",
    "min_length",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "num_return_sequences",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
];

/// The settings of a `config.json`.
pub(super) struct Settings {
    path: PathBuf,
    all: serde_json::Map<String, Value>,
    /// What was asked for.
    asked: RefCell<BTreeSet<String>>,
}

impl Settings {
    /// Reads the configuration of the model in `folder`. `aliases` are other names of settings, (other, name).
    pub(super) fn read(folder: &Path, aliases: &[(&str, &str)]) -> Result<Self> {
        let path = folder.join(CONFIG);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let damaged = |detail| Error::Config { path: path.clone(), fault: ConfigFault::Damaged { detail } };
        let all = match serde_json::from_slice(&bytes) {
            Ok(Value::Object(all)) => all,
            Ok(_) => return Err(damaged("it is not an object".to_owned())),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let mut settings = Self { path, all, asked: RefCell::default() };
        for (further, name) in aliases {
            let Some(value) = settings.get(further).cloned() else { continue };
            match settings.get(name).cloned() {
                Some(has) if has != value => {
                    return Err(settings.refuse(further, &format!("{has}, as '{name}' is")));
                }
                Some(_) => {}
                None => drop(settings.all.insert((*name).to_owned(), value)),
            }
        }
        Ok(settings)
    }

    /// A setting that is there and not null.
    fn get(&self, setting: &str) -> Option<&Value> {
        self.asked.borrow_mut().insert(setting.to_owned());
        self.all.get(setting).filter(|value| !value.is_null())
    }

    /// Refuses the configuration of another kind of model: by `model_type`, which older files lack, or then by the names of
    /// their classes, which begin with `class`.
    pub(super) fn kind(&self, model_type: &str, class: &str) -> Result<()> {
        if self.get("model_type").is_some() {
            return self.only("model_type", model_type);
        }
        let ours = |name: &Value| {
            let name = name.as_str().unwrap_or_default();
            let name = name.strip_prefix("TF").or_else(|| name.strip_prefix("Flax")).unwrap_or(name);
            name.starts_with(class)
        };
        match self.get("architectures").and_then(Value::as_array) {
            Some(names) if !names.iter().all(ours) => {
                Err(self.refuse("architectures", &format!("classes of {class}")))
            }
            _ => Ok(()),
        }
    }

    /// A count of at least 1.
    pub(super) fn size(&self, setting: &str) -> Result<usize> {
        let size = self.get(setting).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        size.filter(|&size| size > 0).ok_or_else(|| self.refuse(setting, "a whole number above 0"))
    }

    /// As [`Self::size`], or `absent` if it is not there.
    pub(super) fn size_or(&self, setting: &str, absent: usize) -> Result<usize> {
        if self.get(setting).is_none() { Ok(absent) } else { self.size(setting) }
    }

    /// A number from 0, or `absent` if it is not there.
    pub(super) fn number_or(&self, setting: &str, absent: f32) -> Result<f32> {
        let Some(value) = self.get(setting) else { return Ok(absent) };
        let number = value.as_f64().map(|number| number as f32).filter(|n| n.is_finite() && *n >= 0.0);
        number.ok_or_else(|| self.refuse(setting, "a number from 0"))
    }

    /// A probability of dropout, or `absent` if it is not there.
    pub(super) fn dropout_or(&self, setting: &str, absent: f32) -> Result<f32> {
        let Some(value) = self.get(setting) else { return Ok(absent) };
        let number = value.as_f64().map(|number| number as f32).filter(|p| (0.0..1.0).contains(p));
        number.ok_or_else(|| self.refuse(setting, "a probability from 0 to below 1"))
    }

    /// Refuses a setting that is there and not `value`.
    pub(super) fn only(&self, setting: &str, value: impl Into<Value>) -> Result<()> {
        let value = value.into();
        match self.get(setting) {
            Some(has) if *has != value => Err(self.refuse(setting, &format!("{value}: no other is known"))),
            _ => Ok(()),
        }
    }

    /// Refuses what no model here has: a decoder's attention to an encoder, an untied head, pruned heads, quantised
    /// parameters, and a model that is defined by somebody's own code.
    pub(super) fn plain(&self) -> Result<()> {
        self.only("is_encoder_decoder", false)?;
        self.only("add_cross_attention", false)?;
        self.only("tie_word_embeddings", true)?;
        self.only("pruned_heads", serde_json::Map::new())?;
        for setting in ["quantization_config", "auto_map"] {
            if self.get(setting).is_some() {
                return Err(self.refuse(setting, "absent"));
            }
        }
        Ok(())
    }

    /// A function of the feed-forward layers.
    pub(super) fn activation(&self, setting: &str, absent: &str) -> Result<FeedForwardActivation> {
        match self.get(setting).map_or(Some(absent), Value::as_str) {
            Some("gelu" | "gelu_python") => Ok(FeedForwardActivation::Gelu),
            Some("gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh") => {
                Ok(FeedForwardActivation::GeluTanh)
            }
            Some("relu") => Ok(FeedForwardActivation::Relu),
            Some("silu" | "swish") => Ok(FeedForwardActivation::Silu),
            _ => Err(self.refuse(setting, "gelu, gelu_new, relu or silu")),
        }
    }

    /// Refuses every setting that was not asked for and is in neither [`HARMLESS`] nor `harmless`. A null setting is
    /// ignored.
    pub(super) fn all_known(&self, harmless: &[&str]) -> Result<()> {
        let asked = self.asked.borrow();
        let known = |name: &str| {
            name.starts_with('_')
                || asked.contains(name)
                || HARMLESS.contains(&name)
                || harmless.contains(&name)
        };
        let unknown = self.all.iter().filter(|(name, value)| !value.is_null() && !known(name));
        let settings: Vec<_> = unknown.map(|(name, _)| name.clone()).collect();
        if settings.is_empty() {
            return Ok(());
        }
        Err(Error::Config { path: self.path.clone(), fault: ConfigFault::Unknown { settings } })
    }

    fn refuse(&self, setting: &str, needs: &str) -> Error {
        let value = self.get(setting).map_or_else(|| "absent".to_owned(), Value::to_string);
        let fault = ConfigFault::Setting { setting: setting.to_owned(), value, needs: needs.to_owned() };
        Error::Config { path: self.path.clone(), fault }
    }
}
