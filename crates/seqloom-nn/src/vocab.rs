//! Symbols and their ids.
//!
//! A character vocabulary lists its characters in code-point order, so the same text gives the same ids everywhere, and
//! a checkpoint needs only that list.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::NnError;

/// A list of characters numbered from 0, or a number of ids without names. Cheap to clone.
///
/// ```
/// # use seqloom_nn::Vocab;
/// let vocab = Vocab::from_text("abracadabra");
/// assert_eq!(vocab.size(), 5);
/// assert_eq!(vocab.encode("cab").unwrap(), [2, 0, 1]);
/// assert_eq!(vocab.decode(&[2, 0, 1]).unwrap(), "cab");
/// assert!(vocab.encode("cat").unwrap_err().to_string().contains("'t'"));
/// ```
#[derive(Clone, Debug)]
pub struct Vocab {
    size: usize,
    named: Option<Arc<Named>>,
}

#[derive(Debug)]
struct Named {
    chars: Vec<char>,
    ids: HashMap<char, u32>,
}

impl Vocab {
    /// The characters of a text, each once, in the order of their code points.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self::from_chars(text.chars().collect::<BTreeSet<_>>())
    }

    /// These characters in this order; repeats are dropped.
    #[must_use]
    pub fn from_chars(symbols: impl IntoIterator<Item = char>) -> Self {
        let (mut chars, mut ids) = (Vec::new(), HashMap::new());
        for symbol in symbols {
            // There are fewer than 2^21 characters, so the id fits.
            ids.entry(symbol).or_insert_with(|| {
                chars.push(symbol);
                chars.len() as u32 - 1
            });
        }
        Self { size: chars.len(), named: Some(Arc::new(Named { chars, ids })) }
    }

    /// `size` ids without characters, for data that is not text.
    #[must_use]
    pub fn ids(size: usize) -> Self {
        Self { size, named: None }
    }

    /// Number of symbols, V.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The characters in the order of their ids; `None` if they have no names.
    #[must_use]
    pub fn chars(&self) -> Option<&[char]> {
        self.named.as_ref().map(|n| n.chars.as_slice())
    }

    /// Id of a character.
    #[must_use]
    pub fn id(&self, symbol: char) -> Option<u32> {
        self.named.as_ref()?.ids.get(&symbol).copied()
    }

    /// Ids of a text's characters.
    ///
    /// # Errors
    /// [`NnError::UnknownChar`] names the first character that is not listed; [`NnError::NamelessVocab`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, NnError> {
        let named = self.named()?;
        text.chars()
            .enumerate()
            .map(|(position, character)| {
                let id = named.ids.get(&character).copied();
                id.ok_or(NnError::UnknownChar { character, position, size: self.size })
            })
            .collect()
    }

    /// The text of these ids.
    ///
    /// # Errors
    /// [`NnError::UnknownId`] names the first id that is not below the size; [`NnError::NamelessVocab`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, NnError> {
        let named = self.named()?;
        ids.iter()
            .enumerate()
            .map(|(index, &id)| {
                let symbol = named.chars.get(id as usize).copied();
                symbol.ok_or(NnError::UnknownId { id, index, size: self.size })
            })
            .collect()
    }

    fn named(&self) -> Result<&Named, NnError> {
        self.named.as_deref().ok_or(NnError::NamelessVocab { size: self.size })
    }
}

/// Equal if they have the same size and the same characters (or none) in the same order.
impl PartialEq for Vocab {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.chars() == other.chars()
    }
}

impl Eq for Vocab {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_script_survives_the_way_there_and_back() {
        let text = "Здравствуй, 世界! 🎉";
        let vocab = Vocab::from_text(text);
        assert_eq!(vocab.decode(&vocab.encode(text).unwrap()).unwrap(), text);
        let again = Vocab::from_chars(vocab.chars().unwrap().iter().copied());
        assert_eq!(vocab, again);
    }

    #[test]
    fn unknown_symbols_are_named() {
        let vocab = Vocab::from_text("ab");
        let error = vocab.encode("abz").unwrap_err();
        assert!(matches!(error, NnError::UnknownChar { character: 'z', position: 2, size: 2 }), "{error}");
        assert!(matches!(vocab.decode(&[0, 2]), Err(NnError::UnknownId { id: 2, index: 1, size: 2 })));
        assert!(matches!(Vocab::ids(9).encode("a"), Err(NnError::NamelessVocab { size: 9 })));
    }
}
