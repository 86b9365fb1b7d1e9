//! Names of objects, which are paths on a disk and in URLs.

use std::fmt;
use std::str::FromStr;

/// Bytes of a key.
const KEY_MAX: usize = 200;

/// The text isn't the key of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected parts of lower-case letters, digits, `.`, `_` and `-`, with slashes between")]
pub struct MalformedKey;

/// The key of an object: parts with slashes between, none of which begins with a dot. So it stays within a directory, and
/// needs no escaping anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is behind the last dot of its last part; empty if there is none.
    pub fn extension(&self) -> &str {
        let name = self.0.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}

impl FromStr for ObjectKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let is_part = |part: &str| {
            let is_allowed = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
            };
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_allowed)
        };
        match text.len() <= KEY_MAX && text.split('/').all(is_part) {
            true => Ok(Self(text.to_owned())),
            false => Err(MalformedKey),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_where_it_belongs() {
        for good in ["a", "media/0f/w200.webp", "incoming/x-1_2"] {
            assert_eq!(good.parse::<ObjectKey>().unwrap().as_str(), good);
        }
        let long = "a".repeat(KEY_MAX + 1);
        for wrong in [
            "", "/a", "a/", "a//b", "..", "a/../b", "a/.b", "A", "a b", "a\\b", "a%2e", "ä", "a\n",
            &long,
        ] {
            assert_eq!(wrong.parse::<ObjectKey>(), Err(MalformedKey), "{wrong:?}");
        }
    }

    #[test]
    fn an_extension_is_of_the_last_part() {
        let extension = |key: &str| key.parse::<ObjectKey>().unwrap().extension().to_owned();
        assert_eq!(extension("a.b/c"), "");
        assert_eq!(extension("a.b/c.d.webp"), "webp");
    }
}
