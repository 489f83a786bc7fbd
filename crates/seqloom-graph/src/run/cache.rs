//! Compiled programs by key, up to a stated number.
//!
//! A program belongs to one batch shape, and there is no limit to shapes. The cache drops the least recently used
//! program with its memory; compiling it again costs milliseconds. The cache's owner sets how many programs it may hold
//! and reports how many were dropped ([`ProgramCache::usage`]), so a run that compiles all the time can be seen.

use crate::run::program::Program;

/// Programs, or objects made of several programs, by key.
///
/// ```
/// # use seqloom_graph::ProgramCache;
/// let mut cache = ProgramCache::new(2);
/// for key in [1, 2, 1, 3] {
///     cache.get_or_try(&key, || Ok::<_, ()>(10 * key)).unwrap();
/// }
/// assert_eq!((cache.get(&1), cache.get(&2), cache.get(&3)), (Some(&10), None, Some(&30)));
/// assert_eq!(cache.usage().dropped, 1);
/// ```
#[derive(Debug)]
pub struct ProgramCache<K, V = Program> {
    most: usize,
    /// In the order of their last uses: the one to drop comes first.
    entries: Vec<(K, V)>,
    dropped: u64,
}

/// How full a [`ProgramCache`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Programs that it holds.
    pub held: usize,
    /// Programs that it may hold.
    pub most: usize,
    /// Programs that it has dropped to make room. If this grows with every step, the cache is too small for the shapes.
    pub dropped: u64,
}

impl<K: Clone + Eq, V> ProgramCache<K, V> {
    /// An empty cache of at most `most` programs, but at least one.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), entries: Vec::new(), dropped: 0 }
    }

    /// The program of `key`, made if it is not there. If there are then too many, the least recently used one is
    /// dropped.
    ///
    /// # Errors Those of `make`; the cache is then unchanged.
    pub fn get_or_try<E>(&mut self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<&mut V, E> {
        let at = match self.entries.iter().rposition(|(has, _)| has == key) {
            Some(at) => at,
            None => {
                let made = make()?;
                if self.entries.len() >= self.most {
                    self.entries.remove(0);
                    self.dropped += 1;
                }
                self.entries.push((key.clone(), made));
                self.entries.len() - 1
            }
        };
        self.entries[at..].rotate_left(1);
        let last = self.entries.len() - 1;
        Ok(&mut self.entries[last].1)
    }

    /// The program of `key`, if it is there. This does not count as a use.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.iter().rfind(|(has, _)| has == key).map(|(_, program)| program)
    }

    /// The programs that it holds, the least recently used one first.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, program)| program)
    }

    /// How full it is.
    #[must_use]
    pub fn usage(&self) -> CacheUsage {
        CacheUsage { held: self.entries.len(), most: self.most, dropped: self.dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_least_recently_goes_first() {
        let mut cache = ProgramCache::new(3);
        let mut made = Vec::new();
        for key in ["a", "b", "c", "a", "d", "b", "a"] {
            let put = || {
                made.push(key);
                Ok::<_, ()>(key)
            };
            assert_eq!(cache.get_or_try(&key, put), Ok(&mut { key }));
        }
        // "d" drops "b", which then drops "c".
        assert_eq!(made, ["a", "b", "c", "d", "b"]);
        assert_eq!(cache.values().copied().collect::<Vec<_>>(), ["d", "b", "a"]);
        assert_eq!(cache.usage(), CacheUsage { held: 3, most: 3, dropped: 2 });
    }

    #[test]
    fn what_cannot_be_made_costs_nothing() {
        let mut cache = ProgramCache::new(1);
        cache.get_or_try(&1, || Ok::<_, u8>('x')).unwrap();
        assert_eq!(cache.get_or_try(&2, || Err(7)), Err(7));
        assert_eq!((cache.get(&1), cache.get(&2), cache.usage().dropped), (Some(&'x'), None, 0));
        assert_eq!(ProgramCache::<u8>::new(0).usage().most, 1);
    }
}
