//! The key that the instances of a fleet share, and what it proves: that a request comes from another instance, on
//! behalf of a client at that address, and just now.
//!
//! What must stay true: a signature covers all by which the request is judged. It doesn't cover a body, nor hide
//! anything: the network between instances is trusted with what is said, only not with who may say it.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::Sha256;

/// The client's address, the time in milliseconds since the Unix epoch, and the signature.
const ADDRESS: HeaderName = HeaderName::from_static("gateway-address");
const TIME: HeaderName = HeaderName::from_static("gateway-time");
const SIGNATURE: HeaderName = HeaderName::from_static("gateway-signature");

/// What is signed begins with this, so that no other use of the same key can be taken for it.
const PURPOSE: &[u8] = b"gateway tunnel 1";

/// How far the clocks of two instances, and the way between them, may be apart.
const CLOCKS: Duration = Duration::from_secs(120);

pub(crate) struct InternalKey(Hmac<Sha256>);

impl InternalKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // As HMAC does with a key shorter than a block; the constructor that takes any length can fail in its type.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    fn mac(&self, method: &Method, target: &str, address: &str, time: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(PURPOSE);
        // None of these can hold a line feed.
        for part in [method.as_str(), target, address, time] {
            mac.update(b"\n");
            mac.update(part.as_bytes());
        }
        mac
    }

    /// Signs a request, of this method and target (path and query), for the client at `address`.
    pub(crate) fn sign(
        &self,
        method: &Method,
        target: &str,
        address: IpAddr,
        now: SystemTime,
        headers: &mut HeaderMap,
    ) {
        let (address, time) = (address.to_string(), millis(now).to_string());
        let signature = self.mac(method, target, &address, &time).finalize();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.into_bytes());
        for (name, value) in [(ADDRESS, address), (TIME, time), (SIGNATURE, signature)] {
            // Digits, letters and points always are a header's value.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }

    /// The address of the client for whom another instance sent this request; `None` if none did, or not just now.
    pub(crate) fn verify(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Option<IpAddr> {
        let [address, time, signature] =
            [ADDRESS, TIME, SIGNATURE].map(|name| headers.get(name)?.to_str().ok());
        let (address, time) = (address?, time?);
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature?).ok()?;
        let mac = self.mac(method, target, address, time);
        mac.verify_slice(&signature).ok()?;
        let apart = millis(now).abs_diff(time.parse().ok()?);
        (u128::from(apart) <= CLOCKS.as_millis()).then(|| address.parse().ok())?
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA";

    fn address() -> IpAddr {
        [203, 0, 113, 9].into()
    }

    fn signed(now: SystemTime) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let key = InternalKey::new(&[7; 32]);
        key.sign(&Method::GET, TARGET, address(), now, &mut headers);
        headers
    }

    fn verify(
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Option<IpAddr> {
        InternalKey::new(&[7; 32]).verify(method, target, headers, now)
    }

    #[test]
    fn it_is_hmac_of_all_that_counts() {
        let at = UNIX_EPOCH + Duration::from_millis(1_234_567_890_123);
        let headers = signed(at);
        let mut mac: Hmac<Sha256> = Hmac::new_from_slice(&[7; 32]).unwrap();
        mac.update(
            format!("gateway tunnel 1\nGET\n{TARGET}\n203.0.113.9\n1234567890123").as_bytes(),
        );
        let expected = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        assert_eq!(headers[SIGNATURE], expected);
    }

    #[test]
    fn it_holds_for_one_request_and_two_minutes() {
        let now = SystemTime::now();
        let headers = signed(now);
        assert_eq!(verify(&Method::GET, TARGET, &headers, now), Some(address()));
        let near = Duration::from_millis(119_999);
        for at in [now + near, now - near] {
            assert_eq!(verify(&Method::GET, TARGET, &headers, at), Some(address()));
        }
        let far = Duration::from_millis(120_001);
        for at in [now + far, now - far, UNIX_EPOCH] {
            assert_eq!(verify(&Method::GET, TARGET, &headers, at), None);
        }
        assert_eq!(verify(&Method::POST, TARGET, &headers, now), None);
        assert_eq!(
            verify(&Method::GET, "/socket.io/?EIO=4", &headers, now),
            None
        );
        let other = InternalKey::new(&[8; 32]);
        assert_eq!(other.verify(&Method::GET, TARGET, &headers, now), None);
    }

    #[test]
    fn no_part_can_be_changed_or_left_out() {
        let now = SystemTime::now();
        for name in [ADDRESS, TIME, SIGNATURE] {
            let mut headers = signed(now);
            headers.remove(&name);
            assert_eq!(verify(&Method::GET, TARGET, &headers, now), None, "{name}");
            for value in ["", "203.0.113.8", "+1", "AAAA", "é"] {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.insert(&name, value);
                assert_eq!(verify(&Method::GET, TARGET, &headers, now), None, "{name}");
            }
        }
        // A signature's own text is checked too: another one of the same bytes isn't needed.
        let mut headers = signed(now);
        let padded = format!("{}=", headers[SIGNATURE].to_str().unwrap());
        headers.insert(SIGNATURE, padded.parse().unwrap());
        assert_eq!(verify(&Method::GET, TARGET, &headers, now), None);
    }
}
