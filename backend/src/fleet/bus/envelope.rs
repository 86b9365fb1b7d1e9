//! What messages travel in: the version, who sends, and a signature over both, the channel and the content.
//!
//! `version (1) · sender (6) · HMAC-SHA-256, its first 16 bytes · messages`. Whoever can publish in Redis but hasn't
//! got the fleet's secret is refused, and what was signed for one channel is worth nothing on another.

use gateway::InstanceId;
use hmac::Mac as _;

use crate::auth::signing_secret::{Mac, SigningSecret};

/// The version that this program writes by itself. It reads this one and the one before.
pub const BUS_VERSION: u8 = 1;
const OLDEST_READ: u8 = 1;

const SENDER: usize = 6;
const SIGNATURE: usize = 16;
const HEAD: usize = 1 + SENDER + SIGNATURE;

/// Seals and opens what goes over the bus.
#[derive(Clone)]
pub struct Envelopes {
    mac: Mac,
    own: InstanceId,
}

/// Why bytes on a channel aren't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody with the fleet's secret wrote them for this channel.
    #[error("not from this fleet")]
    Stranger,
    /// A version that this program doesn't read.
    #[error("of version {0}")]
    Version(u8),
}

impl Envelopes {
    pub(super) fn new(secret: &SigningSecret, own: InstanceId) -> Self {
        Self {
            mac: secret.mac_for("bus between instances"),
            own,
        }
    }

    /// An envelope with room for `messages` bytes, to be filled and then given to [`Envelopes::seal`].
    pub(super) fn open_new(&self, version: u8, messages: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + messages);
        bytes.push(version);
        bytes.extend_from_slice(self.own.to_string().as_bytes());
        bytes.resize(HEAD, 0);
        bytes
    }

    /// Signs a filled envelope for a channel.
    pub(super) fn seal(&self, channel: &str, bytes: &mut [u8]) {
        let signature = self.sign(channel, bytes).finalize().into_bytes();
        bytes[HEAD - SIGNATURE..HEAD].copy_from_slice(&signature[..SIGNATURE]);
    }

    /// The messages of an envelope; `None` if it is our own.
    pub(super) fn open<'a>(
        &self,
        channel: &str,
        bytes: &'a [u8],
    ) -> Result<Option<&'a [u8]>, Refused> {
        let (head, messages) = bytes.split_at_checked(HEAD).ok_or(Refused::Stranger)?;
        // Before the version is believed; our own come back on the channels that we listen to.
        self.sign(channel, bytes)
            .verify_truncated_left(&head[HEAD - SIGNATURE..])
            .map_err(|_| Refused::Stranger)?;
        let version = head[0];
        if !(OLDEST_READ..=BUS_VERSION).contains(&version) {
            return Err(Refused::Version(version));
        }
        let is_own = head[1..1 + SENDER] == *self.own.to_string().as_bytes();
        Ok((!is_own).then_some(messages))
    }

    fn sign(&self, channel: &str, bytes: &[u8]) -> Mac {
        self.mac
            .clone()
            .chain_update((channel.len() as u32).to_be_bytes())
            .chain_update(channel)
            .chain_update(&bytes[..HEAD - SIGNATURE])
            .chain_update(&bytes[HEAD..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelopes(secret: &str, own: [u8; 3]) -> Envelopes {
        Envelopes::new(&SigningSecret::from_bytes(secret), InstanceId::new(own))
    }

    fn sealed(from: &Envelopes, version: u8, channel: &str) -> Vec<u8> {
        let mut bytes = from.open_new(version, 4);
        bytes.extend_from_slice(b"text");
        from.seal(channel, &mut bytes);
        bytes
    }

    #[test]
    fn only_the_fleets_own_are_taken() {
        let (here, there) = (envelopes("one", [1, 1, 1]), envelopes("one", [2, 2, 2]));
        let bytes = sealed(&there, BUS_VERSION, "c");
        assert_eq!(here.open("c", &bytes), Ok(Some(&b"text"[..])));
        assert_eq!(there.open("c", &bytes), Ok(None), "our own");
        assert_eq!(here.open("d", &bytes), Err(Refused::Stranger));
        let stranger = envelopes("two", [2, 2, 2]);
        assert_eq!(stranger.open("c", &bytes), Err(Refused::Stranger));
        for byte in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[byte] ^= 1;
            assert_eq!(here.open("c", &forged), Err(Refused::Stranger), "{byte}");
        }
        for end in 0..HEAD {
            assert_eq!(here.open("c", &bytes[..end]), Err(Refused::Stranger));
        }
    }

    #[test]
    fn a_version_from_the_future_is_refused_by_its_number() {
        let (here, there) = (envelopes("one", [1, 1, 1]), envelopes("one", [2, 2, 2]));
        let bytes = sealed(&there, BUS_VERSION + 1, "c");
        assert_eq!(
            here.open("c", &bytes),
            Err(Refused::Version(BUS_VERSION + 1))
        );
    }
}
