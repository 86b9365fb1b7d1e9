//! What a job is.

use std::{fmt, sync::Arc, time::Duration};

use protocol::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use storage::{NewJob, StoreError};
use uuid::Uuid;

/// Work that is done later, at least once: its values as JSON, its kind by the type.
///
/// Whoever runs it has to bear running it twice, also at the same time: its effect is keyed by its id, or is such that the second
/// run finds it done.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Its kind: lower-case words with dots or underscores between, such as `image.process`. The same for ever, since jobs outlive
    /// versions; fields are only added, with a default.
    const KIND: &'static str;

    /// Which one it is. One that is enqueued while another with this id waits or runs is that one, and isn't added.
    fn id(&self) -> JobId;
}

/// Which job of its kind it is: what it is about, such as an upload's id, or a random one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// An id that says what the job is about, at most [`storage::JOB_ID_MAX`] bytes.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// An id of nothing else.
    pub fn random() -> Self {
        Self(Uuid::now_v7().simple().to_string())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The job as the outbox has it.
pub(crate) fn encode<J: Job>(job: &J, delay: Duration) -> Result<NewJob, StoreError> {
    let now = Timestamp::now();
    let payload =
        serde_json::to_string(job).map_err(|error| StoreError::Internal(Arc::new(error)))?;
    NewJob {
        kind: J::KIND.to_owned(),
        id: job.id().0,
        payload,
        enqueued_at: now,
        not_before: now.plus(delay),
    }
    .checked()
}
