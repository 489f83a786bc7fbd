//! GPT-2: `GPT2LMHeadModel` and `GPT2Model`.
//!
//! Its matrices are [in, out] (`Conv1D`), its names may begin with `transformer.`, its head is the embedding's table, and older
//! files hold the causal masks as buffers.

use std::path::Path;

use seqloom_nn::{BlockConfig, BlockStart, GptConfig, Vocab};

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::interchange::hugging_face::settings::{Settings, WEIGHTS};
use crate::interchange::name_map::{NameMap, NameRule};

/// GPT-2's names for the parameters of a [`seqloom_nn::Gpt`].
pub const GPT2: NameMap = NameMap {
    prefixes: &["transformer."],
    endings: &[],
    ignored: &["h.*.attn.bias", "h.*.attn.masked_bias", "lm_head.weight"],
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

/// Reads a folder that `GPT2LMHeadModel` or `GPT2Model` was saved to: the sizes of the [`seqloom_nn::Gpt`] that it is, and its
/// parameters, for [`Checkpoint::restore_parameters`]. The vocabulary has ids without characters.
///
/// # Errors
/// [`crate::Error::Io`]; [`crate::Error::Config`] for sizes that are absent and settings that change what is computed and
/// are not known; [`crate::Error::Checkpoint`] if the file of the parameters is truncated, damaged, or of another type.
pub fn read_gpt2(folder: impl AsRef<Path>) -> Result<(GptConfig, Checkpoint)> {
    let folder = folder.as_ref();
    let settings = Settings::read(folder)?;
    let vocab = Vocab::ids(settings.size("vocab_size")?);
    let (channels, heads) = (settings.size("n_embd")?, settings.size("n_head")?);
    let (layers, time) = (settings.size("n_layer")?, settings.size("n_positions")?);
    settings.only("scale_attn_weights", true)?;
    settings.only("scale_attn_by_inverse_layer_idx", false)?;
    settings.only("add_cross_attention", false)?;
    settings.only("tie_word_embeddings", true)?;
    let block = BlockConfig {
        feed_forward: settings.size_or("n_inner", 4 * channels)?,
        activation: settings.activation("activation_function", "gelu_new")?,
        norm_eps: settings.number_or("layer_norm_epsilon", 1e-5)?,
        dropout: settings.number_or("resid_pdrop", 0.1)?,
        start: BlockStart::Gpt2,
        ..BlockConfig::new(channels, heads)
    };
    let config = GptConfig { block, tied: true, ..GptConfig::new(vocab, channels, heads, layers, time) };
    Ok((config, Checkpoint::read_as(folder.join(WEIGHTS), &GPT2)?))
}
