//! Refresh tokens: each is good for one refresh and names its session and that one's user, by whom sessions are kept. They
//! are opaque to clients.
//!
//! A token is those two ids, 256 bits, and a signature over all; the first one's bits are random, each successor's
//! are derived from those before it by a key of the server. So a token that the server never issued is told apart from
//! one that was used already, which ends the session; and one token always has the same successor, so that a client
//! whose answer got lost can ask again, although only hashes are stored.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::Mac as _;
use protocol::{Secret, SessionId, UserId};
use sha2::{Digest, Sha256};
use storage::TokenHash;

use super::signing_secret::{Mac, SigningSecret};

const BYTES: usize = 32;

/// Makes and recognises refresh tokens.
pub struct RefreshTokens {
    signing: Mac,
    succession: Mac,
}

/// A token for a client, and what is stored of it.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The token.
    pub token: Secret,
    /// What is stored.
    pub hash: TokenHash,
    /// What will be stored of its successor.
    pub successor_hash: TokenHash,
}

/// A token that came back.
#[derive(Debug)]
pub struct PresentedToken {
    /// The session that it names.
    pub session_id: SessionId,
    /// The user that it names.
    pub user_id: UserId,
    /// What is stored of it.
    pub hash: TokenHash,
    /// The one that takes its place.
    pub successor: IssuedToken,
}

impl RefreshTokens {
    /// Tokens under keys derived from `secret`.
    pub fn new(secret: &SigningSecret) -> Self {
        Self {
            signing: secret.mac_for("refresh token"),
            succession: secret.mac_for("successor of a refresh token"),
        }
    }

    /// The first token of a session.
    pub fn first(&self, session: &SessionId, user: &UserId) -> IssuedToken {
        self.issue(&format!("{session}.{user}"), &rand::random())
    }

    /// Recognises a token; `None` for what this server never issued.
    pub fn read(&self, token: &Secret) -> Option<PresentedToken> {
        let (names, sealed) = token.expose().rsplit_once('.')?;
        let (session, user) = names.split_once('.')?;
        let (session_id, user_id) = (session.parse().ok()?, user.parse().ok()?);
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (bits, signature) = sealed.split_first_chunk::<BYTES>()?;
        over(&self.signing, names, bits)
            .verify_slice(signature)
            .ok()?;
        Some(PresentedToken {
            session_id,
            user_id,
            hash: hash(token),
            successor: self.issue(names, &self.successor(names, bits)),
        })
    }

    fn issue(&self, names: &str, bits: &[u8; BYTES]) -> IssuedToken {
        let token = self.sealed(names, bits);
        IssuedToken {
            hash: hash(&token),
            token,
            successor_hash: hash(&self.sealed(names, &self.successor(names, bits))),
        }
    }

    fn successor(&self, names: &str, bits: &[u8; BYTES]) -> [u8; BYTES] {
        let successor = over(&self.succession, names, bits).finalize();
        successor.into_bytes().into()
    }

    fn sealed(&self, names: &str, bits: &[u8; BYTES]) -> Secret {
        let signature = over(&self.signing, names, bits).finalize().into_bytes();
        let sealed = BASE64_URL_SAFE_NO_PAD.encode([bits.as_slice(), &signature].concat());
        format!("{names}.{sealed}").into()
    }
}

/// The bits have a fixed length, so no other names and bits make the same text.
fn over(mac: &Mac, names: &str, bits: &[u8; BYTES]) -> Mac {
    mac.clone().chain_update(bits).chain_update(names)
}

fn hash(token: &Secret) -> TokenHash {
    TokenHash(Sha256::digest(token.expose()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(secret: &str) -> RefreshTokens {
        RefreshTokens::new(&SigningSecret::from_bytes(secret))
    }

    fn first(secret: &str) -> IssuedToken {
        tokens(secret).first(&SessionId::trusted("s-1"), &UserId::trusted("u-1"))
    }

    #[test]
    fn a_token_has_one_successor_and_the_chain_goes_on() {
        let tokens = tokens("one");
        let first = first("one");
        let read = tokens.read(&first.token).unwrap();
        assert_eq!(read.session_id.as_str(), "s-1");
        assert_eq!(read.user_id.as_str(), "u-1");
        assert_eq!(read.hash, first.hash);
        assert_eq!(read.successor.hash, first.successor_hash);
        let again = tokens.read(&first.token).unwrap();
        assert_eq!(read.successor.token, again.successor.token);
        let next = tokens.read(&read.successor.token).unwrap();
        assert_eq!(next.hash, read.successor.hash);
        assert_eq!(next.successor.hash, read.successor.successor_hash);
        assert_ne!(next.successor.token, read.successor.token);
        let other = tokens.first(&next.session_id, &next.user_id);
        assert_ne!(other.token, first.token);
    }

    #[test]
    fn what_was_never_issued_is_not_read() {
        let issued = first("one").token;
        assert!(tokens("two").read(&issued).is_none());
        for (name, other) in [("s-1", "s-2"), ("u-1", "u-2"), ("s-1.u-1", "s-1u-1")] {
            let other = issued.expose().replacen(name, other, 1);
            assert!(tokens("one").read(&other.into()).is_none());
        }
        for place in 0..issued.expose().len() {
            let mut bytes = issued.expose().as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(
                tokens("one").read(&changed.into()).is_none(),
                "place {place}"
            );
        }
        for text in [
            "",
            ".",
            "..",
            "s-1.u-1.",
            "s-1.u-1.AAAA",
            "s-1.u-1",
            "é.u-1.AAAA",
        ] {
            assert!(tokens("one").read(&text.into()).is_none(), "{text}");
        }
    }
}
