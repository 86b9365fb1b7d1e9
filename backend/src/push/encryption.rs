//! The encryption of Web Push (RFC 8291, of RFC 8188's `aes128gcm`): one record that only the browser can read. With ring,
//! which TLS has in the program already; the crates for it take two dozen others in, among them second versions of hashes.

use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::{SecureRandom, SystemRandom},
};

/// Bytes of a record, as it is announced.
const RECORD: u32 = 4_096;

/// The most that fits in a record beside its tag and its delimiter, within what every service takes.
pub(super) const PLAIN_MAX: usize = 3_000;

/// So many bytes.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// A content for a browser with these keys; `None` if they are no keys. What is too long is an error of the caller's.
pub(super) fn encrypt(browser: &[u8], auth: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() > PLAIN_MAX {
        return None;
    }
    let random = SystemRandom::new();
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).ok()?;
    let own_public = own.compute_public_key().ok()?;
    let mut salt = [0; 16];
    random.fill(&mut salt).ok()?;
    let keys = Keys {
        browser,
        own: own_public.as_ref(),
        auth,
        salt,
    };
    let peer = UnparsedPublicKey::new(&ECDH_P256, browser);
    agree_ephemeral(own, &peer, |shared| keys.seal(shared, plain)).ok()?
}

/// What both sides know beside their secret.
struct Keys<'a> {
    browser: &'a [u8],
    own: &'a [u8],
    auth: &'a [u8],
    salt: [u8; 16],
}

impl Keys<'_> {
    fn seal(&self, shared: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut material = [0; 32];
        let info = [b"WebPush: info\0".as_slice(), self.browser, self.own];
        derive(self.auth, shared, &info, &mut material)?;
        let (mut key, mut nonce) = ([0; 16], [0; 12]);
        let info = [b"Content-Encoding: aes128gcm\0".as_slice()];
        derive(&self.salt, &material, &info, &mut key)?;
        let info = [b"Content-Encoding: nonce\0".as_slice()];
        derive(&self.salt, &material, &info, &mut nonce)?;

        let mut record = plain.to_vec();
        // The delimiter of the last record.
        record.push(2);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
            .ok()?;
        let length = u8::try_from(self.own.len()).ok()?;
        let head = [
            self.salt.as_slice(),
            &RECORD.to_be_bytes(),
            &[length],
            self.own,
        ];
        Some([head.concat(), record].concat())
    }
}

fn derive(salt: &[u8], secret: &[u8], info: &[&[u8]], into: &mut [u8]) -> Option<()> {
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    let derived = key.expand(info, Length(into.len())).ok()?;
    derived.fill(into).ok()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    const BROWSER: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    /// The example of RFC 8291, section 5.
    #[test]
    fn the_example_of_the_standard_comes_out() {
        let own = bytes(
            "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
        );
        let (browser, auth) = (bytes(BROWSER), bytes("BTBZMqHH6r4Tts7J_aSIgg"));
        let keys = Keys {
            browser: &browser,
            own: &own,
            auth: &auth,
            salt: bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap(),
        };
        let shared = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let sealed = keys.seal(&shared, b"When I grow up, I want to be a watermelon");
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS\
            6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(sealed.unwrap()), expected);
    }

    #[test]
    fn what_is_no_key_or_too_long_is_refused() {
        let auth = [1; 16];
        assert!(encrypt(&bytes(BROWSER), &auth, b"x").is_some());
        assert!(encrypt(&[4; 65], &auth, b"x").is_none());
        assert!(encrypt(&[], &auth, b"x").is_none());
        assert!(encrypt(&bytes(BROWSER), &auth, &[0; PLAIN_MAX + 1]).is_none());
    }
}
