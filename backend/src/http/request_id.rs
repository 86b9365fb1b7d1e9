//! The id of a request.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header with a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id that a proxy gave.
const REQUEST_ID_MAX: usize = 64;

/// The id of a request: in its answer, the log and the audit log.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    /// The id that a trusted proxy gave, or a new one. From anybody else the header didn't come this far.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let given =
            given.filter(|id| (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(plain));
        Self(match given {
            Some(id) => id.into(),
            None => {
                let mut buffer = Uuid::encode_buffer();
                let id: &str = Uuid::now_v7().simple().encode_lower(&mut buffer);
                id.into()
            }
        })
    }

    /// The value of the header.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken_over() {
        let id = |given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, given.parse().unwrap());
            RequestId::of(&headers).0
        };
        assert_eq!(&*id("a1-B_2.c"), "a1-B_2.c");
        for given in ["", "a b", "a\tb", "{\"a\"}", &"x".repeat(65)] {
            assert_ne!(&*id(given), given);
            assert_eq!(id(given).len(), 32);
        }
        assert_ne!(RequestId::of(&HeaderMap::new()).0, id(""));
    }
}
