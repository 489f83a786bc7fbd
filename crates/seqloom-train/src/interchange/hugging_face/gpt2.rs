//! GPT-2: `GPT2LMHeadModel` and `GPT2Model`.
//!
//! Its matrices are [in, out] (`Conv1D`); its names may begin with `transformer.`; its head is the embedding's table,
//! which a file may hold under either name; older files hold the causal masks as buffers. It applies dropout to
//! embeddings, attention weights and each branch's result, and none inside the feed-forward layer.

use std::path::Path;

use seqloom_nn::{BlockConfig, BlockInit, GptConfig, TransformerDropout, Vocab};

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::interchange::hugging_face::settings::{Settings, WEIGHTS};
use crate::interchange::name_map::{NameMap, NameRule};

/// GPT-2's names for the parameters of a [`seqloom_nn::Gpt`].
pub const GPT2: NameMap = NameMap {
    prefixes: &["transformer."],
    endings: &[],
    ignored: &["h.*.attn.bias", "h.*.attn.masked_bias"],
    copies: &[("lm_head.weight", "wte.weight")],
    rules: &[
        NameRule::same("embedding.weight", &["wte.weight"]),
        NameRule::same("positions.weight", &["wpe.weight"]),
        NameRule::same("blocks.layers.*.norm1.weight", &["h.*.ln_1.weight"]),
        NameRule::same("blocks.layers.*.norm1.bias", &["h.*.ln_1.bias"]),
        NameRule::transposed("blocks.layers.*.self_attn.in_proj_weight", &["h.*.attn.c_attn.weight"]),
        NameRule::same("blocks.layers.*.self_attn.in_proj_bias", &["h.*.attn.c_attn.bias"]),
        NameRule::transposed("blocks.layers.*.self_attn.out_proj.weight", &["h.*.attn.c_proj.weight"]),
        NameRule::same("blocks.layers.*.self_attn.out_proj.bias", &["h.*.attn.c_proj.bias"]),
        NameRule::same("blocks.layers.*.norm2.weight", &["h.*.ln_2.weight"]),
        NameRule::same("blocks.layers.*.norm2.bias", &["h.*.ln_2.bias"]),
        NameRule::transposed("blocks.layers.*.linear1.weight", &["h.*.mlp.c_fc.weight"]),
        NameRule::same("blocks.layers.*.linear1.bias", &["h.*.mlp.c_fc.bias"]),
        NameRule::transposed("blocks.layers.*.linear2.weight", &["h.*.mlp.c_proj.weight"]),
        NameRule::same("blocks.layers.*.linear2.bias", &["h.*.mlp.c_proj.bias"]),
        NameRule::same("blocks.norm.weight", &["ln_f.weight"]),
        NameRule::same("blocks.norm.bias", &["ln_f.bias"]),
    ],
};

/// Other names that `GPT2Config` has for its sizes.
const ALIASES: [(&str, &str); 4] = [
    ("hidden_size", "n_embd"),
    ("max_position_embeddings", "n_positions"),
    ("num_attention_heads", "n_head"),
    ("num_hidden_layers", "n_layer"),
];

/// Settings only of GPT-2 that change nothing here: the size of the mask that older files hold, an order of operations
/// that matters in 16 bits, whether it stands in a pair, and a head of `GPT2DoubleHeadsModel`.
const HARMLESS: [&str; 8] = [
    "n_ctx",
    "reorder_and_upcast_attn",
    "is_decoder",
    "summary_type",
    "summary_use_proj",
    "summary_activation",
    "summary_proj_to_labels",
    "summary_first_dropout",
];

/// Reads a folder that `GPT2LMHeadModel` or `GPT2Model` was saved to. Returns the sizes of the [`seqloom_nn::Gpt`] and
/// its parameters, for [`Checkpoint::restore_parameters`]. The vocabulary has ids without characters.
///
/// A file without `model_type` is taken for GPT-2 unless its `architectures` are others.
///
/// # Errors
/// [`crate::Error::Io`]; [`crate::Error::Config`] for another model's folder, for sizes that are absent, and
/// by name for settings that change the computation and that ours lacks, or that are not known;
/// [`crate::Error::Checkpoint`] if the file of the parameters is truncated, damaged, or of another type.
pub fn read_gpt2(folder: impl AsRef<Path>) -> Result<(GptConfig, Checkpoint)> {
    let folder = folder.as_ref();
    let settings = Settings::read(folder, &ALIASES)?;
    settings.kind("gpt2", "GPT2")?;
    let vocab = Vocab::ids(settings.size("vocab_size")?);
    let (channels, heads) = (settings.size("n_embd")?, settings.size("n_head")?);
    let (layers, time) = (settings.size("n_layer")?, settings.size("n_positions")?);
    settings.only("scale_attn_weights", true)?;
    settings.only("scale_attn_by_inverse_layer_idx", false)?;
    settings.plain()?;
    let residual = settings.dropout_or("resid_pdrop", 0.1)?;
    let dropout = TransformerDropout {
        embedding: settings.dropout_or("embd_pdrop", 0.1)?,
        attention: settings.dropout_or("attn_pdrop", 0.1)?,
        attention_result: residual,
        inner: 0.0,
        feed_forward_result: residual,
    };
    let block = BlockConfig {
        feed_forward: settings.size_or("n_inner", channels.saturating_mul(4))?,
        activation: settings.activation("activation_function", "gelu_new")?,
        norm_eps: settings.number_or("layer_norm_epsilon", 1e-5)?,
        dropout,
        init: BlockInit::Gpt2,
        ..BlockConfig::new(channels, heads)
    };
    settings.all_known(&HARMLESS)?;
    let config = GptConfig { block, tied: true, ..GptConfig::new(vocab, channels, heads, layers, time) };
    Ok((config, Checkpoint::read_as(folder.join(WEIGHTS), &GPT2)?))
}
