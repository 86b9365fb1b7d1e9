//! Entries as they are spooled and streamed: a line of JSON each, in batches. Instances of different versions read each other's.

use std::borrow::Cow;

use protocol::{AuditActorKind, AuditOutcome, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use storage::AuditEntry;
use uuid::Uuid;

/// Where a batch ends: bytes of its lines, and their number.
const BATCH_BYTES: usize = 32 * 1024;
const BATCH_ENTRIES: usize = 256;

/// Entries that are sent and stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its id, which tells when it was made.
    pub id: Uuid,
    /// How many entries it has.
    pub entries: usize,
    /// A line each.
    pub lines: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    at: i64,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    actor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    session: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    address: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    target_kind: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    details: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    request: Option<Cow<'a, str>>,
    #[serde(borrow)]
    instance: Cow<'a, str>,
}

impl<'a> From<&'a AuditEntry> for Line<'a> {
    fn from(entry: &'a AuditEntry) -> Self {
        let text = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Self {
            id: entry.id.as_str().into(),
            at: entry.at.unix_ms(),
            action: entry.action.as_str().into(),
            outcome: entry.outcome.name().into(),
            actor: entry.actor_id.as_ref().map(|id| id.as_str().into()),
            kind: entry.actor_kind.name().into(),
            session: entry.session_id.as_ref().map(|id| id.as_str().into()),
            address: text(&entry.address),
            target_kind: text(&entry.target_kind),
            target: text(&entry.target_id),
            details: text(&entry.details),
            request: text(&entry.request_id),
            instance: entry.instance.as_str().into(),
        }
    }
}

impl Line<'_> {
    fn into_entry(self) -> Option<AuditEntry> {
        let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let actor = self.actor.map(|id| id.parse::<UserId>()).transpose();
        let session = self.session.map(|id| id.parse::<SessionId>()).transpose();
        let entry = AuditEntry {
            id: self.id.into_owned(),
            at: Timestamp::from_unix_ms(self.at),
            action: self.action.into_owned(),
            outcome: AuditOutcome::named(&self.outcome)?,
            actor_id: actor.ok()?,
            actor_kind: AuditActorKind::named(&self.kind)?,
            session_id: session.ok()?,
            address: text(self.address),
            target_kind: text(self.target_kind),
            target_id: text(self.target),
            details: text(self.details),
            request_id: text(self.request),
            instance: self.instance.into_owned(),
        };
        entry.check().ok()?;
        Some(entry)
    }
}

impl Batch {
    /// Entries in batches of a bounded size.
    pub fn of(entries: &[AuditEntry]) -> Vec<Self> {
        let mut batches: Vec<Self> = Vec::new();
        for entry in entries {
            let whole =
                |batch: &Self| batch.entries >= BATCH_ENTRIES || batch.lines.len() >= BATCH_BYTES;
            if batches.last().is_none_or(whole) {
                batches.push(Self {
                    id: Uuid::now_v7(),
                    entries: 0,
                    lines: Vec::new(),
                });
            }
            if let Some(batch) = batches.last_mut() {
                let before = batch.lines.len();
                match serde_json::to_writer(&mut batch.lines, &Line::from(entry)) {
                    Ok(()) => {
                        batch.lines.push(b'\n');
                        batch.entries += 1;
                    }
                    Err(error) => {
                        batch.lines.truncate(before);
                        tracing::error!(%error, "an entry of the audit log can't be written");
                    }
                }
            }
        }
        batches.retain(|batch| batch.entries > 0);
        batches
    }
}

/// The entries of a batch, and how many lines aren't any.
pub fn read(lines: &[u8], entries: &mut Vec<AuditEntry>) -> u64 {
    let mut malformed = 0;
    for line in lines.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice::<Line<'_>>(line).map(Line::into_entry) {
            Ok(Some(entry)) => entries.push(entry),
            _ => malformed += 1,
        }
    }
    malformed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::Record;

    #[test]
    fn what_is_written_is_read() {
        let full = AuditEntry {
            actor_id: Some(UserId::trusted("u1")),
            session_id: Some(SessionId::trusted("s1")),
            address: Some("::1".to_owned()),
            request_id: Some("r1".to_owned()),
            ..Record::new("room.create", AuditOutcome::Refused)
                .on("room", "r\"1")
                .with("text", "a\nb\u{1f98a}\u{0}")
                .into_entry("i1")
        };
        let bare = Record::new("session.sign_in", AuditOutcome::Failed).into_entry("i1");
        let entries: Vec<_> = (0..1_000)
            .flat_map(|_| [full.clone(), bare.clone()])
            .collect();
        let batches = Batch::of(&entries);
        assert!(batches.len() >= 2_000 / BATCH_ENTRIES);
        let mut back = Vec::new();
        for batch in &batches {
            assert!(batch.entries <= BATCH_ENTRIES && batch.lines.len() < 2 * BATCH_BYTES);
            assert_eq!(read(&batch.lines, &mut back), 0);
        }
        assert_eq!(back, entries);
    }

    #[test]
    fn what_is_no_entry_harms_no_other() {
        let entry = Record::new("room.create", AuditOutcome::Succeeded).into_entry("i1");
        let mut lines = Batch::of(std::slice::from_ref(&entry)).remove(0).lines;
        lines.extend_from_slice(b"{}\n\xff\n{\"id\":1}\n");
        lines.extend_from_slice(&Batch::of(std::slice::from_ref(&entry)).remove(0).lines);
        let mut back = Vec::new();
        assert_eq!(read(&lines, &mut back), 3);
        assert_eq!(back, [entry.clone(), entry]);
    }
}
