//! Following the logs of all rooms by the database's own record of what was written. It costs those who write nothing, and
//! goes on after an election where it was.

use std::time::{Duration, Instant};

use mongodb::bson::{DateTime, Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ResumeToken;
use mongodb::error::{Error, ErrorKind};
use protocol::{RoomId, UserId};
use serde::Deserialize;

use super::super::super::follow::{
    EXCERPT_MAX, FollowedBody, FollowedEntry, FollowedMessage, excerpt,
};
use super::super::documents::Kind;
use super::super::failure::{Failure, bounded};
use super::super::values::timestamp;
use super::Entries;
use crate::StoreError;
use crate::error::cause;

/// How long the server waits for something new.
const WAIT: Duration = Duration::from_millis(250);

/// How long entries are gathered while others keep coming.
const GATHERED: Duration = Duration::from_millis(200);

/// Entries that the server sends at once.
const BATCH: u32 = 500;

/// ChangeStreamFatalError, ChangeStreamHistoryLost, InvalidResumeToken: what is behind the position isn't to be had.
const LOST: [i32; 3] = [280, 286, 260];

/// Follows the logs of all rooms of a fleet.
pub struct LogFollower {
    stream: ChangeStream<Change>,
}

/// What the database tells of an entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    full_document: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    room_id: RoomId,
    seq: i64,
    kind: Kind,
    at: DateTime,
    sender_id: Option<UserId>,
    body: Option<String>,
    reply_to: Option<i64>,
    #[serde(default)]
    mentions: Vec<UserId>,
    of: Option<i64>,
}

impl Entries {
    /// See [`crate::MessageStore::follow`].
    pub async fn follow(&self, position: Option<&str>) -> Result<LogFollower, StoreError> {
        let kinds = [Kind::Message.text(), Kind::Deleted.text()];
        let matching = doc! { "$match": {
            "operationType": "insert",
            "fullDocument.kind": { "$in": kinds.to_vec() },
        } };
        let field = |name: &str| format!("$fullDocument.{name}");
        let body = doc! { "$substrCP": [
            { "$ifNull": [field("body"), ""] }, 0, EXCERPT_MAX as i32,
        ] };
        let mut entry = doc! { "body": body };
        for name in [
            "roomId", "seq", "kind", "at", "senderId", "replyTo", "mentions", "of",
        ] {
            entry.insert(name, field(name));
        }
        let project = doc! { "$project": { "operationType": 1, "fullDocument": entry } };
        let log = &self.database.collections().await?.room_log;
        let mut watch = log
            .watch()
            .pipeline([matching, project])
            .max_await_time(WAIT)
            .batch_size(BATCH);
        if let Some(position) = position {
            watch = watch.resume_after(token(position)?);
        }
        let stream = bounded(watch).await.map_err(failed)?;
        Ok(LogFollower {
            stream: stream.with_type(),
        })
    }
}

impl LogFollower {
    /// The next entries, at most so many, and the position behind them; none if nothing is written for a while. After an
    /// error, following begins anew at the last position.
    pub async fn next(
        &mut self,
        at_most: usize,
    ) -> Result<(Vec<FollowedEntry>, Option<String>), StoreError> {
        let mut entries = Vec::new();
        let begun = Instant::now();
        while entries.len() < at_most && (entries.is_empty() || begun.elapsed() < GATHERED) {
            let Some(Change { full_document }) =
                bounded(self.stream.next_if_any()).await.map_err(failed)?
            else {
                break;
            };
            entries.extend(full_document.followed());
        }
        if !self.stream.is_alive() {
            return Err(StoreError::unavailable("the database ended the stream"));
        }
        Ok((entries, self.position()?))
    }

    fn position(&self) -> Result<Option<String>, StoreError> {
        let Some(token) = self.stream.resume_token() else {
            return Ok(None);
        };
        let internal = |error| StoreError::Internal(cause(error));
        let token = mongodb::bson::serialize_to_document(&token).map_err(internal)?;
        Ok(token.get_str("_data").ok().map(str::to_owned))
    }
}

impl Entry {
    fn followed(self) -> Option<FollowedEntry> {
        let body = match self.kind {
            Kind::Message => FollowedBody::Message(FollowedMessage {
                sender_id: self.sender_id?,
                excerpt: excerpt(&self.body.unwrap_or_default()),
                at: timestamp(self.at),
                reply_to: self.reply_to.map(i64::unsigned_abs),
                mentions: self.mentions,
            }),
            Kind::Deleted => FollowedBody::Deleted(self.of?.unsigned_abs()),
            _ => return None,
        };
        Some(FollowedEntry {
            room_id: self.room_id,
            seq: self.seq.unsigned_abs(),
            body,
        })
    }
}

fn token(position: &str) -> Result<ResumeToken, StoreError> {
    let token: Document = doc! { "_data": position };
    mongodb::bson::deserialize_from_document(token)
        .map_err(|error| StoreError::Internal(cause(error)))
}

fn failed(failure: Failure) -> StoreError {
    match &failure {
        Failure::Mongodb(error) if code(error).is_some_and(|code| LOST.contains(&code)) => {
            tracing::error!(%error, "the database's history doesn't reach back to where the logs were read");
            StoreError::NotFound
        }
        _ => failure.into(),
    }
}

fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
