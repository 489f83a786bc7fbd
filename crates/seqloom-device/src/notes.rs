//! Notes about an adapter that tuning made, kept on disk for the next run: texts by name.
//!
//! The device knows adapter, driver, folder and how to replace a file. Only the code that measured knows what the texts
//! mean ([`Tuning`] says whether anybody measures). The file's key has the adapter, driver and version, as the pipeline
//! cache's has, and two more things that decide which kernel is fastest: the kind of adapter that kernels are chosen
//! for, and whether they check indices. The payload is a JSON object. Saving merges with what another process has saved
//! meanwhile. If two save at the very same time, one loses its notes and measures again.

use std::collections::BTreeMap;
use std::path::Path;

use crate::adapter::Facts;
use crate::error::Result;
use crate::kept::Kept;

/// How kernel variants are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tuning {
    /// By rules over the problem and the adapter's facts. Reads nothing from disk.
    Heuristic,
    /// By what tuning found on this adapter, otherwise by rules. Never measures anything.
    #[default]
    Cached,
    /// As [`Tuning::Cached`], but compiling a program measures the variants of problems that were never tuned, which
    /// takes seconds to minutes, and keeps the findings.
    Full,
}

/// The notes of one device.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    kept: Option<Kept>,
    pub all: BTreeMap<String, String>,
    /// Those of `all` that the file may lack.
    unsaved: BTreeMap<String, String>,
}

impl Notes {
    /// Notes that are not kept.
    pub(crate) fn off() -> Self {
        Self::default()
    }

    /// The notes of an adapter, with what its file holds if that is sound.
    pub(crate) fn open(facts: &Facts, checks: bool, folder: Option<&Path>) -> Self {
        let kept = Kept::new("tuning", facts, &format!("|{}|checks {checks}", facts.kind), folder);
        let all = kept.as_ref().map(stored).unwrap_or_default();
        Self { kept, all, unsaved: BTreeMap::new() }
    }

    /// Notes `text` under `name`.
    pub(crate) fn put(&mut self, name: &str, text: &str) {
        self.all.insert(name.to_owned(), text.to_owned());
        self.unsaved.insert(name.to_owned(), text.to_owned());
    }

    /// Writes what the file lacks.
    pub(crate) fn save(&mut self) -> Result<()> {
        let (Some(kept), false) = (&self.kept, self.unsaved.is_empty()) else { return Ok(()) };
        let mut texts = stored(kept);
        texts.extend(self.unsaved.clone());
        // A map of strings always has a JSON form.
        kept.save(serde_json::json!(texts).to_string().as_bytes())?;
        self.unsaved.clear();
        Ok(())
    }
}

/// What the file holds; nothing if it does not hold texts by name.
fn stored(kept: &Kept) -> BTreeMap<String, String> {
    kept.load().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}
