//! Sentences as ids: words, characters or subwords.
//!
//! All three are one pipeline of the `tokenizers` crate: a pre-tokenizer splits the sentence, a vocabulary or a list of
//! merges numbers the pieces, a decoder joins them again. So there is one file format, its `tokenizer.json`, which
//! other tools read too. Four ids are special: `<pad>`, `<bos>`, `<eos>` and `<unk>`. No text ever encodes to the first
//! three; a text that spells one out gets at worst `<unk>` in its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seqloom_nn::{NnError, TranslationVocab};
use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordlevel::{WordLevel, WordLevelTrainer};
use tokenizers::normalizers::Lowercase;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::{Whitespace, WhitespaceSplit};
use tokenizers::{AddedToken, DecoderWrapper, Model, SplitDelimiterBehavior, Tokenizer};

use crate::error::{Error, Result};
use crate::fault::CodecFault;
use crate::replace::replace;

/// Names of the special ids, in the order of their ids in a vocabulary made here.
const SPECIAL: [&str; 4] = ["<pad>", "<bos>", "<eos>", "<unk>"];

/// Ids of no piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// Fills padded steps.
    pub pad: u32,
    /// Begins a sentence.
    pub bos: u32,
    /// Ends a sentence.
    pub eos: u32,
    /// A piece that the vocabulary does not hold.
    pub unk: u32,
}

/// The pieces of a sentence, if each is looked up in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// The text between spaces: for text that is already tokenized.
    Spaced,
    /// Words and punctuation. Decoding puts a space between all of them.
    #[default]
    Words,
    /// Characters, spaces among them.
    Characters,
}

/// How [`TextCodec::words`] makes its vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordOptions {
    /// What the pieces are.
    pub unit: Unit,
    /// Whether text is lower-cased first.
    pub lowercase: bool,
    /// Pieces that occur less often become `<unk>`.
    pub min_count: u64,
    /// Most pieces to keep: the most frequent ones, equal counts in alphabetical order.
    pub most: usize,
}

impl Default for WordOptions {
    fn default() -> Self {
        Self { unit: Unit::default(), lowercase: false, min_count: 1, most: usize::MAX }
    }
}

/// How [`TextCodec::subwords`] learns its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubwordOptions {
    /// Total number of ids, special ones included: at least 260. A small text can give fewer.
    pub size: usize,
    /// Whether text is lower-cased first.
    pub lowercase: bool,
    /// Pairs of adjacent pieces that occur less often are not merged.
    pub min_count: u64,
}

impl Default for SubwordOptions {
    fn default() -> Self {
        Self { size: 8000, lowercase: false, min_count: 2 }
    }
}

/// Turns sentences into ids and back. Cheap to clone. A sentence is used as it is; read files by [`crate::read_text`]
/// or [`crate::ParallelText`], which handle byte order marks and line ends.
///
/// ```
/// # use seqloom_train::{TextCodec, WordOptions};
/// let codec = TextCodec::words(["the cat", "the dog"], WordOptions::default()).unwrap();
/// assert_eq!(codec.encode("the dog and the cat").unwrap(), [4, 6, 3, 4, 5]);
/// assert_eq!(codec.decode(&[4, 6, 3, 4, 5]).unwrap(), "the dog <unk> the cat");
/// ```
#[derive(Clone, Debug)]
pub struct TextCodec {
    tokenizer: Arc<Tokenizer>,
    special: SpecialIds,
    size: usize,
}

