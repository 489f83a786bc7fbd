//! Files of other libraries: their names of tensors turned into ours.
//!
//! A model is the same model under other names, with its matrices the other way round or its projections apart. What differs
//! is said in a table of rules, one line for each of our tensors, and read by one mechanism: so a foreign model is a table
//! and no code. Nothing fails here. What no rule takes keeps its name, and a rule that lacks a part gives nothing, so the
//! check of names and shapes that every checkpoint passes tells all that does not fit, at once.

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::{Checkpoint, Stored};
use crate::error::Result;

/// How the tensors of another library's files become those of a model here. A `*` in a name stands for a number.
#[derive(Clone, Copy, Debug)]
pub struct NameMap {
    /// Beginnings that its names may have or lack, such as `bert.`.
    pub prefixes: &'static [&'static str],
    /// Endings that older files have in place of newer ones, (old, new).
    pub endings: &'static [(&'static str, &'static str)],
    /// Its tensors without a part in the model: buffers, copies of shared tensors, heads for other ends.
    pub ignored: &'static [&'static str],
    /// One rule for each tensor of ours.
    pub rules: &'static [NameRule],
}

/// One of our tensors, and what it is made of.
#[derive(Clone, Copy, Debug)]
pub struct NameRule {
    /// Our name.
    pub ours: &'static str,
    /// Theirs: several are rows below one another.
    pub theirs: &'static [&'static str],
    /// Whether their matrices are [in, out].
    pub transposed: bool,
}

impl NameRule {
    /// The same tensor under another name.
    #[must_use]
    pub const fn same(ours: &'static str, theirs: &'static [&'static str]) -> Self {
        Self { ours, theirs, transposed: false }
    }

    /// A matrix that is stored the other way round.
    #[must_use]
    pub const fn transposed(ours: &'static str, theirs: &'static [&'static str]) -> Self {
        Self { ours, theirs, transposed: true }
    }
}

impl Checkpoint {
    /// Reads and checks a file of another library, whose tensors take the names that `map` gives them; those that it ignores
    /// may be of any type. What it does not know keeps its name, so that restoring the parameters lists it.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn read_as(path: impl AsRef<Path>, map: &NameMap) -> Result<Self> {
        Self::read_renamed(path.as_ref(), |name| map.ignores(name), |tensors| map.renamed(tensors))
    }
}

/// A foreign tensor under the name that its file has for it.
type Part = (String, Stored);

impl NameMap {
    /// Whether a foreign tensor has no part in the model.
    #[must_use]
    pub fn ignores(&self, name: &str) -> bool {
        let plain = self.plain(name);
        self.ignored.iter().any(|pattern| number(pattern, &plain).is_some())
    }

    /// The tensors under our names.
    pub(crate) fn renamed(&self, foreign: BTreeMap<String, Stored>) -> BTreeMap<String, Stored> {
        let mut found: BTreeMap<String, (&NameRule, Vec<Option<Part>>)> = BTreeMap::new();
        let mut ours = BTreeMap::new();
        for (name, stored) in foreign {
            let Some((rule, part, to)) = self.rule(&name) else {
                ours.insert(name, stored);
                continue;
            };
            let (_, parts) = found.entry(to).or_insert_with(|| (rule, vec![None; rule.theirs.len()]));
            match parts.get_mut(part) {
                Some(place @ None) => *place = Some((name, stored)),
                // The same tensor twice, under an old and a new name: the second is left for the check to tell.
                _ => drop(ours.insert(name, stored)),
            }
        }
        for (name, (rule, parts)) in found {
            match joined(rule, &parts) {
                Some(stored) => drop(ours.insert(name, stored)),
                None => ours.extend(parts.into_iter().flatten()),
            }
        }
        ours
    }

    /// The rule that takes a foreign tensor, as which of its parts, and our name for the whole.
    fn rule(&self, name: &str) -> Option<(&'static NameRule, usize, String)> {
        let plain = self.plain(name);
        self.rules.iter().find_map(|rule| {
            let taken = |(part, pattern): (usize, &&str)| Some((part, number(pattern, &plain)?));
            let (part, number) = rule.theirs.iter().enumerate().find_map(taken)?;
            Some((rule, part, rule.ours.replace('*', number)))
        })
    }

