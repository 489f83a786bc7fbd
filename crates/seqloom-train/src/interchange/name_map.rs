//! Files of other libraries: their tensor names mapped to ours.
//!
//! The same model may have other names, transposed matrices or separate projections. A table of rules lists the
//! differences, one rule for each of our tensors, and one mechanism applies it; so a foreign model is a table and no
//! code. Nothing fails here and nothing is lost. A tensor without a rule keeps its name, except for its prefix and
//! ending. A rule that lacks a part produces nothing. So the check of names and shapes that every checkpoint passes
//! reports everything that does not fit, at once.

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::{Checkpoint, Stored};
use crate::error::Result;

/// How the tensors of another library's files become those of a model here. A `*` in a name matches a number.
///
/// Prefixes and endings apply to every tensor, with or without a rule. All other names here are without prefixes and
/// with new endings.
///
/// ```
/// # use seqloom_train::NameMap;
/// /// Of a model that was saved inside another, as `model`.
/// const INNER: NameMap = NameMap { prefixes: &["model."], ..NameMap::SAME };
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NameMap {
    /// Prefixes that its names may have, such as `bert.`; the first that fits is removed.
    pub prefixes: &'static [&'static str],
    /// Old and new endings, (old, new), because older files use other ones; the first that fits is replaced.
    pub endings: &'static [(&'static str, &'static str)],
    /// Its tensors that the model does not use: buffers, heads for other tasks.
    pub ignored: &'static [&'static str],
    /// Second names of shared tensors, (second, first). A file may hold such a tensor twice, or once under either name.
    /// Two that differ are not one tensor: the second stays, and the check reports it.
    pub copies: &'static [(&'static str, &'static str)],
    /// One rule for each of our tensors whose name or form differs.
    pub rules: &'static [NameRule],
}

/// One of our tensors and its parts.
#[derive(Clone, Copy, Debug)]
pub struct NameRule {
    /// Our name.
    pub ours: &'static str,
    /// Their names; several tensors are stacked along rows.
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

    /// A matrix that is stored transposed.
    #[must_use]
    pub const fn transposed(ours: &'static str, theirs: &'static [&'static str]) -> Self {
        Self { ours, theirs, transposed: true }
    }
}

impl Checkpoint {
    /// Reads and checks a file of another library, whose tensors take the names that `map` gives them; those that it
    /// ignores may be of any type. An unknown tensor keeps its name, except for prefix and ending, so restoring the
    /// parameters lists it.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn read_as(path: impl AsRef<Path>, map: &NameMap) -> Result<Self> {
        Self::read_renamed(path.as_ref(), |name| map.ignores(name), |tensors| map.renamed(tensors))
    }
}

/// A foreign tensor: its name in the file, that name without prefix and with a new ending, its values.
#[derive(Clone)]
struct Foreign {
    name: String,
    plain: String,
    stored: Stored,
}

impl NameMap {
    /// The map that changes nothing, to write others from.
    pub const SAME: Self = Self { prefixes: &[], endings: &[], ignored: &[], copies: &[], rules: &[] };

    /// Whether the model does not use a foreign tensor.
    #[must_use]
    pub fn ignores(&self, name: &str) -> bool {
        let plain = self.plain(name);
        self.ignored.iter().any(|pattern| number(pattern, &plain).is_some())
    }

    /// The tensors under our names.
    pub(crate) fn renamed(&self, foreign: BTreeMap<String, Stored>) -> BTreeMap<String, Stored> {
        let part = |(name, stored): (String, Stored)| Foreign { plain: self.plain(&name), name, stored };
        let parts = self.once(foreign.into_iter().map(part).collect());
        let mut found: BTreeMap<String, (&NameRule, Vec<Option<Foreign>>)> = BTreeMap::new();
        // Tensors without a rule, and the names that they keep.
        let mut others = Vec::new();
        for part in parts {
            let Some((rule, index, to)) = self.rule(&part.plain) else {
                others.push((part.plain.clone(), part));
                continue;
            };
            let (_, places) = found.entry(to).or_insert_with(|| (rule, vec![None; rule.theirs.len()]));
            match places.get_mut(index) {
                Some(place @ None) => *place = Some(part),
                // The same tensor twice, under an old and a new name: the second stays, and the check reports it.
                _ => others.push((part.name.clone(), part)),
            }
        }
        let mut ours = BTreeMap::new();
        for (name, (rule, parts)) in found {
            match joined(rule, &parts) {
                Some(stored) => drop(ours.insert(name, stored)),
                None => others.extend(parts.into_iter().flatten().map(|part| (part.name.clone(), part))),
            }
        }
        for (name, part) in others {
            let mut name = if ours.contains_key(&name) { part.name } else { name };
            // Two tensors of one name: neither is dropped in silence.
            while ours.contains_key(&name) {
                name.push('\'');
            }
            ours.insert(name, part.stored);
        }
        ours
    }

