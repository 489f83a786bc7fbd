//! Errors of models, batches and generation; each names the thing at fault.

use std::sync::Arc;

use seqloom_graph::GraphError;

/// An error of a model, a batch or a generator.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NnError {
    /// A character that the vocabulary does not hold.
    #[error(
        "character {character:?} (number {position} of the text) is not in the vocabulary of {size} symbols"
    )]
    UnknownChar {
        /// The character.
        character: char,
        /// Its position in the text, in characters from 0.
        position: usize,
        /// Number of symbols in the vocabulary.
        size: usize,
    },
    /// An id that the vocabulary does not hold.
    #[error("id {id} (element {index}) is not below the vocabulary's size {size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// Its position, in row-major order.
        index: usize,
        /// Number of symbols in the vocabulary.
        size: usize,
    },
    /// Text was asked of a vocabulary that numbers its symbols without naming them.
    #[error("the vocabulary has {size} ids without characters; use the methods that take and give ids")]
    NamelessVocab {
        /// Number of ids.
        size: usize,
    },
    /// A temperature that is not a positive number.
    #[error("temperature is {value}, it must be finite and above 0 (use greedy for the limit at 0)")]
    Temperature {
        /// The value given.
        value: f32,
    },
    /// A draw among no symbols.
    #[error("top-k is 0, it must leave at least 1 symbol to draw")]
    TopK,
    /// A share of the probability to draw from that is not in (0, 1].
    #[error("top-p is {value}, it must be above 0 and at most 1")]
    TopP {
        /// The value given.
        value: f32,
    },
    /// Text was asked for without a prompt to go on from.
    #[error("there are no prompts; an empty one starts a text")]
    NoPrompts,
    /// A prompt that, with the text to follow, does not fit the model.
    #[error("prompt {row} has {prompt} symbols, and {more} more are to be read; the model holds {most}")]
    PromptTooLong {
        /// Its place among the prompts, from 0.
        row: usize,
        /// Its symbols.
        prompt: usize,
        /// Symbols that are read after it.
        more: usize,
        /// Symbols that the model holds.
        most: usize,
    },
    /// More target tokens than a decoder can write.
    #[error("translations of {asked} tokens, the model writes {most} at most")]
    TargetTooLong {
        /// Tokens asked for.
        asked: usize,
        /// Tokens it writes.
        most: usize,
    },
    /// A teacher-forcing ratio that is not a probability.
    #[error("the ratio of teacher forcing is {ratio}, it must be from 0 to 1")]
    TeacherForcing {
        /// The value given.
        ratio: f64,
    },
    /// A share of masked tokens that is not in (0, 1].
    #[error("the share of masked tokens is {ratio}, it must be above 0 and at most 1")]
    MaskRatio {
        /// The value given.
        ratio: f64,
    },
    /// A beam that keeps no sequence, or too many.
    #[error("the beam's width is {width}, it must be from 1 (greedy) to {most}")]
    BeamWidth {
        /// The width given.
        width: usize,
        /// The greatest one.
        most: usize,
    },
    /// A length penalty that is not a number from 0.
    #[error("length penalty is {value}, it must be finite and at least 0")]
    LengthPenalty {
        /// The value given.
        value: f64,
    },
    /// A model whose answer to a search does not fit the question.
    #[error("beam search: the model gives {detail}")]
    StepModel {
        /// What it returned, and for what.
        detail: String,
    },
    /// A model whose output is NaN or +∞. −∞ is allowed: it bans a symbol.
    #[error("the model gives NaN or +inf for id {id}")]
    NotFinite {
        /// Index of the logit.
        id: usize,
    },
    /// A text that nothing can follow, because each symbol has a logit of −∞.
    #[error("row {row}: the model bans every symbol (each logit is -inf), so nothing can follow")]
    NoneAllowed {
        /// Its place among the prompts or sentences, from 0.
        row: usize,
    },
    /// A dependency that does not form a tree.
    #[error("word {word} of {words} depends on word {head}, which does not exist or depends on it in turn")]
    Tree {
        /// The word from which the path upwards was followed.
        word: usize,
        /// Where the path failed.
        head: usize,
        /// Words of the sentence.
        words: usize,
    },
    /// A batch whose parts do not fit together.
    #[error("batch: {detail}")]
    Batch {
        /// What was given and what is needed.
        detail: String,
    },
    /// A batch that its data set could not give.
    #[error("batch {batch} cannot be loaded: {source}")]
    Load {
        /// Its number in the course, from 0.
        batch: u64,
        /// What the data set said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A data set that panicked in a thread of its own while it made a batch.
    #[error("batch {batch} cannot be loaded: its data set panicked: {message}")]
    Panicked {
        /// The batch's number in the course, from 0.
        batch: u64,
        /// What the panic said.
        message: String,
    },
    /// A sentence of a batch for translation that cannot be taken.
    #[error("{side} sentence {row} {fault}")]
    Sentence {
        /// Whether it was to be read or to be written.
        side: Side,
        /// Its row in the batch, from 0.
        row: usize,
        /// What is wrong with it.
        fault: SentenceFault,
    },
    /// Text with fewer characters than one window of a batch.
    #[error(
        "the text has {has} characters, one window of {time} steps needs {needs} (and a batch of {batch} at least 1 row)"
    )]
    TextTooShort {
        /// Characters in the text.
        has: usize,
        /// Characters that one window needs.
        needs: usize,
        /// Steps of a window.
        time: usize,
        /// Rows asked for.
        batch: usize,
    },
    /// Recording, compiling or running the model failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// One of the two sentences of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The sentence that is read.
    Source,
    /// The sentence that is written.
    Target,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// Why a sentence cannot be translated or learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SentenceFault {
    /// A source without a token: there is nothing to read.
    #[error("is empty")]
    Empty,
    /// An id that its side's vocabulary does not hold.
    #[error("has id {id} as token {position}, which is not below the vocabulary's size {size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// Its place in the sentence, from 0.
        position: usize,
        /// Number of ids on that side.
        size: usize,
    },
    /// More steps than the batch was to be padded to.
    #[error("takes {steps} steps, the batch has {room}")]
    TooLong {
        /// Steps it takes: its tokens, and one more for `<bos>` or `<eos>` on the target's side.
        steps: usize,
        /// Steps that the batch was asked to have on that side.
        room: usize,
    },
}
