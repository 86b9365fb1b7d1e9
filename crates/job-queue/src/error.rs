//! Why a run failed, and what follows from it.

use std::{error::Error, time::Duration};

use storage::{StoreError, causes};

/// Why a run of a job failed. Its words are kept with the job, so they name no secret and nothing that people wrote.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The next try may succeed; it is made when the kind's schedule says.
    #[error("{0}{sources}", sources = causes(.0.as_ref()))]
    Temporary(Box<dyn Error + Send + Sync>),
    /// Likewise, but not sooner than after this time: a service has asked for it.
    #[error("{1}{sources}", sources = causes(.1.as_ref()))]
    NotBefore(Duration, Box<dyn Error + Send + Sync>),
    /// No try can succeed: the job becomes a dead letter at once.
    #[error("{0}{sources}", sources = causes(.0.as_ref()))]
    Permanent(Box<dyn Error + Send + Sync>),
}

impl JobError {
    /// The next try may succeed.
    pub fn temporary(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Temporary(why.into())
    }

    /// No try can succeed.
    pub fn permanent(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Permanent(why.into())
    }
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        Self::temporary(error)
    }
}
