//! What people upload: who, how much, what became of it, and which message it is attached to. The objects are in the
//! [`ObjectStore`](crate::ObjectStore).
//!
//! What must stay true: a row is there before its first object and goes after its last; an upload is attached to one message.

use std::fmt;
use std::time::Duration;

use protocol::{AttachmentFailure, AttachmentId, AttachmentKind, RoomId, Timestamp, UserId};

use crate::error::cause;
use crate::sql::{Row, Sql, Statement, Written};
use crate::{AttachmentState, Freshness, StoreError, StoredAttachment, StoredMedia};

/// Uploads that are looked at together.
const BATCH: u32 = 100;

/// How long whoever looks at an upload has for it; then somebody else does.
const LEASE: Duration = Duration::from_secs(5 * 60);

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadStatus {
    /// Its object isn't there yet.
    Awaited,
    /// Its object is there.
    Processing,
    /// It can be had.
    Ready,
    /// It never can.
    Failed,
    /// Its message was deleted, or nobody has attached it; its objects go next.
    Removed,
}

impl UploadStatus {
    fn text(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::Awaited,
            Self::Processing,
            Self::Ready,
            Self::Failed,
            Self::Removed,
        ]
        .into_iter()
        .find(|status| status.text() == text)
    }
}

/// An upload that begins.
#[derive(Clone)]
pub struct NewUpload {
    /// Its id.
    pub id: AttachmentId,
    /// Whose it is.
    pub owner_id: UserId,
    /// How it is displayed.
    pub kind: AttachmentKind,
    /// What its owner calls it.
    pub file_name: String,
    /// What its owner says that it is.
    pub content_type: String,
    /// Its bytes.
    pub size: u64,
    /// When.
    pub at: Timestamp,
    /// When it is removed unless somebody has attached it.
    pub expires_at: Timestamp,
}

/// What one user may upload in some time.
#[derive(Debug, Clone, Copy)]
pub struct UploadQuota {
    /// From when on uploads count.
    pub since: Timestamp,
    /// Uploads.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// The message that an upload is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedTo {
    /// The room.
    pub room_id: RoomId,
    /// What its sender calls it.
    pub client_id: String,
    /// Whether only members of the room may have what is attached.
    pub private: bool,
    /// Its place, once it is known.
    pub seq: Option<u64>,
    /// When it was attached.
    pub at: Timestamp,
}

/// An upload.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredUpload {
    /// Its id.
    pub id: AttachmentId,
    /// Whose it is.
    pub owner_id: UserId,
    /// How it is displayed.
    pub kind: AttachmentKind,
    /// What its owner calls it.
    pub file_name: String,
    /// What its owner says that it is.
    pub content_type: String,
    /// Its bytes.
    pub size: u64,
    /// How far it has come.
    pub status: UploadStatus,
    /// Of one that failed.
    pub reason: Option<AttachmentFailure>,
    /// Of one that is ready.
    pub media: Option<StoredMedia>,
    /// When it began.
    pub created_at: Timestamp,
    /// The message that it is attached to.
    pub attached_to: Option<AttachedTo>,
    /// Whether the message shows what became of it.
    pub announced: bool,
    /// Whether it was made the avatar of its owner, which it is until they have another.
    pub avatar: bool,
}

/// An upload that the caller has to look at.
#[derive(Debug, Clone)]
pub struct DueUpload {
    /// As it was when it was taken.
    pub upload: StoredUpload,
    /// Until when nobody else looks at it.
    lease: Timestamp,
}

/// Without the name, which is what somebody wrote.
impl fmt::Debug for StoredUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredUpload")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("attached_to", &self.attached_to)
            .finish_non_exhaustive()
    }
}

impl StoredUpload {
    /// As a message has it; `None` if nothing can be attached.
    pub fn attachment(&self) -> Option<StoredAttachment> {
        let state = match self.status {
            UploadStatus::Awaited | UploadStatus::Removed => return None,
            UploadStatus::Processing => AttachmentState::Processing,
            UploadStatus::Ready => AttachmentState::Ready(self.media.clone()?),
            UploadStatus::Failed => {
                AttachmentState::Failed(self.reason.unwrap_or(AttachmentFailure::Malformed))
            }
        };
        Some(StoredAttachment {
            id: self.id.clone(),
            kind: self.kind,
            file_name: self.file_name.clone(),
            size: self.size,
            private: self.attached_to.as_ref().is_none_or(|to| to.private),
            state,
            processed_seq: None,
        })
    }
}

/// A statement with the columns of an upload, which are read in this order. It is a constant, so that PostgreSQL prepares it.
macro_rules! with_columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, owner_id, kind, file_name, content_type, size, status, reason, media, created_at, room_id, client_id,
                private, message_seq, announced, attached_at, avatar ",
            $after
        )
    };
}

