//! Who is counted.

use sha2::{Digest, Sha256};

/// Who is counted: a hash, because people type passwords into the wrong field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub(crate) [u8; 16]);

impl Key {
    /// The key of what these parts name together.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length first, so that no other parts have the same hash.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }

    /// As another instance wrote it.
    pub fn from_hex(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok()?;
        (text.len() == 32 && !text.starts_with('+')).then_some(Self(number.to_be_bytes()))
    }

    /// One of so many shards.
    pub fn shard(&self, shards: usize) -> usize {
        usize::from(self.0[0]) % shards.max(1)
    }

    /// In hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_and_keys_are_read_as_written() {
        let key = Key::of(&["ab", "c"]);
        assert_ne!(key, Key::of(&["a", "bc"]));
        assert_eq!(Key::from_hex(&key.to_hex()), Some(key));
        assert_eq!(Key::from_hex("+0000000000000000000000000000001"), None);
        assert_eq!(Key::from_hex("1"), None);
    }
}
