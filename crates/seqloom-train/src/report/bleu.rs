//! Corpus BLEU as sacrebleu defines it, so figures can be compared with published ones.
//!
//! Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation": the geometric mean of the
//! precisions of 1- to 4-grams, times a penalty for a corpus shorter than its reference. Each n-gram of a hypothesis
//! counts at most as often as the reference has it; counts are summed over the corpus before dividing. What the paper
//! leaves open is as in sacrebleu (Post 2018, "A Call for Clarity in Reporting BLEU Scores"), signature
//! `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp`. Text is split by the rules of NIST's mteval-v13a, independent of a
//! system's own tokenizer, so two systems' scores can be compared. If an order of n-grams has no match, the first such
//! order counts half a match, the next a quarter, and so on (method 3 of Chen and Cherry 2014, "A Systematic Comparison
//! of Smoothing Techniques for Sentence-Level BLEU"). A golden test compares with sacrebleu's figures.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// Longest n-grams that count.
const ORDERS: usize = 4;

/// A BLEU score and its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bleu {
    /// The score, 0 to 100.
    pub score: f64,
    /// Precision of 1- to 4-grams in percent, smoothed if nothing matched.
    pub precisions: [f64; ORDERS],
    /// Brevity penalty, 0 to 1.
    pub brevity_penalty: f64,
    /// Matched n-grams of each order.
    pub matches: [u64; ORDERS],
    /// n-grams of the hypotheses, of each order.
    pub totals: [u64; ORDERS],
    /// Tokens of all hypotheses.
    pub hypothesis_tokens: u64,
    /// Tokens of all references.
    pub reference_tokens: u64,
}

/// Whether letters' case counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Case {
    /// "The" is not "the".
    #[default]
    Sensitive,
    /// Both sides are lower-cased first.
    Lower,
}

/// BLEU of a corpus of `hypotheses`, each with the reference at the same index.
///
/// Formula: score = bp · exp(¼ Σₙ ln pₙ) with pₙ = 100 · matchesₙ / totalsₙ, bp = min(1, exp(1 − reference_tokens /
/// hypothesis_tokens)). It is 0 if no token matches, or there is no hypothesis of four tokens.
///
/// ```
/// # use seqloom_train::{bleu::Case, corpus_bleu};
/// let bleu = corpus_bleu(&["the cat sat on the mat"], &["the cat sat on a mat"], Case::Sensitive).unwrap();
/// assert!((bleu.score - 53.7285).abs() < 1e-4);
/// ```
///
/// # Errors
/// [`Error::Bleu`] if there are no hypotheses, or more or fewer than references.
pub fn corpus_bleu<H: AsRef<str>, R: AsRef<str>>(
    hypotheses: &[H],
    references: &[R],
    case: Case,
) -> Result<Bleu> {
    if hypotheses.is_empty() || hypotheses.len() != references.len() {
        return Err(Error::Bleu { hypotheses: hypotheses.len(), references: references.len() });
    }
    let mut counts = Counts::default();
    for (hypothesis, reference) in hypotheses.iter().zip(references) {
        counts.add(&tokens(hypothesis.as_ref(), case), &tokens(reference.as_ref(), case));
    }
    Ok(counts.score())
}

/// Sums over a corpus, from which the score follows.
#[derive(Default)]
struct Counts {
    matches: [u64; ORDERS],
    totals: [u64; ORDERS],
    hypothesis_tokens: u64,
    reference_tokens: u64,
}

impl Counts {
    fn add(&mut self, hypothesis: &[String], reference: &[String]) {
        self.hypothesis_tokens += hypothesis.len() as u64;
        self.reference_tokens += reference.len() as u64;
        for order in 1..=ORDERS {
            let allowed = ngrams(reference, order);
            for (ngram, count) in ngrams(hypothesis, order) {
                self.totals[order - 1] += count;
                self.matches[order - 1] += count.min(allowed.get(ngram).copied().unwrap_or(0));
            }
        }
    }

    fn score(self) -> Bleu {
        let Self { matches, totals, hypothesis_tokens, reference_tokens } = self;
        let brevity_penalty = match (hypothesis_tokens, reference_tokens) {
            (has, wants) if has >= wants => 1.0,
            (0, _) => 0.0,
            (has, wants) => (1.0 - wants as f64 / has as f64).exp(),
        };
        let mut bleu = Bleu {
            score: 0.0,
            precisions: [0.0; ORDERS],
            brevity_penalty,
            matches,
            totals,
            hypothesis_tokens,
            reference_tokens,
        };
        if matches == [0; ORDERS] {
            return bleu;
        }
        let mut half = 1.0;
        // If there are no n-grams of some order, there are none of a longer one either.
        for order in (0..ORDERS).take_while(|&order| totals[order] > 0) {
            let matched = if matches[order] > 0 {
                matches[order] as f64
            } else {
                half *= 0.5;
                half
            };
            bleu.precisions[order] = 100.0 * matched / totals[order] as f64;
        }
        let mean = bleu.precisions.iter().map(|p| p.ln()).sum::<f64>() / ORDERS as f64;
        // An order without n-grams has the logarithm −∞, and the score is 0.
        bleu.score = brevity_penalty * mean.exp();
        bleu
    }
}