impl TextCodec {
    /// A codec of the words (or other [`Unit`]s) of these sentences, most frequent first.
    ///
    /// # Errors
    /// [`Error::Codec`] if no word occurs often enough.
    pub fn words<S: AsRef<str> + Send>(
        sentences: impl IntoIterator<Item = S, IntoIter: Send>,
        options: WordOptions,
    ) -> Result<Self> {
        let mut tokenizer = Tokenizer::new(WordLevel::default());
        let cut: PreTokenizerWrapper = match options.unit {
            Unit::Spaced => WhitespaceSplit.into(),
            Unit::Words => Whitespace.into(),
            Unit::Characters => {
                let any = SplitPattern::Regex("(?s).".to_owned());
                Split::new(any, SplitDelimiterBehavior::Isolated, false).map_err(failed)?.into()
            }
        };
        tokenizer.with_pre_tokenizer(Some(cut));
        if options.unit == Unit::Characters {
            tokenizer.with_decoder(Some(Fuse::default()));
        }
        if options.lowercase {
            tokenizer.with_normalizer(Some(Lowercase)).map_err(failed)?;
        }
        let mut trainer = WordLevelTrainer::builder();
        trainer.show_progress(false).min_frequency(options.min_count).vocab_size(usize::MAX);
        let trainer = trainer.build().map_err(|error| failed(error.into()))?;
        let mut trainer = TrainerWrapper::WordLevelTrainer(trainer);
        tokenizer.train(&mut trainer, sentences.into_iter()).map_err(failed)?;
        // The special names are set here before the words, not by the trainer, which would number a word of that name a
        // second time.
        let mut words: Vec<(String, u32)> = tokenizer.get_model().get_vocab().into_iter().collect();
        words.retain(|(word, _)| !SPECIAL.contains(&word.as_str()));
        if words.is_empty() {
            return Err(fault(CodecFault::NoPieces { min_count: options.min_count }));
        }
        words.sort_by_key(|(_, id)| *id);
        let words = words.into_iter().map(|(word, _)| word).take(options.most);
        let named = SPECIAL.into_iter().map(str::to_owned).chain(words).zip(0..).collect();
        let model =
            WordLevel::builder().vocab(named).unk_token("<unk>".to_owned()).build().map_err(failed)?;
        tokenizer.with_model(model);
        Self::finish(tokenizer)
    }

    /// A codec of subwords learned from these sentences: byte pair encoding (Sennrich et al. 2016) over bytes, so that no
    /// text is out of vocabulary. A sentence that does not begin with a space decodes to itself.
    ///
    /// # Errors
    /// [`Error::Codec`] if the vocabulary asked for is too small.
    pub fn subwords<S: AsRef<str> + Send>(
        sentences: impl IntoIterator<Item = S, IntoIter: Send>,
        options: SubwordOptions,
    ) -> Result<Self> {
        let alphabet = ByteLevel::alphabet();
        let least = alphabet.len() + SPECIAL.len();
        if options.size < least {
            return Err(fault(CodecFault::Small { asked: options.size, least }));
        }
        let mut tokenizer = Tokenizer::new(BPE::default());
        tokenizer.with_pre_tokenizer(Some(ByteLevel::default()));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        if options.lowercase {
            tokenizer.with_normalizer(Some(Lowercase)).map_err(failed)?;
        }
        let trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(options.size)
            .min_frequency(options.min_count)
            .initial_alphabet(alphabet.into_iter().collect())
            .special_tokens(SPECIAL.map(|name| AddedToken::from(name, true)).into());
        let mut trainer = TrainerWrapper::BpeTrainer(trainer.build());
        tokenizer.train(&mut trainer, sentences.into_iter()).map_err(failed)?;
        Self::finish(tokenizer)
    }

