//! What is counted of files and images.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted of files and images.
#[derive(Debug, Default)]
pub struct Counts {
    uploads: AtomicU64,
    bytes: AtomicU64,
    processed: AtomicU64,
    failed: AtomicU64,
    resized: AtomicU64,
    removed: AtomicU64,
}

macro_rules! counts {
    ($($count:ident $get:ident $doc:literal)*) => {
        impl Counts {
            $(
                pub(super) fn $count(&self, more: u64) {
                    self.$get.fetch_add(more, Relaxed);
                }

                #[doc = $doc]
                pub fn $get(&self) -> u64 {
                    self.$get.load(Relaxed)
                }
            )*
        }
    };
}

counts! {
    count_upload uploads "Uploads that were completed."
    count_bytes bytes "Their bytes."
    count_processed processed "Images that can be shown."
    count_failed failed "Images that can't."
    count_resized resized "Copies of images that were made because somebody asked for them."
    count_removed removed "Uploads whose objects were removed."
}
