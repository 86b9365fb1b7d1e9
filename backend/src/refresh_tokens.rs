//! Refresh tokens: each is good for one refresh and names its session. They are opaque to clients.
//!
//! A token is the session's id, 256 bits, and a signature over both; the first one's bits are random, each successor's
//! are derived from those before it by a key of the server. So a token that the server never issued is told apart from
//! one that was used already, which ends the session; and one token always has the same successor, so that a client
//! whose answer got lost can ask again, although only hashes are stored.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::Mac as _;
use protocol::{Secret, SessionId};
use sha2::{Digest, Sha256};
use storage::TokenHash;

use crate::signing_secret::{Mac, SigningSecret};

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
}

/// A token that came back.
#[derive(Debug)]
pub struct PresentedToken {
    /// The session that it names.
    pub session_id: SessionId,
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
    pub fn first(&self, session: &SessionId) -> IssuedToken {
        self.sealed(session, &rand::random())
    }

    /// Recognises a token; `None` for what this server never issued.
    pub fn read(&self, token: &Secret) -> Option<PresentedToken> {
        let (session, sealed) = token.expose().split_once('.')?;
        let session_id: SessionId = session.parse().ok()?;
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (bits, signature) = sealed.split_first_chunk::<BYTES>()?;
        over(&self.signing, &session_id, bits)
            .verify_slice(signature)
            .ok()?;
        let successor = over(&self.succession, &session_id, bits)
            .finalize()
            .into_bytes();
        Some(PresentedToken {
            hash: hash(token),
            successor: self.sealed(&session_id, &successor.into()),
            session_id,
        })
    }

    fn sealed(&self, session: &SessionId, bits: &[u8; BYTES]) -> IssuedToken {
        let signature = over(&self.signing, session, bits).finalize().into_bytes();
        let sealed = BASE64_URL_SAFE_NO_PAD.encode([bits.as_slice(), &signature].concat());
        let token = Secret::from(format!("{session}.{sealed}"));
        IssuedToken {
            hash: hash(&token),
            token,
        }
    }
}

/// The bits have a fixed length, so no other session and bits make the same text.
fn over(mac: &Mac, session: &SessionId, bits: &[u8; BYTES]) -> Mac {
    mac.clone()
        .chain_update(bits)
        .chain_update(session.as_str())
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

    #[test]
    fn a_token_has_one_successor_and_the_chain_goes_on() {
        let tokens = tokens("one");
        let session = SessionId::trusted("s-1");
        let first = tokens.first(&session);
        let read = tokens.read(&first.token).unwrap();
        assert_eq!((&read.session_id, read.hash), (&session, first.hash));
        let again = tokens.read(&first.token).unwrap();
        assert_eq!(read.successor.token, again.successor.token);
        let next = tokens.read(&read.successor.token).unwrap();
        assert_eq!(next.hash, read.successor.hash);
        assert_ne!(next.successor.token, read.successor.token);
        assert_ne!(tokens.first(&session).token, first.token);
    }

    #[test]
    fn what_was_never_issued_is_not_read() {
        let issued = tokens("one").first(&SessionId::trusted("s-1")).token;
        assert!(tokens("two").read(&issued).is_none());
        let other_session = issued.expose().replacen("s-1", "s-2", 1);
        assert!(tokens("one").read(&other_session.into()).is_none());
        for place in 0..issued.expose().len() {
            let mut bytes = issued.expose().as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(
                tokens("one").read(&changed.into()).is_none(),
                "place {place}"
            );
        }
        for text in ["", ".", "s-1.", "s-1.AAAA", "s-1", "é.AAAA"] {
            assert!(tokens("one").read(&text.into()).is_none(), "{text}");
        }
    }
}