    /// Reads a `tokenizer.json`: one that [`TextCodec::save`] wrote, or any other that names the four special tokens as
    /// here. Its truncation and padding are removed, because both would change sentences silently.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Codec`] if it is broken, has no special ids, or has gaps in its ids; each names the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let codec = Tokenizer::from_bytes(bytes).map_err(failed).and_then(Self::finish);
        codec.map_err(|error| in_file(error, path))
    }

    /// Writes a `tokenizer.json`, replacing an earlier one as a whole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let json = self.tokenizer.to_string(true).map_err(failed).map_err(|error| in_file(error, path))?;
        replace(path, |file| std::io::Write::write_all(file, json.as_bytes()))
    }

    /// Makes the special names known, and checks what the rest of this type relies on.
    fn finish(mut tokenizer: Tokenizer) -> Result<Self> {
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(failed)?;
        let id = |token: &'static str| {
            tokenizer.token_to_id(token).ok_or_else(|| fault(CodecFault::NoSpecial { token }))
        };
        let [pad, bos, eos, unk] = SPECIAL.map(id);
        let special = SpecialIds { pad: pad?, bos: bos?, eos: eos?, unk: unk? };
        let known = SPECIAL.map(|name| AddedToken::from(name, true));
        tokenizer.add_special_tokens(known).map_err(failed)?;
        tokenizer.set_encode_special_tokens(true);
        let vocab = tokenizer.get_vocab(true);
        let size = vocab.len();
        match vocab.values().max() {
            Some(&id) if id as usize >= size => Err(fault(CodecFault::Gaps { size, id })),
            _ => Ok(Self { tokenizer: Arc::new(tokenizer), special, size }),
        }
    }

    /// Number of ids, special ones included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The ids of no text.
    #[must_use]
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// The vocabularies of a batch from this codec's sentences to `target`'s.
    #[must_use]
    pub fn translating_to(&self, target: &Self) -> TranslationVocab {
        let SpecialIds { bos, eos, .. } = target.special;
        TranslationVocab { source: self.size, target: target.size, bos, eos }
    }

    /// Ids of a sentence, without `<bos>` and `<eos>`.
    ///
    /// # Errors
    /// [`Error::Codec`] if a tokenizer that was read from a file cannot take the text.
    pub fn encode(&self, sentence: &str) -> Result<Vec<u32>> {
        let SpecialIds { pad, bos, eos, unk } = self.special;
        let encoded = self.tokenizer.encode_fast(sentence, false).map_err(failed)?;
        let plain = |&id: &u32| if [pad, bos, eos].contains(&id) { unk } else { id };
        Ok(encoded.get_ids().iter().map(plain).collect())
    }

    /// The sentence of these ids, up to the first `<eos>`; `<pad>` and `<bos>` are left out, `<unk>` is not. Bytes that
    /// are not UTF-8, which a subword model can write, become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Model`] names the first id that is not below the size; [`Error::Codec`] as for [`TextCodec::encode`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.known(ids)?;
        let SpecialIds { pad, bos, eos, .. } = self.special;
        let sentence = ids.iter().copied().take_while(|&id| id != eos);
        let sentence: Vec<u32> = sentence.filter(|&id| id != pad && id != bos).collect();
        let text = self.tokenizer.decode(&sentence, false).map_err(failed)?;
        // Removes the space that encoding put before the first word, so that it is the same piece as elsewhere.
        let prefixed = matches!(self.tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
        Ok(if prefixed { text.strip_prefix(' ').unwrap_or(&text).to_owned() } else { text })
    }

    /// The text of each single id, as labels of an axis. A label that is only a space shows as ␣.
    ///
    /// # Errors
    /// As [`TextCodec::decode`].
    pub fn labels(&self, ids: &[u32]) -> Result<Vec<String>> {
        self.known(ids)?;
        let label = |&id: &u32| {
            let text = self.tokenizer.decode(&[id], false).map_err(failed)?;
            Ok(if text.trim().is_empty() { "␣".to_owned() } else { text.trim().to_owned() })
        };
        ids.iter().map(label).collect()
    }

    fn known(&self, ids: &[u32]) -> Result<()> {
        match ids.iter().position(|&id| id as usize >= self.size) {
            Some(index) => Err(NnError::UnknownId { id: ids[index], index, size: self.size }.into()),
            None => Ok(()),
        }
    }
}

fn fault(fault: CodecFault) -> Error {
    Error::Codec { path: None, fault }
}

fn failed(error: tokenizers::Error) -> Error {
    fault(CodecFault::Tokenizer { detail: error.to_string() })
}

fn in_file(error: Error, path: &Path) -> Error {
    match error {
        Error::Codec { fault, .. } => Error::Codec { path: Some(PathBuf::from(path)), fault },
        other => other,
    }
}

#[cfg(test)]
#[path = "text_codec_tests.rs"]
mod tests;
