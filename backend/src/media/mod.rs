//! Files and images that people upload: how they come in, what is made of images, which messages they are attached to, and how
//! they are served. [`Media`] holds the parts; the rules are functions that take it, one file per concern.
//!
//! What must stay true: nothing that somebody sent is served as something that a browser runs; an upload is one user's until it is
//! attached, and then one message's; what became of an image is shown in its message, whatever was away or died meanwhile; an
//! object goes when its message is deleted, and within a week where its room or its sender's account is.

mod announcement;
mod attaching;
mod counts;
mod delivery;
mod file_name;
mod image_message;
pub mod image_process;
mod objects;
pub mod processing;
mod sweeper;
mod uploads;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use job_queue::JobQueue;
use moka::future::Cache;
use protocol::{AttachmentId, Timestamp};
use storage::{MessageStore, ObjectStore, StoreError, UploadStore};
use tokio::sync::Semaphore;

use crate::{
    chat::Chat, config::MediaConfig, limits::unfinished::UnfinishedRequests, media_urls::MediaUrls,
};

pub use attaching::{delete, send, send_and_wait};
pub use counts::Counts;
pub use delivery::{Delivered, Wanted, deliver, look};
pub use image_message::upload_image;
pub use image_process::ImageProcess;
pub use uploads::{complete, create, paced, read, receive};

/// How long the place for an upload's bytes is kept.
const UPLOADING: Duration = Duration::from_secs(15 * 60);

/// How long an upload may wait to be attached.
const UNATTACHED: Duration = Duration::from_secs(24 * 60 * 60);

/// When somebody looks again after something that ought to be done at once.
const SOON: Duration = Duration::from_secs(60);

/// How often somebody looks whether the message of an upload is still there.
const CHECK_MESSAGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Images that come in events, at once; each is in memory.
const IMAGES_AT_ONCE: usize = 64;

/// Of these, one user's.
const IMAGES_OF_USER: usize = 4;

/// Bytes of copies of images in sizes that somebody asked for.
const RESIZED_BYTES: u64 = 32 << 20;

/// How long a copy is kept, so that one of a picture that was deleted isn't served for longer.
const RESIZED_FOR: Duration = Duration::from_secs(5 * 60);

/// Copies that are made at a time, each of which holds its image in memory. More are refused for a moment: anybody with a URL can ask.
const RESIZED_AT_ONCE: usize = 8;

/// Everything that files and images are made of.
pub struct Media {
    uploads: UploadStore,
    objects: ObjectStore,
    store: MessageStore,
    chat: Arc<Chat>,
    queue: JobQueue,
    images: ImageProcess,
    urls: Arc<MediaUrls>,
    config: MediaConfig,
    /// Copies of images, by key and size: made once for all who ask.
    resized: Cache<String, Bytes>,
    /// One permit for each copy that is made.
    resizing: Semaphore,
    in_events: Semaphore,
    /// Of these, those of each user.
    in_events_by_user: Arc<UnfinishedRequests>,
    counts: Counts,
}

/// What media are built from.
pub struct MediaParts {
    /// What is known of uploads.
    pub uploads: UploadStore,
    /// The objects.
    pub objects: ObjectStore,
    /// Messages.
    pub store: MessageStore,
    /// Chat.
    pub chat: Arc<Chat>,
    /// What is done later.
    pub queue: JobQueue,
    /// URLs.
    pub urls: Arc<MediaUrls>,
    /// Bounds.
    pub config: MediaConfig,
}

impl Media {
    /// Media of these parts.
    pub fn new(parts: MediaParts) -> Self {
        let MediaParts {
            uploads,
            objects,
            store,
            chat,
            queue,
            urls,
            config,
        } = parts;
        Self {
            uploads,
            objects,
            store,
            chat,
            queue,
            images: ImageProcess::new(config.image_program.clone(), config.image_processes),
            urls,
            config,
            resized: Cache::builder()
                .max_capacity(RESIZED_BYTES)
                .time_to_live(RESIZED_FOR)
                .weigher(|key: &String, copy: &Bytes| {
                    u32::try_from(key.len() + copy.len()).unwrap_or(u32::MAX)
                })
                .build(),
            resizing: Semaphore::new(RESIZED_AT_ONCE),
            in_events: Semaphore::new(IMAGES_AT_ONCE),
            in_events_by_user: Arc::default(),
            counts: Counts::default(),
        }
    }

    /// What was counted here.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Where the objects are.
    pub fn objects(&self) -> &ObjectStore {
        &self.objects
    }

    /// Images that wait to be decoded, or are.
    pub fn images_in_progress(&self) -> u64 {
        self.images.in_progress()
    }

    /// Looks after uploads for ever: what was left half done is finished, and what nobody needs is removed.
    pub async fn run_sweeper(self: &Arc<Self>) {
        sweeper::run(self).await;
    }

    /// Removes all objects that an upload may have.
    async fn remove_objects(&self, id: &AttachmentId) -> Result<(), StoreError> {
        // Of an id that can't be a key there are none.
        for key in objects::all(id).unwrap_or_default() {
            self.objects.delete(&key).await?;
        }
        Ok(())
    }

    /// Lets go of what was attached to a message that is deleted.
    fn let_go(self: &Arc<Self>, ids: Vec<AttachmentId>) {
        let media = self.clone();
        tokio::spawn(async move {
            if let Err(error) = media.uploads.remove(&ids, Timestamp::now()).await {
                // It is found when the message is looked at again.
                tracing::warn!(%error, "what was attached to a deleted message stays for now");
            }
        });
    }
}

/// So long from now.
fn after(time: Duration) -> Timestamp {
    Timestamp::now().plus(time)
}
