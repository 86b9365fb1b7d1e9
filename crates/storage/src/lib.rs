//! The durable state of Tertulia. [`MessageStore`] holds accounts, rooms and the rooms' logs, [`Sessions`] the sessions of
//! users who are signed in; in the embedded default both are one SQLite file in the data directory, in a fleet a MongoDB
//! replica set and Redis. [`AuditStore`] holds the audit log, [`Sql`] the other tables, each in a SQLite file of its own or
//! in [`Postgres`]; [`ObjectStore`] what people upload, in a directory or in a bucket of S3.
//!
//! What must stay true:
//! - what was answered with success is durable, and what was not is never visible in part;
//! - a room's log has no gaps, and its completions run in the order of `seq`;
//! - no type of a database is in a signature: no connection, row or error.

mod audit_store;
mod cursor_store;
mod device_store;
mod error;
mod job_store;
mod message_store;
mod notification_store;
mod object_store;
mod postgres;
mod preference_store;
mod rollup_store;
mod sessions;
mod sql;
mod sqlite;
mod upload_store;
mod verified_emails;

pub use audit_store::*;
pub use cursor_store::{CursorStore, Lease};
pub use device_store::{DeviceAddress, DeviceStore, StoredDevice};
pub use error::{Cause, OpenError, StoreError, causes};
pub use job_store::{
    Claim, ClaimedJob, DEAD_JOBS_COUNTED, DEAD_JOBS_SETTLED, DeadJob, JOB_ERROR_MAX, JOB_ID_MAX,
    JOB_KIND_MAX, JOB_PAYLOAD_MAX, JobStore, NewJob, WaitingJobs,
};
pub use message_store::*;
pub use notification_store::{
    NewNotification, NotificationStore, Outlet, StoredNotification, UNREAD_NOTIFICATIONS_MAX,
};
pub use object_store::*;
pub use postgres::{
    Freshness, PoolStats, Postgres, PostgresConfig, PostgresObservation, PostgresStats,
    PostgresUrl, ReplicaState, ReplicaStats,
};
pub use preference_store::{
    PreferenceStore, PreferencesChange, StoredPreferences, StoredQuietHours,
};
pub use rollup_store::{RollupStore, StoredRollup};
pub use sessions::*;
pub use sql::{Effect, FromValue, Row, Sql, Statement, Value, Written};
pub use upload_store::*;
pub use verified_emails::VerifiedEmails;