    /// A name without the beginning that it may lack, and with a new ending.
    fn plain(&self, name: &str) -> String {
        let stem = self.prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        let renewed = |(old, new): &(&str, &str)| Some(format!("{}{new}", stem.strip_suffix(old)?));
        self.endings.iter().find_map(renewed).unwrap_or_else(|| stem.to_owned())
    }
}

/// What the `*` of a pattern stands for in a name, "" if it has none; `None` if it is another name.
fn number<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once('*') else {
        return (pattern == name).then_some("");
    };
    let digits = name.strip_prefix(before)?.strip_suffix(after)?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

/// A rule's parts as one tensor, if all are there and fit.
fn joined(rule: &NameRule, parts: &[Option<Part>]) -> Option<Stored> {
    let mut whole: Option<Stored> = None;
    for part in parts {
        let (_, stored) = part.as_ref()?;
        let stored = if rule.transposed { transposed(stored)? } else { stored.clone() };
        whole = Some(match whole {
            None => stored,
            Some(mut above) => {
                let rows = stored.shape.first()?;
                if above.shape.get(1..) != stored.shape.get(1..) {
                    return None;
                }
                *above.shape.first_mut()? += rows;
                above.values.extend(stored.values);
                above
            }
        });
    }
    whole
}

/// A matrix the other way round.
fn transposed(stored: &Stored) -> Option<Stored> {
    let &[rows, columns] = stored.shape.as_slice() else { return None };
    let values = (0..columns * rows).map(|i| stored.values[i % rows * columns + i / rows]).collect();
    Some(Stored { shape: vec![columns, rows], values })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: NameMap = NameMap {
        prefixes: &["model."],
        endings: &[(".gamma", ".weight")],
        ignored: &["h.*.mask"],
        rules: &[
            NameRule::same("blocks.*.joint", &["h.*.q", "h.*.k"]),
            NameRule::transposed("blocks.*.out", &["h.*.o"]),
            NameRule::same("norm.weight", &["ln.weight"]),
        ],
    };

    fn renamed(tensors: &[(&str, &[usize])]) -> BTreeMap<String, Stored> {
        let stored = |shape: &[usize]| {
            let values = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
            Stored { shape: shape.to_vec(), values }
        };
        MAP.renamed(tensors.iter().map(|(name, shape)| ((*name).to_owned(), stored(shape))).collect())
    }

    fn names(tensors: &BTreeMap<String, Stored>) -> Vec<&str> {
        tensors.keys().map(String::as_str).collect()
    }

    #[test]
    fn names_parts_and_orders_are_taken() {
        let ours = renamed(&[
            ("model.h.12.k", &[1, 2]),
            ("h.12.q", &[2, 2]),
            ("h.0.o", &[2, 3]),
            ("ln.gamma", &[2]),
        ]);
        assert_eq!(names(&ours), ["blocks.0.out", "blocks.12.joint", "norm.weight"]);
        let joint = Stored { shape: vec![3, 2], values: vec![0.0, 1.0, 2.0, 3.0, 0.0, 1.0] };
        assert_eq!(ours["blocks.12.joint"], joint, "queries above keys, in the order of the rule");
        let out = Stored { shape: vec![3, 2], values: vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0] };
        assert_eq!(ours["blocks.0.out"], out);
        assert!(MAP.ignores("model.h.3.mask") && MAP.ignores("h.0.mask") && !MAP.ignores("h.x.mask"));
        assert!(!MAP.ignores("h..mask") && !MAP.ignores("h.0.mask.more"));
    }

    #[test]
    fn what_does_not_fit_keeps_its_name() {
        assert_eq!(names(&renamed(&[("h.0.q", &[2, 2])])), ["h.0.q"], "a part without the other");
        assert_eq!(names(&renamed(&[("h.0.q", &[2, 2]), ("h.0.k", &[2, 3])])), ["h.0.k", "h.0.q"]);
        assert_eq!(names(&renamed(&[("h.0.q", &[]), ("h.0.k", &[])])), ["h.0.k", "h.0.q"]);
        assert_eq!(names(&renamed(&[("h.0.o", &[4]), ("tail", &[1])])), ["h.0.o", "tail"]);
        assert_eq!(names(&renamed(&[("ln.gamma", &[2]), ("ln.weight", &[2])])), ["ln.weight", "norm.weight"]);
    }
}