/// How often each n-gram of that order occurs.
fn ngrams(tokens: &[String], order: usize) -> HashMap<&[String], u64> {
    let mut counts = HashMap::new();
    for ngram in tokens.windows(order) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

/// The tokens of a sentence by the rules of mteval-v13a: four entities are resolved; then every ASCII symbol except
/// apostrophe, comma, dash and full stop is a token. Comma and full stop are tokens unless they are between digits, a
/// dash is one after a digit.
fn tokens(sentence: &str, case: Case) -> Vec<String> {
    let sentence = sentence.trim_end_matches(is_space);
    let cased = match case {
        Case::Sensitive => sentence.to_owned(),
        Case::Lower => sentence.to_lowercase(),
    };
    let plain = cased.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let plain = plain.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let mut chars: Vec<char> = format!(" {plain} ").chars().collect();
    chars =
        chars.into_iter().flat_map(|c| if stands_alone(c) { vec![' ', c, ' '] } else { vec![c] }).collect();
    let stop = |c: char| matches!(c, '.' | ',');
    let digit = |c: char| c.is_ascii_digit();
    chars = spaced(&chars, |a, b| (!digit(a) && stop(b)).then_some([a, ' ', b, ' ']));
    chars = spaced(&chars, |a, b| (stop(a) && !digit(b)).then_some([' ', a, ' ', b]));
    chars = spaced(&chars, |a, b| (digit(a) && b == '-').then_some([a, ' ', b, ' ']));
    let spaced: String = chars.into_iter().collect();
    spaced.split(is_space).filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

/// Replaces pairs of characters from left to right, each character in at most one pair, as a regular expression of two
/// characters would: in "a.." the first full stop pairs with the a, and the second has no partner.
fn spaced(chars: &[char], replacement: impl Fn(char, char) -> Option<[char; 4]>) -> Vec<char> {
    let mut out = Vec::with_capacity(chars.len() * 2);
    let mut rest = chars;
    while let [first, tail @ ..] = rest {
        match tail.first().and_then(|&second| replacement(*first, second)) {
            Some(four) => {
                out.extend(four);
                rest = &tail[1..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn stands_alone(c: char) -> bool {
    matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// White space as Python's `str.split` has it: Unicode's, and the four separators U+001C to U+001F.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// As sacrebleu prints it.
impl std::fmt::Display for Bleu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p1, p2, p3, p4] = self.precisions;
        let (has, wants) = (self.hypothesis_tokens, self.reference_tokens);
        let ratio = if wants == 0 { 0.0 } else { has as f64 / wants as f64 };
        write!(f, "BLEU = {:.2} {p1:.1}/{p2:.1}/{p3:.1}/{p4:.1} ", self.score)?;
        write!(f, "(BP = {:.3} ratio = {ratio:.3} hyp_len = {has} ref_len = {wants})", self.brevity_penalty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        tokens(text, Case::Sensitive)
    }

    #[test]
    fn tokens_are_those_of_mteval() {
        assert_eq!(split("Hello, world!"), ["Hello", ",", "world", "!"]);
        assert_eq!(split("1,000.5 is 7."), ["1,000.5", "is", "7", "."]);
        assert_eq!(split("a.. b"), ["a", ".", ".", "b"]);
        assert_eq!(split("well-known 3-4 it's"), ["well-known", "3", "-", "4", "it's"]);
        assert_eq!(split("&quot;x&quot; &amp; <skipped>y"), ["\"", "x", "\"", "&", "y"]);
        assert_eq!(split(" \u{a0} "), Vec::<String>::new());
        assert_eq!(tokens("ÄÖ", Case::Lower), ["äö"]);
    }

    #[test]
    fn a_perfect_corpus_has_100_and_a_strange_one_0() {
        let text = ["a b c d e", "f g h i"];
        let bleu = corpus_bleu(&text, &text, Case::Sensitive).unwrap();
        assert!((bleu.score - 100.0).abs() < 1e-9, "{bleu}");
        let bleu = corpus_bleu(&["x y"], &["a b c"], Case::Sensitive).unwrap();
        assert_eq!((bleu.score, bleu.precisions), (0.0, [0.0; 4]));
        let bleu = corpus_bleu(&["", ""], &text, Case::Sensitive).unwrap();
        assert_eq!((bleu.score, bleu.brevity_penalty), (0.0, 0.0));
        // Words match, but no hypothesis has four.
        assert_eq!(corpus_bleu(&["a b c"], &["a b c"], Case::Sensitive).unwrap().score, 0.0);
    }

    #[test]
    fn corpora_of_unequal_size_are_refused() {
        let error = corpus_bleu(&["a"], &["a", "b"], Case::Sensitive).unwrap_err();
        assert!(matches!(error, Error::Bleu { hypotheses: 1, references: 2 }), "{error}");
        assert!(corpus_bleu::<&str, &str>(&[], &[], Case::Sensitive).is_err());
    }

    #[test]
    fn it_prints_as_sacrebleu_does() {
        let bleu = corpus_bleu(&["a b c d x"], &["a b c d e"], Case::Sensitive).unwrap();
        let line = "BLEU = 66.87 80.0/75.0/66.7/50.0 (BP = 1.000 ratio = 1.000 hyp_len = 5 ref_len = 5)";
        assert_eq!(bleu.to_string(), line);
    }
}
