//! What is attached to a message. It is kept with the message, as one text that both back ends store alike, so that a message
//! without attachments takes no more room and no more work than before there were any.

use protocol::{AttachmentFailure, AttachmentId, AttachmentKind};
use serde::{Deserialize, Serialize};

/// An attachment of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredAttachment {
    /// That of its upload.
    pub id: AttachmentId,
    /// How it is displayed.
    pub kind: AttachmentKind,
    /// What its sender calls it.
    pub file_name: String,
    /// Bytes of what was uploaded.
    pub size: u64,
    /// True if only the members of the room may have it.
    pub private: bool,
    /// What became of it.
    pub state: AttachmentState,
    /// The `seq` of the entry that told what became of it, if it was processed after it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_seq: Option<u64>,
}

/// Whether an attachment can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttachmentState {
    /// Not yet.
    Processing,
    /// It can.
    Ready(StoredMedia),
    /// It never will, for this reason.
    Failed(AttachmentFailure),
}

/// Objects that can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredMedia {
    /// The key of the whole.
    pub key: String,
    /// Its media type.
    pub content_type: String,
    /// Of an image, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Of an image, what is shown until it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// Of an image, whether it moves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub animated: bool,
    /// Of an image, its smaller copies, the smallest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<StoredVariant>,
}

/// A copy of an image in another size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredVariant {
    /// Its key.
    pub key: String,
    /// Its media type.
    pub content_type: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl StoredAttachment {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        /// Names of fields, and what stands for the state.
        const OVERHEAD: usize = 160;
        /// Of what can be had, and of each of its copies.
        const OF_MEDIA: usize = 128;
        let media = match &self.state {
            AttachmentState::Processing | AttachmentState::Failed(_) => 0,
            AttachmentState::Ready(media) => {
                let placeholder = media.placeholder.as_ref().map_or(0, String::len);
                let variants = media.variants.iter();
                let variants =
                    variants.map(|copy| OF_MEDIA + copy.key.len() + copy.content_type.len());
                let whole = OF_MEDIA + media.key.len() + media.content_type.len();
                whole + placeholder + variants.sum::<usize>()
            }
        };
        OVERHEAD + self.id.as_str().len() + self.file_name.len() + media
    }
}

/// Attachments as they are stored: nothing if there are none.
pub(super) fn to_text(attachments: &[StoredAttachment]) -> Option<String> {
    if attachments.is_empty() {
        return None;
    }
    let text = serde_json::to_string(attachments);
    // Texts and numbers can always be written.
    text.inspect_err(|error| tracing::error!(%error, "attachments can't be stored"))
        .ok()
}

/// Attachments that were stored.
pub(super) fn from_text(text: Option<&str>) -> Result<Vec<StoredAttachment>, serde_json::Error> {
    text.map_or(Ok(Vec::new()), serde_json::from_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_read_again() {
        let ready = StoredMedia {
            key: "media/a/full.jpg".to_owned(),
            content_type: "image/jpeg".to_owned(),
            width: Some(4_000),
            height: Some(3_000),
            placeholder: Some("1QcSHQRnh493V4dIh4eXh1h4kJUI".to_owned()),
            animated: false,
            variants: vec![StoredVariant {
                key: "media/a/w200.webp".to_owned(),
                content_type: "image/webp".to_owned(),
                width: 200,
                height: 150,
            }],
        };
        let states = [
            AttachmentState::Processing,
            AttachmentState::Ready(ready),
            AttachmentState::Failed(AttachmentFailure::NotAnImage),
        ];
        let attachments = states.map(|state| StoredAttachment {
            id: AttachmentId::trusted("a"),
            kind: AttachmentKind::Image,
            file_name: "\"ça\".jpg".to_owned(),
            size: 5,
            private: true,
            state,
            processed_seq: None,
        });
        for attachment in &attachments {
            let text = to_text(std::slice::from_ref(attachment)).unwrap();
            assert!(attachment.bytes() >= text.len(), "{text}");
        }
        let text = to_text(&attachments);
        assert_eq!(from_text(text.as_deref()).unwrap(), attachments);
        assert_eq!(to_text(&[]), None);
        assert_eq!(from_text(None).unwrap(), []);
    }
}
