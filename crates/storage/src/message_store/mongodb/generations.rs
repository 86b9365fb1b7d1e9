//! A bounded map that drops what wasn't used for the longest time.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Values by key, at most `capacity` of them and always the last half that was used: two generations of which the
/// younger becomes the older when it is full, whose values go.
///
/// Written here because `moka`, which was measured for it, costs more and promises less; see "One cache" in
/// docs/architecture.md.
pub struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Generations<K, V> {
    pub fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: capacity.div_ceil(2),
        }
    }

    /// The value of a key, which counts as used from now on.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.half {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_go() {
        let mut map = Generations::new(100);
        for number in 0..10_000 {
            map.insert(number, number);
            assert_eq!(map.get(&0), Some(0), "used all the time");
        }
        let kept = (0..10_000).filter(|number| map.get(number).is_some());
        assert!((50..=100).contains(&kept.count()));
    }
}
