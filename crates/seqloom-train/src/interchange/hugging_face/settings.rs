//! The settings of a model's `config.json`: sizes and choices, each read with its kind checked and refused by its name.

use std::path::{Path, PathBuf};

use seqloom_nn::FeedForwardActivation;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::fault::ConfigFault;

/// File names that `save_pretrained` chooses.
pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";

/// The settings of a `config.json`.
pub(super) struct Settings {
    path: PathBuf,
    all: serde_json::Map<String, Value>,
}

impl Settings {
    /// Reads the configuration of the model in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let damaged = |detail| Error::Config { path: path.clone(), fault: ConfigFault::Damaged { detail } };
        let all = match serde_json::from_slice(&bytes) {
            Ok(Value::Object(all)) => all,
            Ok(_) => return Err(damaged("it is not an object".to_owned())),
            Err(error) => return Err(damaged(error.to_string())),
        };
        Ok(Self { path, all })
    }

    /// A setting that is there and not null.
    pub(super) fn get(&self, setting: &str) -> Option<&Value> {
        self.all.get(setting).filter(|value| !value.is_null())
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

    /// Refuses a setting that is there and not `value`.
    pub(super) fn only(&self, setting: &str, value: impl Into<Value>) -> Result<()> {
        let value = value.into();
        match self.get(setting) {
            Some(has) if *has != value => Err(self.refuse(setting, &format!("{value}: no other is known"))),
            _ => Ok(()),
        }
    }

    /// A function of the feed-forward layers.
    pub(super) fn activation(&self, setting: &str, absent: &str) -> Result<FeedForwardActivation> {
        match self.get(setting).map_or(Some(absent), Value::as_str) {
            Some("gelu") => Ok(FeedForwardActivation::Gelu),
            Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh") => Ok(FeedForwardActivation::GeluTanh),
            Some("relu") => Ok(FeedForwardActivation::Relu),
            Some("silu" | "swish") => Ok(FeedForwardActivation::Silu),
            _ => Err(self.refuse(setting, "gelu, gelu_new, relu or silu")),
        }
    }

    pub(super) fn refuse(&self, setting: &str, needs: &str) -> Error {
        let value = self.get(setting).map_or_else(|| "absent".to_owned(), Value::to_string);
        let fault = ConfigFault::Setting { setting: setting.to_owned(), value, needs: needs.to_owned() };
        Error::Config { path: self.path.clone(), fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interchange::hugging_face::{read_bert, read_gpt2};

    fn fault(config: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CONFIG), config).unwrap();
        let gpt2 = read_gpt2(folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(gpt2.contains(CONFIG), "{gpt2}");
        gpt2
    }

    #[test]
    fn broken_configurations_are_told_with_the_setting() {
        assert!(fault("{").contains("damaged"));
        assert!(fault("[]").contains("not an object"));
        assert!(fault("{}").contains("'vocab_size' is absent, it must be a whole number above 0"));
        assert!(fault(r#"{"vocab_size": -3}"#).contains("'vocab_size' is -3"));
        let sizes = r#""vocab_size": 5, "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 4"#;
        let with = |more: &str| fault(&format!("{{{sizes}, {more}}}"));
        assert!(with(r#""activation_function": "mish""#).contains(r#"'activation_function' is "mish""#));
        assert!(with(r#""layer_norm_epsilon": "small""#).contains("a number from 0"));
        assert!(with(r#""scale_attn_by_inverse_layer_idx": true"#).contains("must be false"));
        assert!(with(r#""tie_word_embeddings": false"#).contains("must be true"));
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_bert(folder.path()).map(|_| ()).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(CONFIG)), "{error}");
        let config = r#"{"vocab_size": 5, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 8, "max_position_embeddings": 4, "type_vocab_size": 2}"#;
        std::fs::write(folder.path().join(CONFIG), config).unwrap();
        let error = read_bert(folder.path()).map(|_| ()).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(WEIGHTS)), "{error}");
    }
}
