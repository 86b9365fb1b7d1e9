//! URLs of what people uploaded. Each has a signature, so that nobody has others than those they were given: one of a public
//! room holds for ever, one of a private room until it expires. Whoever serves them needs neither a session nor a look at who is
//! in a room, and a cache between needs to know nothing at all.
//!
//! What must stay true: of one object there is one URL an hour, so that caches and browsers keep what they have; a URL that is
//! given out now is good for an hour at least, which is longer than [`KEPT`](crate::chat::room_feed::KEPT).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::Mac as _;
use protocol::{AttachmentId, ImageVariant, MediaQuery, Timestamp};
use storage::StoredVariant;
use url::{Url, form_urlencoded};

use crate::auth::signing_secret::Mac;

/// A URL of a private room is good for one to two of these, in seconds: until an hour ends.
const HOUR: u64 = 3_600;

/// Bytes of a signature, which are half of what the algorithm makes.
const SIGNATURE: usize = 16;

/// What all URLs begin with that have a CDN's in front.
pub fn below(cdn: &Url) -> Url {
    let mut below = cdn.clone();
    below.set_path(&format!("{}/media/", cdn.path().trim_end_matches('/')));
    below
}

/// What stands in front of the key of an avatar that is an upload, where avatars are stored: nobody can set such a URL.
const AVATAR: &str = "media:";

/// How an avatar with this key is stored.
pub fn avatar_of(key: &str) -> String {
    format!("{AVATAR}{key}")
}

/// The upload that a stored avatar is, if it is one.
pub fn avatar_upload(stored: &str) -> Option<AttachmentId> {
    let (id, _) = stored.strip_prefix(AVATAR)?.split_once('-')?;
    id.parse().ok()
}

/// Makes and checks URLs.
#[derive(Clone)]
pub struct MediaUrls {
    key: Mac,
    /// What stands in front of the path.
    base: String,
}

