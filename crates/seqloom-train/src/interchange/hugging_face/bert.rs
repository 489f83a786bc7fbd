//! BERT: `BertModel`, `BertForMaskedLM` and `BertForPreTraining`.
//!
//! Separate matrices project its queries, keys and values; its names may begin with `bert.`; the head's matrix is the
//! embedding's table; the oldest files call scale and shift of a normalisation gamma and beta. The tensors in a file
//! tell its class, because `config.json` of well-known checkpoints names another. It applies dropout to embeddings,
//! attention weights and each branch's result, and none inside the feed-forward layer.

use std::path::Path;

use seqloom_nn::{BertConfig, BlockConfig, TransformerDropout, Vocab};

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::interchange::hugging_face::settings::{Settings, WEIGHTS};
use crate::interchange::name_map::{NameMap, NameRule};

/// BERT's names for the parameters of a [`seqloom_nn::Bert`].
pub const BERT: NameMap = NameMap {
    prefixes: &["bert."],
    endings: &[("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")],
    ignored: &["embeddings.position_ids", "cls.seq_relationship.weight", "cls.seq_relationship.bias"],
    copies: &[
        ("cls.predictions.decoder.weight", "embeddings.word_embeddings.weight"),
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    ],
    rules: &[
        NameRule::same("embedding.weight", &["embeddings.word_embeddings.weight"]),
        NameRule::same("positions.weight", &["embeddings.position_embeddings.weight"]),
        NameRule::same("token_types.weight", &["embeddings.token_type_embeddings.weight"]),
        NameRule::same("norm.weight", &["embeddings.LayerNorm.weight"]),
        NameRule::same("norm.bias", &["embeddings.LayerNorm.bias"]),
        NameRule::same(
            "blocks.layers.*.self_attn.in_proj_weight",
            &[
                "encoder.layer.*.attention.self.query.weight",
                "encoder.layer.*.attention.self.key.weight",
                "encoder.layer.*.attention.self.value.weight",
            ],
        ),
        NameRule::same(
            "blocks.layers.*.self_attn.in_proj_bias",
            &[
                "encoder.layer.*.attention.self.query.bias",
                "encoder.layer.*.attention.self.key.bias",
                "encoder.layer.*.attention.self.value.bias",
            ],
        ),
        NameRule::same(
            "blocks.layers.*.self_attn.out_proj.weight",
            &["encoder.layer.*.attention.output.dense.weight"],
        ),
        NameRule::same(
            "blocks.layers.*.self_attn.out_proj.bias",
            &["encoder.layer.*.attention.output.dense.bias"],
        ),
        NameRule::same(
            "blocks.layers.*.norm1.weight",
            &["encoder.layer.*.attention.output.LayerNorm.weight"],
        ),
        NameRule::same("blocks.layers.*.norm1.bias", &["encoder.layer.*.attention.output.LayerNorm.bias"]),
        NameRule::same("blocks.layers.*.linear1.weight", &["encoder.layer.*.intermediate.dense.weight"]),
        NameRule::same("blocks.layers.*.linear1.bias", &["encoder.layer.*.intermediate.dense.bias"]),
        NameRule::same("blocks.layers.*.linear2.weight", &["encoder.layer.*.output.dense.weight"]),
        NameRule::same("blocks.layers.*.linear2.bias", &["encoder.layer.*.output.dense.bias"]),
        NameRule::same("blocks.layers.*.norm2.weight", &["encoder.layer.*.output.LayerNorm.weight"]),
        NameRule::same("blocks.layers.*.norm2.bias", &["encoder.layer.*.output.LayerNorm.bias"]),
        NameRule::same("pooler.weight", &["pooler.dense.weight"]),
        NameRule::same("pooler.bias", &["pooler.dense.bias"]),
        NameRule::same("head.dense.weight", &["cls.predictions.transform.dense.weight"]),
        NameRule::same("head.dense.bias", &["cls.predictions.transform.dense.bias"]),
        NameRule::same("head.norm.weight", &["cls.predictions.transform.LayerNorm.weight"]),
        NameRule::same("head.norm.bias", &["cls.predictions.transform.LayerNorm.bias"]),
        NameRule::same("head.bias", &["cls.predictions.bias"]),
    ],
};

/// Settings only of BERT that change nothing here: dropout before a classifier, and pooler settings of Google's own
/// files for a pooler that the model does not have.
const HARMLESS: [&str; 7] = [
    "classifier_dropout",
    "directionality",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
];

/// Reads a folder that a BERT was saved to. Returns the sizes of the [`seqloom_nn::Bert`], with the file's pooler and
/// head, and its parameters, for [`Checkpoint::restore_parameters`]. The vocabulary has ids without characters.
///
/// A file without `model_type`, as Google's own are, is taken for BERT unless its `architectures` are others. Here the
/// embedding of `pad_token_id` is like any other. Theirs gets no gradient from its lookups, which matters only if that
/// token occurs within a row's length.
///
/// # Errors
/// [`crate::Error::Io`]; [`crate::Error::Config`] for another model's folder, for sizes that are absent, and
/// by name for settings that change the computation and that ours lacks, or that are not known;
/// [`crate::Error::Checkpoint`] if the file of the parameters is truncated, damaged, or of another type.
pub fn read_bert(folder: impl AsRef<Path>) -> Result<(BertConfig, Checkpoint)> {
    let folder = folder.as_ref();
    let settings = Settings::read(folder, &[])?;
    settings.kind("bert", "Bert")?;
    let vocab = Vocab::ids(settings.size("vocab_size")?);
    let (channels, heads) = (settings.size("hidden_size")?, settings.size("num_attention_heads")?);
    let (layers, time) = (settings.size("num_hidden_layers")?, settings.size("max_position_embeddings")?);
    let (feed_forward, token_types) =
        (settings.size("intermediate_size")?, settings.size("type_vocab_size")?);
    settings.only("position_embedding_type", "absolute")?;
    settings.only("is_decoder", false)?;
    settings.plain()?;
    let hidden = settings.dropout_or("hidden_dropout_prob", 0.1)?;
    let attention = settings.dropout_or("attention_probs_dropout_prob", 0.1)?;
    let sizes = BertConfig::new(vocab, channels, heads, layers, time);
    let block = BlockConfig {
        feed_forward,
        activation: settings.activation("hidden_act", "gelu")?,
        norm_eps: settings.number_or("layer_norm_eps", 1e-12)?,
        dropout: TransformerDropout { attention, inner: 0.0, ..TransformerDropout::all(hidden) },
        ..sizes.block
    };
    settings.all_known(&HARMLESS)?;
    let checkpoint = Checkpoint::read_as(folder.join(WEIGHTS), &BERT)?;
    let (pooler, head) = (checkpoint.contains("pooler.weight"), checkpoint.contains("head.bias"));
    Ok((BertConfig { block, token_types, pooler, head, ..sizes }, checkpoint))
}