/// Uploads, durable. Cloning shares them.
#[derive(Clone)]
pub struct UploadStore {
    sql: Sql,
}

impl UploadStore {
    /// Those of these tables.
    pub fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// Begins an upload, unless its owner would have more than the quota. Two at once may be let through together.
    pub async fn create(&self, new: NewUpload, quota: UploadQuota) -> Result<bool, StoreError> {
        const SQL: &str = "
            INSERT INTO uploads (id, owner_id, kind, file_name, content_type, size, status, created_at, private,
                announced, check_at)
            SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT),
                CAST($6 AS BIGINT), 'awaited', CAST($7 AS BIGINT), 1, 0, CAST($8 AS BIGINT)
            WHERE (SELECT count(*) FROM uploads WHERE owner_id = $2 AND created_at >= $9) < $10
                AND (SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM uploads
                    WHERE owner_id = $2 AND created_at >= $9) + $6 <= $11";
        let statement = Statement::new(SQL)
            .bind(new.id.as_str())
            .bind(&new.owner_id)
            .bind(kind_text(new.kind))
            .bind(new.file_name)
            .bind(new.content_type)
            .bind(new.size)
            .bind(new.at)
            .bind(new.expires_at)
            .bind(quota.since)
            .bind(quota.files)
            .bind(quota.bytes);
        let owner = new.owner_id.as_str();
        let written = self
            .sql
            .write(Some(owner), vec![statement.required()])
            .await?;
        Ok(matches!(written, Written::All(_)))
    }

    /// One upload.
    pub async fn get(&self, id: &AttachmentId) -> Result<Option<StoredUpload>, StoreError> {
        const SQL: &str = with_columns!("SELECT", "FROM uploads WHERE id = $1");
        let statement = Statement::new(SQL).bind(id.as_str());
        let rows = self.sql.read(Freshness::Latest, statement).await?;
        rows.first().map(read).transpose()
    }

    /// The object of an awaited upload has come: from now on it is processed, or ready if it is `media`. Together with `others`,
    /// such as the job that does so. `None` if it isn't awaited any more.
    pub async fn complete(
        &self,
        id: &AttachmentId,
        media: Option<&StoredMedia>,
        others: Vec<Statement>,
    ) -> Result<Option<StoredUpload>, StoreError> {
        const SQL: &str = with_columns!(
            "UPDATE uploads SET status = $2, media = $3 WHERE id = $1 AND status = 'awaited' RETURNING",
            ""
        );
        let status = match media {
            Some(_) => UploadStatus::Ready,
            None => UploadStatus::Processing,
        };
        let media = media.map(media_text).transpose()?;
        let statement = Statement::new(SQL)
            .bind(id.as_str())
            .bind(status.text())
            .bind(media)
            .required();
        let mut statements = others;
        statements.push(statement);
        self.changed(statements).await
    }

    /// Attaches all of these uploads of a user to a message, for which `check_at` is soon: its place isn't known yet. Doing so again
    /// changes nothing. Those that were attached, in the order given.
    ///
    /// # Errors
    /// `Conflict` naming the first that isn't the user's, isn't complete, has failed, or is attached to another message.
    pub async fn attach(
        &self,
        ids: &[AttachmentId],
        owner: &UserId,
        to: &AttachedTo,
        check_at: Timestamp,
    ) -> Result<Vec<StoredUpload>, StoreError> {
        const SQL: &str = with_columns!(
            "UPDATE uploads SET room_id = $3, client_id = $4, private = $5, check_at = $6, attached_at = $7
            WHERE id = $1 AND owner_id = $2 AND status IN ('processing', 'ready') AND avatar = 0
                AND (room_id IS NULL OR (room_id = $3 AND client_id = $4))
            RETURNING",
            ""
        );
        let attach = |id: &AttachmentId| {
            Statement::new(SQL)
                .bind(id.as_str())
                .bind(owner)
                .bind(&to.room_id)
                .bind(to.client_id.as_str())
                .bind(to.private)
                .bind(check_at)
                .bind(to.at)
                .required()
        };
        let statements = ids.iter().map(attach).collect();
        match self.sql.write(Some(owner.as_str()), statements).await? {
            Written::All(effects) => {
                let rows = effects.iter().filter_map(|effect| effect.rows.first());
                rows.map(read).collect()
            }
            Written::Refused(index) => Err(StoreError::conflict(
                "attachments",
                format!("[{index}] isn't a complete upload of yours that can be attached"),
            )),
        }
    }

    /// Takes an image of a user's that is ready for their avatar. `None` if it isn't that, is attached to a message, or was an
    /// avatar before. `check_at` is when somebody looks whether it became one.
    pub async fn take_avatar(
        &self,
        id: &AttachmentId,
        owner: &UserId,
        check_at: Timestamp,
    ) -> Result<Option<StoredUpload>, StoreError> {
        const SQL: &str = with_columns!(
            "UPDATE uploads SET avatar = 1, private = 0, check_at = $3
            WHERE id = $1 AND owner_id = $2 AND kind = 'image' AND status = 'ready' AND room_id IS NULL AND avatar = 0
            RETURNING",
            ""
        );
        let statement = Statement::new(SQL)
            .bind(id.as_str())
            .bind(owner)
            .bind(check_at);
        self.changed(vec![statement]).await
    }

    /// Lets go of all that was ever made the avatar of a user.
    pub async fn remove_avatars(&self, owner: &UserId, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "
            UPDATE uploads SET status = 'removed', check_at = $2
            WHERE owner_id = $1 AND avatar = 1 AND status <> 'removed'";
        let statement = Statement::new(SQL).bind(owner).bind(now);
        self.sql.write(None, vec![statement]).await.map(drop)
    }

    /// Takes uploads off a message that wasn't stored, unless it was after all; they are removed at `expires_at`.
    pub async fn detach(
        &self,
        ids: &[AttachmentId],
        to: &AttachedTo,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "
            UPDATE uploads SET room_id = NULL, client_id = NULL, attached_at = NULL, private = 1, check_at = $4
            WHERE id = $1 AND room_id = $2 AND client_id = $3 AND message_seq IS NULL";
        let detach = |id: &AttachmentId| {
            Statement::new(SQL)
                .bind(id.as_str())
                .bind(&to.room_id)
                .bind(to.client_id.as_str())
                .bind(expires_at)
        };
        let statements = ids.iter().map(detach).collect();
        self.sql.write(None, statements).await.map(drop)
    }

    /// Notes the place of the message that uploads are attached to, and returns them as they are then. `check_at` is when somebody
    /// looks whether the message shows what became of them.
    pub async fn sent(
        &self,
        ids: &[AttachmentId],
        to: &AttachedTo,
        seq: u64,
        check_at: Timestamp,
    ) -> Result<Vec<StoredUpload>, StoreError> {
        const SQL: &str = with_columns!(
            "UPDATE uploads SET message_seq = $4, check_at = $5
            WHERE id = $1 AND room_id = $2 AND client_id = $3 RETURNING",
            ""
        );
        let sent = |id: &AttachmentId| {
            Statement::new(SQL)
                .bind(id.as_str())
                .bind(&to.room_id)
                .bind(to.client_id.as_str())
                .bind(seq)
                .bind(check_at)
        };
        let statements = ids.iter().map(sent).collect();
        match self.sql.write(None, statements).await? {
            Written::All(effects) => {
                let rows = effects.iter().filter_map(|effect| effect.rows.first());
                rows.map(read).collect()
            }
            Written::Refused(_) => Ok(Vec::new()),
        }
    }

    /// What became of an upload that was processed. `None` if it wasn't being processed any more.
    pub async fn finish(
        &self,
        id: &AttachmentId,
        outcome: &Result<StoredMedia, AttachmentFailure>,
        check_at: Timestamp,
    ) -> Result<Option<StoredUpload>, StoreError> {
        const SQL: &str = with_columns!(
            "UPDATE uploads SET status = $2, media = $3, reason = $4,
                check_at = CASE WHEN message_seq IS NULL THEN check_at ELSE CAST($5 AS BIGINT) END
            WHERE id = $1 AND status = 'processing' RETURNING",
            ""
        );
        let (status, media, reason) = match outcome {
            Ok(media) => (UploadStatus::Ready, Some(media_text(media)?), None),
            Err(reason) => (UploadStatus::Failed, None, Some(reason_text(*reason)?)),
        };
        let statement = Statement::new(SQL)
            .bind(id.as_str())
            .bind(status.text())
            .bind(media)
            .bind(reason)
            .bind(check_at)
            .required();
        self.changed(vec![statement]).await
    }

    /// Notes that the message shows what became of an upload.
    pub async fn announced(
        &self,
        id: &AttachmentId,
        check_at: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE uploads SET announced = 1, check_at = $2 WHERE id = $1";
        let statement = Statement::new(SQL).bind(id.as_str()).bind(check_at);
        self.sql.write(None, vec![statement]).await.map(drop)
    }

    /// Lets uploads go, whose objects are removed next.
    pub async fn remove(&self, ids: &[AttachmentId], now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE uploads SET status = 'removed', check_at = $2 WHERE id = $1";
        let remove = |id: &AttachmentId| Statement::new(SQL).bind(id.as_str()).bind(now);
        let statements = ids.iter().map(remove).collect();
        self.sql.write(None, statements).await.map(drop)
    }

    /// Lets one of [`take_due`](Self::take_due) go, unless something has become of it meanwhile: then another time was noted for it.
    pub async fn remove_due(&self, due: &DueUpload, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE uploads SET status = 'removed', check_at = $2 WHERE id = $1 AND check_at = $3";
        let remove = Statement::new(SQL)
            .bind(due.upload.id.as_str())
            .bind(now)
            .bind(due.lease);
        self.sql.write(None, vec![remove]).await.map(drop)
    }

    /// Looks at an upload again at another time.
    pub async fn check_later(&self, id: &AttachmentId, at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE uploads SET check_at = $2 WHERE id = $1";
        let statement = Statement::new(SQL).bind(id.as_str()).bind(at);
        self.sql.write(None, vec![statement]).await.map(drop)
    }

    /// Forgets an upload that has no objects any more.
    pub async fn forget(&self, id: &AttachmentId) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM uploads WHERE id = $1 AND status = 'removed'";
        let statement = Statement::new(SQL).bind(id.as_str());
        self.sql.write(None, vec![statement]).await.map(drop)
    }

    /// Uploads that somebody has to look at by now, which is the caller for some minutes.
    pub async fn take_due(&self, now: Timestamp) -> Result<Vec<DueUpload>, StoreError> {
        const SQL: &str = with_columns!(
            "UPDATE uploads SET check_at = $2 WHERE id IN (
                SELECT id FROM uploads WHERE check_at <= $1 ORDER BY check_at LIMIT $3 FOR UPDATE SKIP LOCKED
            ) RETURNING",
            ""
        );
        let lease = now.plus(LEASE);
        let statement = Statement::new(SQL).bind(now).bind(lease).bind(BATCH);
        let written = self.sql.write(None, vec![statement]).await?;
        let due = |row: &Row| read(row).map(|upload| DueUpload { upload, lease });
        written.into_last_rows().iter().map(due).collect()
    }

    /// Runs statements of which the last returns an upload, unless it is refused.
    async fn changed(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Option<StoredUpload>, StoreError> {
        let written = self.sql.write(None, statements).await?;
        written.into_last_rows().first().map(read).transpose()
    }
}