impl MediaUrls {
    /// `key` is the same on all instances, and `base` what stands in front of the path, such as a CDN's origin.
    pub fn new(key: Mac, base: &str) -> Self {
        Self {
            key,
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// The URL of an object, for those who see it now.
    pub fn url(&self, key: &str, file_name: Option<&str>, private: bool) -> String {
        let now = now();
        self.url_at(key, file_name, private, now)
    }

    fn url_at(&self, key: &str, file_name: Option<&str>, private: bool, now: u64) -> String {
        let expires = private.then(|| (now / HOUR + 2) * HOUR);
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(expires) = expires {
            query.append_pair("e", &expires.to_string());
        }
        if let Some(name) = file_name {
            query.append_pair("n", name);
        }
        query.append_pair("s", &self.signature(key, expires, file_name));
        format!("{}/media/{key}?{}", self.base, query.finish())
    }

    /// Whether this was given out for an object, and is still good.
    pub fn is_good(&self, key: &str, signed: &MediaQuery) -> bool {
        let now = now();
        self.is_good_at(key, signed, now)
    }

    fn is_good_at(&self, key: &str, signed: &MediaQuery, now: u64) -> bool {
        let given = signed.s.as_deref().unwrap_or_default();
        let given = BASE64_URL_SAFE_NO_PAD.decode(given).unwrap_or_default();
        signed.e.is_none_or(|expires| now < expires)
            && given.len() == SIGNATURE
            && self
                .mac(key, signed.e, signed.n.as_deref())
                .verify_truncated_left(&given)
                .is_ok()
    }

    fn signature(&self, key: &str, expires: Option<u64>, file_name: Option<&str>) -> String {
        let mac = self.mac(key, expires, file_name).finalize().into_bytes();
        BASE64_URL_SAFE_NO_PAD.encode(&mac[..SIGNATURE])
    }

    /// The URL of a stored avatar, which everybody may see.
    pub fn avatar(&self, stored: String) -> String {
        match stored.strip_prefix(AVATAR) {
            Some(key) => self.url(key, None, false),
            None => stored,
        }
    }

    /// Where a user may put the bytes of an upload until `expires`, in seconds since 1970.
    pub fn upload(&self, id: &AttachmentId, expires: u64) -> String {
        let signature = self.signature(&upload_key(id), Some(expires), None);
        format!("/media/uploads/{id}?e={expires}&s={signature}")
    }

    /// Whether this was given out for an upload, and is still good.
    pub fn is_good_for_upload(&self, id: &AttachmentId, signed: &MediaQuery) -> bool {
        signed.e.is_some() && self.is_good(&upload_key(id), signed)
    }

    fn mac(&self, key: &str, expires: Option<u64>, file_name: Option<&str>) -> Mac {
        let mut mac = self.key.clone();
        // No two of these are the same text: a key has no line breaks, and a number no other characters.
        mac.update(b"media url\n");
        mac.update(key.as_bytes());
        let expires = expires.map_or_else(String::new, |expires| expires.to_string());
        mac.update(format!("\n{expires}\n").as_bytes());
        if let Some(name) = file_name {
            mac.update(b"+");
            mac.update(name.as_bytes());
        }
        mac
    }

    /// The smaller copies of an image.
    pub fn variants(&self, variants: &[StoredVariant], private: bool) -> Vec<ImageVariant> {
        let variant = |variant: &StoredVariant| ImageVariant {
            width: variant.width,
            height: variant.height,
            url: self.url(&variant.key, None, private),
            content_type: variant.content_type.clone(),
        };
        variants.iter().map(variant).collect()
    }
}

/// What no object's key is.
fn upload_key(id: &AttachmentId) -> String {
    format!("uploads/{id}")
}

/// In seconds since 1970.
fn now() -> u64 {
    u64::try_from(Timestamp::now().unix_ms() / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::signing_secret::SigningSecret;

    const NOW: u64 = 1_700_000_000;

    fn keyed_with(secret: &str) -> MediaUrls {
        let key = SigningSecret::from_bytes(secret).mac_for("media urls");
        MediaUrls::new(key, "https://cdn.example.org/")
    }

    fn urls() -> MediaUrls {
        keyed_with("a secret")
    }

    fn parts(url: &str) -> (String, MediaQuery) {
        let path = url.strip_prefix("https://cdn.example.org/media/").unwrap();
        let (key, query) = path.split_once('?').unwrap();
        (key.to_owned(), protocol::read_query(query).unwrap())
    }

    #[test]
    fn a_url_is_good_for_its_object_until_it_ends() {
        let urls = urls();
        let (key, signed) = parts(&urls.url_at("media/a/full.jpg", None, true, NOW));
        let ends = signed.e.unwrap();
        assert!((NOW + HOUR..=NOW + 2 * HOUR).contains(&ends));
        assert!(urls.is_good_at(&key, &signed, ends - 1));
        assert!(!urls.is_good_at(&key, &signed, ends));
        assert!(!urls.is_good_at("media/b/full.jpg", &signed, NOW));
        let later = MediaQuery {
            e: Some(ends + HOUR),
            ..signed.clone()
        };
        let never = MediaQuery {
            e: None,
            ..signed.clone()
        };
        let named = MediaQuery {
            n: Some(String::new()),
            ..signed.clone()
        };
        let cut = MediaQuery {
            s: signed.s.clone().map(|s| s[..8].to_owned()),
            ..signed.clone()
        };
        for wrong in [later, never, named, cut, MediaQuery::default()] {
            assert!(!urls.is_good_at(&key, &wrong, NOW), "{wrong:?}");
        }
        assert!(!keyed_with("another").is_good_at(&key, &signed, NOW));
    }

    #[test]
    fn an_avatar_is_an_upload_or_a_url_from_elsewhere() {
        let stored = avatar_of("0a1b-200.webp");
        assert_eq!(avatar_upload(&stored).unwrap().as_str(), "0a1b");
        let (key, signed) = parts(&urls().avatar(stored));
        assert_eq!(key, "0a1b-200.webp");
        assert!(urls().is_good_at(&key, &signed, NOW * 2));
        let elsewhere = "https://example.org/0a1b-200.webp";
        assert_eq!(avatar_upload(elsewhere), None);
        assert_eq!(urls().avatar(elsewhere.to_owned()), elsewhere);
    }

    #[test]
    fn a_url_stays_the_same_for_an_hour_or_for_ever() {
        let urls = urls();
        let url = |private, now| urls.url_at("media/a/full.jpg", Some("ä&=.pdf"), private, now);
        let hour = NOW / HOUR * HOUR;
        assert_eq!(url(true, hour), url(true, hour + HOUR - 1));
        assert_ne!(url(true, hour), url(true, hour + HOUR));
        assert_eq!(url(false, NOW), url(false, NOW * 2));
        let (key, signed) = parts(&url(false, NOW));
        assert_eq!(signed.n.as_deref(), Some("ä&=.pdf"));
        assert!(urls.is_good_at(&key, &signed, NOW * 2));
    }
}
