//! Uploads by others, straight to the store.

use url::Url;

/// A request that puts one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedUpload {
    /// Where it goes; `PUT` is the method.
    pub url: Url,
    /// Headers that it needs, beside `Content-Length`, which whoever sends it sets anyway. All are in the signature.
    pub headers: Vec<(String, String)>,
}
