//! The id of an instance of a fleet, which is the beginning of every sid that it gives out.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::RngExt;

/// Names one instance among all that live. Three bytes, shown as six hexadecimal digits; the start of every sid that
/// the instance gives out, so that any other can tell whose a request is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceId([u8; Self::BYTES]);

/// A text that isn't six hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance id has six hexadecimal digits")]
pub struct NoInstanceId;

/// An sid is the instance's id and 72 random bits: 12 bytes, 16 characters of base64.
const SID_BYTES: usize = 12;
const SID_CHARACTERS: usize = 16;

impl InstanceId {
    /// Bytes of an id; four characters of base64 are just these, whatever follows.
    const BYTES: usize = 3;

    /// An id of these bytes.
    pub const fn new(bytes: [u8; 3]) -> Self {
        Self(bytes)
    }

    /// A random id. Whoever needs it to be unique has to claim it.
    pub fn random() -> Self {
        Self(rand::rng().random())
    }

    /// A new sid of this instance.
    pub(crate) fn new_sid(self) -> String {
        let mut bytes: [u8; SID_BYTES] = rand::rng().random();
        bytes[..Self::BYTES].copy_from_slice(&self.0);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The instance that gave out `sid`; `None` if none can have.
    pub(crate) fn of_sid(sid: &str) -> Option<Self> {
        if sid.len() != SID_CHARACTERS {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sid).ok()?;
        bytes.first_chunk().copied().map(Self)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InstanceId {
    type Err = NoInstanceId;

    fn from_str(text: &str) -> Result<Self, NoInstanceId> {
        let digits = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if text.len() != Self::BYTES * 2 || !text.chars().all(digits) {
            return Err(NoInstanceId);
        }
        let number = u32::from_str_radix(text, 16).map_err(|_| NoInstanceId)?;
        let [_, a, b, c] = number.to_be_bytes();
        Ok(Self([a, b, c]))
    }
}

#[cfg(test)]
mod tests {
    use engineioxide_core::Sid;

    use super::*;

    #[test]
    fn every_sid_says_whose_it_is() {
        for _ in 0..1_000 {
            let instance = InstanceId::random();
            let sid = instance.new_sid();
            assert!(sid.parse::<Sid>().is_ok(), "{sid}");
            assert_eq!(InstanceId::of_sid(&sid), Some(instance), "{sid}");
        }
        assert_ne!(
            InstanceId::new([1, 2, 3]).new_sid(),
            InstanceId::new([1, 2, 3]).new_sid()
        );
        for sid in [
            "",
            "unknown",
            "AAAA",
            "AAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAA*",
            "AAAAAAAAAAAAAAAAA",
            "ÄAAAAAAAAAAAAAA",
        ] {
            assert_eq!(InstanceId::of_sid(sid), None, "{sid}");
        }
    }

    #[test]
    fn it_is_read_as_it_is_shown() {
        let instance = InstanceId::new([0, 0xab, 7]);
        assert_eq!(instance.to_string(), "00ab07");
        assert_eq!(format!("{instance:?}"), "00ab07");
        assert_eq!("00ab07".parse(), Ok(instance));
        for text in ["", "00ab0", "00ab071", "00AB07", "+0ab07", "00ab0g"] {
            assert_eq!(text.parse::<InstanceId>(), Err(NoInstanceId), "{text}");
        }
    }
}