    /// The tensors with shared ones once, under their first names.
    fn once(&self, mut parts: Vec<Foreign>) -> Vec<Foreign> {
        for (second, first) in self.copies {
            let at = |parts: &[Foreign], plain: &str| parts.iter().position(|part| part.plain == plain);
            while let Some(copy) = at(&parts, second) {
                match at(&parts, first) {
                    None => (*first).clone_into(&mut parts[copy].plain),
                    Some(original) if parts[original].stored == parts[copy].stored => {
                        parts.swap_remove(copy);
                    }
                    Some(_) => break,
                }
            }
        }
        parts
    }

    /// The rule that takes a foreign tensor, as which of its parts, and our name for the whole.
    fn rule(&self, plain: &str) -> Option<(&'static NameRule, usize, String)> {
        self.rules.iter().find_map(|rule| {
            let taken = |(part, pattern): (usize, &&str)| Some((part, number(pattern, plain)?));
            let (part, number) = rule.theirs.iter().enumerate().find_map(taken)?;
            Some((rule, part, rule.ours.replace('*', number)))
        })
    }

    /// A name without its optional prefix, and with a new ending.
    fn plain(&self, name: &str) -> String {
        let stem = self.prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        let renewed = |(old, new): &(&str, &str)| Some(format!("{}{new}", stem.strip_suffix(old)?));
        self.endings.iter().find_map(renewed).unwrap_or_else(|| stem.to_owned())
    }
}

/// What the `*` of a pattern matches in a name, "" if it has none; `None` if the name does not match.
fn number<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once('*') else {
        return (pattern == name).then_some("");
    };
    let digits = name.strip_prefix(before)?.strip_suffix(after)?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

/// A rule's parts as one tensor, if all are there and fit.
fn joined(rule: &NameRule, parts: &[Option<Foreign>]) -> Option<Stored> {
    let mut whole: Option<Stored> = None;
    for part in parts {
        let Foreign { stored, .. } = part.as_ref()?;
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

/// A transposed matrix.
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
        copies: &[("head", "ln.weight")],
        rules: &[
            NameRule::same("blocks.*.joint", &["h.*.q", "h.*.k"]),
            NameRule::transposed("blocks.*.out", &["h.*.o"]),
            NameRule::same("norm.weight", &["ln.weight"]),
        ],
    };

    fn renamed(tensors: &[(&str, &[usize])]) -> BTreeMap<String, Stored> {
        renamed_by(&MAP, tensors)
    }

    fn renamed_by(map: &NameMap, tensors: &[(&str, &[usize])]) -> BTreeMap<String, Stored> {
        let stored = |shape: &[usize]| {
            let values = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
            Stored { shape: shape.to_vec(), values }
        };
        map.renamed(tensors.iter().map(|(name, shape)| ((*name).to_owned(), stored(shape))).collect())
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

    #[test]
    fn prefixes_and_endings_apply_without_rules_too() {
        let tensors: [(&str, &[usize]); 3] = [("model.a.gamma", &[2]), ("model.b", &[1]), ("c.gamma", &[1])];
        let only = |map: &NameMap| {
            names(&renamed_by(map, &tensors)).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(only(&NameMap { prefixes: &["model."], ..NameMap::SAME }), ["a.gamma", "b", "c.gamma"]);
        let endings = &[(".gamma", ".weight")];
        assert_eq!(only(&NameMap { endings, ..NameMap::SAME }), ["c.weight", "model.a.weight", "model.b"]);
        assert_eq!(only(&NameMap { rules: &[], copies: &[], ..MAP }), ["a.weight", "b", "c.weight"]);
        assert_eq!(only(&NameMap::SAME), ["c.gamma", "model.a.gamma", "model.b"]);
        // Beside rules for others.
        assert_eq!(
            names(&renamed(&[("model.tail.gamma", &[1]), ("h.0.o", &[1, 1])])),
            ["blocks.0.out", "tail.weight"]
        );
    }

    #[test]
    fn a_shared_tensor_is_taken_under_either_name() {
        for tensors in [
            &[("head", &[3][..])][..],
            &[("ln.weight", &[3])],
            &[("model.ln.gamma", &[3])],
            &[("head", &[3]), ("ln.weight", &[3])],
            &[("model.head", &[3]), ("head", &[3])],
        ] {
            assert_eq!(names(&renamed(tensors)), ["norm.weight"], "{tensors:?}");
        }
        // A head that differs is not the shared tensor, and the rest is reported.
        assert_eq!(names(&renamed(&[("head", &[4]), ("ln.weight", &[3])])), ["head", "norm.weight"]);
    }

    #[test]
    fn no_tensor_is_lost_to_another_of_its_name() {
        let lost: [&[(&str, &[usize])]; 4] = [
            &[("norm.weight", &[1]), ("ln.weight", &[2])],
            &[("model.norm.weight", &[1]), ("ln.weight", &[2])],
            &[("tail", &[1]), ("model.tail", &[2])],
            &[("model.model.x", &[1]), ("model.x", &[1]), ("x", &[1])],
        ];
        for tensors in lost {
            assert_eq!(renamed(tensors).len(), tensors.len(), "{tensors:?}");
        }
        assert_eq!(names(&renamed(lost[0])), ["norm.weight", "norm.weight'"]);
        assert_eq!(names(&renamed(lost[1])), ["model.norm.weight", "norm.weight"]);
    }
}
