//! The names of an upload's objects. All follow from its id, so that they can be removed without a list of what was made.

use protocol::AttachmentId;
use storage::{MalformedKey, ObjectKey};

/// What comes in, which is served to nobody.
const INCOMING: &str = "incoming/";

/// What is served, under the rest of its key.
const SERVED: &str = "media/";

/// All that an image may become, and a file.
const ENDINGS: [&str; 10] = [
    "full.jpg",
    "full.webp",
    "full.gif",
    "200.webp",
    "200.jpg",
    "400.webp",
    "400.jpg",
    "800.webp",
    "800.jpg",
    "file.bin",
];

/// What a file is served as: nothing that a browser shows.
pub const FILE_ENDING: &str = "file.bin";

/// Where the bytes of an upload come in. Ids are in upper and lower case.
pub fn incoming(id: &AttachmentId) -> Result<ObjectKey, MalformedKey> {
    format!("{INCOMING}{id}").parse()
}

/// The key in the URL of what ends so.
pub fn public_key(id: &AttachmentId, ending: &str) -> String {
    format!("{id}-{ending}")
}

/// The object behind the key of a URL.
pub fn served(public_key: &str) -> Result<ObjectKey, MalformedKey> {
    match public_key.contains('/') {
        true => Err(MalformedKey),
        false => format!("{SERVED}{public_key}").parse(),
    }
}

/// All objects that an upload may have.
pub fn all(id: &AttachmentId) -> Result<Vec<ObjectKey>, MalformedKey> {
    let served = ENDINGS.iter().map(|ending| served(&public_key(id, ending)));
    std::iter::once(incoming(id)).chain(served).collect()
}