fn kind_text(kind: AttachmentKind) -> &'static str {
    match kind {
        AttachmentKind::Image => "image",
        AttachmentKind::File => "file",
    }
}

fn media_text(media: &StoredMedia) -> Result<String, StoreError> {
    serde_json::to_string(media).map_err(|error| StoreError::Internal(cause(error)))
}

fn reason_text(reason: AttachmentFailure) -> Result<String, StoreError> {
    serde_json::to_string(&reason).map_err(|error| StoreError::Internal(cause(error)))
}

fn read(row: &Row) -> Result<StoredUpload, StoreError> {
    let corrupt = |what: &'static str| StoreError::Corrupt(cause(what));
    let json = |error: serde_json::Error| StoreError::Corrupt(cause(error));
    let id: String = row.get(0)?;
    let (kind, status): (String, String) = (row.get(2)?, row.get(6)?);
    let (reason, media): (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
    let room: Option<RoomId> = row.get(10)?;
    let client_id: Option<String> = row.get(11)?;
    let (private, seq) = (row.get(12)?, row.get(13)?);
    let at: Option<Timestamp> = row.get(15)?;
    Ok(StoredUpload {
        id: id.parse().map_err(|_| corrupt("an upload without an id"))?,
        owner_id: row.get(1)?,
        kind: match &*kind {
            "image" => AttachmentKind::Image,
            _ => AttachmentKind::File,
        },
        file_name: row.get(3)?,
        content_type: row.get(4)?,
        size: row.get(5)?,
        status: UploadStatus::parse(&status).ok_or_else(|| corrupt("an upload's status"))?,
        reason: reason
            .map(|reason| serde_json::from_str(&reason))
            .transpose()
            .map_err(json)?,
        media: media
            .map(|media| serde_json::from_str(&media))
            .transpose()
            .map_err(json)?,
        created_at: row.get(9)?,
        attached_to: room.zip(client_id).map(|(room_id, client_id)| AttachedTo {
            room_id,
            client_id,
            private,
            seq,
            at: at.unwrap_or(Timestamp::from_unix_ms(0)),
        }),
        announced: row.get(14)?,
        avatar: row.get(16)?,
    })
}
