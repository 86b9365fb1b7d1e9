//! Writing to a room's log. Each new entry takes the next `seq` in the transaction that also
//! changes the message's present state, so the log and the messages never disagree.
//!
//! The steps of one append are counted: a message takes one look-up and one insert, plus its part
//! of the search index at the end of the group.

use super::super::attachment;
use super::super::change_rules::{self, Effect, OwnReaction, check_emoji, no_such_message};
use super::super::ids::new_id;
use super::columns::room_kind;
use super::entry::{SEQ_MAX, entry, seq_of};
use super::message::{attachments, id_list, load};
use super::{Appended, Change, NewEntry};
use super::{EventBody, SqliteStore, StoredAttachment, StoredEvent, StoredMessage, blocks, search};
use crate::StoreError;
use crate::sqlite::{Outcome, Transaction};
use protocol::{AttachmentId, MessageId, RoomId, RoomKind, Sender, UserId};
use rusqlite::{Connection, OptionalExtension};

impl SqliteStore {
    pub fn append(
        &self,
        entry: NewEntry,
        done: impl FnOnce(Result<Appended, StoreError>) + Send + 'static,
    ) {
        self.database.submit(
            entry.bytes(),
            move |transaction| append(transaction, entry),
            done,
        );
    }
}

fn append(transaction: &Transaction<'_>, entry: NewEntry) -> Outcome<Appended> {
    let NewEntry {
        room_id,
        actor,
        change,
    } = entry;
    let log = Log::open(transaction, room_id, actor, &change)?;
    match change {
        Change::Send {
            client_id,
            body,
            reply_to,
            mentions,
            attachments,
        } => log.send(client_id, body, reply_to, mentions, attachments),
        Change::Process { of, attachment } => log.process(of, *attachment),
        Change::Edit { of, body } => log.edit(of, body),
        Change::Delete { of, moderator } => log.delete(of, moderator),
        Change::React { of, emoji, on } => log.react(of, emoji, on),
    }
}

/// The log of one room, open for one member.
struct Log<'a> {
    transaction: &'a Transaction<'a>,
    room_id: RoomId,
    room: i64,
    kind: RoomKind,
    actor: i64,
    sender: Sender,
    /// The `seq` of the next entry.
    next: u64,
}

/// A message to be changed.
struct Target {
    entry: i64,
    rules: change_rules::Target,
}

impl<'a> Log<'a> {
    fn open(
        transaction: &'a Transaction<'a>,
        room_id: RoomId,
        actor: UserId,
        change: &Change,
    ) -> Outcome<Self> {
        const SQL: &str = "
            SELECT r.no, r.kind, u.no, u.display_name, u.guest, h.head_seq
            FROM rooms r
            CROSS JOIN users u
            CROSS JOIN members m ON m.room = r.no AND m.user = u.no
            CROSS JOIN room_heads h ON h.room = r.no
            WHERE r.id = ?1 AND r.deleted_at IS NULL AND u.id = ?2";
        // Whoever has sent it may have left since.
        const OF_FORMER_MEMBERS: &str = "
            SELECT r.no, r.kind, u.no, u.display_name, u.guest, h.head_seq
            FROM rooms r
            CROSS JOIN users u
            CROSS JOIN room_heads h ON h.room = r.no
            WHERE r.id = ?1 AND r.deleted_at IS NULL AND u.id = ?2";
        let sql = match change {
            Change::Process { .. } => OF_FORMER_MEMBERS,
            _ => SQL,
        };
        let mut statement = transaction.prepare_cached(sql)?;
        let log = statement
            .query_row([room_id.as_str(), actor.as_str()], |row| {
                Ok(Self {
                    transaction,
                    room: row.get(0)?,
                    kind: room_kind(row, 1)?,
                    actor: row.get(2)?,
                    sender: Sender {
                        id: actor.clone(),
                        display_name: row.get(3)?,
                        guest: row.get(4)?,
                    },
                    next: row.get::<_, u64>(5)? + 1,
                    room_id: room_id.clone(),
                })
            })
            .optional()?
            .ok_or(StoreError::NotFound)?;
        if log.next > SEQ_MAX {
            return Err(StoreError::conflict("roomId", "the log of the room is full").into());
        }
        Ok(log)
    }

    fn send(
        self,
        client_id: Option<String>,
        body: String,
        reply_to: Option<u64>,
        mentions: Vec<UserId>,
        attachments: Vec<StoredAttachment>,
    ) -> Outcome<Appended> {
        const SQL: &str = "
            INSERT INTO messages (entry, sender, at, reply_to, id, client_id, mentions, body, attachments)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            ON CONFLICT (room, sender, client_id) WHERE client_id IS NOT NULL DO NOTHING";
        if let Err(refusal) = self.may_send(reply_to) {
            // What was sent stays sent, even if it couldn't be sent now.
            return self.sent_before(client_id.as_deref())?.ok_or(refusal);
        }
        let mentions = self.reached(mentions)?;
        let at = self.transaction.at();
        let id = new_id();
        let key = entry(self.room, self.next);
        let inserted = self.transaction.prepare_cached(SQL)?.execute((
            key,
            self.actor,
            at.unix_ms(),
            reply_to,
            &id,
            &client_id,
            id_list(&mentions),
            &body,
            attachment::to_text(&attachments),
        ))?;
        if inserted == 0 {
            let missing = || StoreError::internal("a duplicate has no original");
            return self
                .sent_before(client_id.as_deref())?
                .ok_or_else(|| missing().into());
        }
        search::put(self.transaction, key, body.clone());
        let message = StoredMessage {
            id: MessageId::trusted(id),
            room_id: self.room_id.clone(),
            seq: self.next,
            sender: self.sender.clone(),
            body,
            at,
            client_id,
            reply_to,
            mentions,
            attachments,
            edited_at: None,
            deleted_at: None,
            reactions: Vec::new(),
        };
        Ok(self.recorded(EventBody::Sent(message)))
    }

    fn edit(self, of: u64, body: String) -> Outcome<Appended> {
        const SQL: &str = "UPDATE messages SET body = ?2, edited_at = ?3 WHERE entry = ?1";
        let target = self.target(of)?;
        target.rules.edit()?;
        let at = self.transaction.at().unix_ms();
        self.transaction
            .prepare_cached(SQL)?
            .execute((target.entry, &body, at))?;
        search::remove(self.transaction, target.entry);
        search::put(self.transaction, target.entry, body);
        self.insert_change("edited", of, None, None)?;
        let message = load(self.transaction, &self.room_id, target.entry, self.actor)?
            .ok_or(StoreError::NotFound)?;
        Ok(self.recorded(EventBody::Edited { of, message }))
    }

    fn process(self, of: u64, processed: StoredAttachment) -> Outcome<Appended> {
        const ATTACHMENTS: &str = "SELECT id, attachments FROM messages WHERE entry = ?1";
        const SET: &str = "UPDATE messages SET attachments = ?2 WHERE entry = ?1";
        let target = self.target(of)?;
        let (id, mut attachments): (String, _) = self
            .transaction
            .prepare_cached(ATTACHMENTS)?
            .query_row([target.entry], |row| {
                Ok((row.get(0)?, attachments(row, 1)?))
            })?;
        let effect = target
            .rules
            .process(&mut attachments, &processed, self.next)?;
        let attachment = attachments
            .iter()
            .find(|attachment| attachment.id == processed.id)
            .cloned()
            .ok_or(StoreError::NotFound)?;
        let attachment_id = attachment.id.clone();
        let body = EventBody::Processed {
            of,
            message_id: MessageId::trusted(id),
            attachment,
        };
        if let Effect::None(seq) = effect {
            return Ok(self.nothing_new(seq, body));
        }
        let row = (target.entry, attachment::to_text(&attachments));
        self.transaction.prepare_cached(SET)?.execute(row)?;
        self.insert_change("processed", of, None, Some(&attachment_id))?;
        Ok(self.recorded(body))
    }

    fn delete(self, of: u64, moderator: bool) -> Outcome<Appended> {
        const ATTACHMENTS: &str = "
            SELECT attachments FROM messages WHERE entry = ?1 AND attachments IS NOT NULL";
        const SQL: &str = "
            UPDATE messages
            SET body = '', mentions = NULL, attachments = NULL, deleted_at = ?2, deleted_seq = ?3
            WHERE entry = ?1";
        let target = self.target(of)?;
        if let Effect::None(seq) = target.rules.delete(moderator)? {
            return Ok(self.nothing_new(seq, EventBody::Deleted { of }));
        }
        let transaction = self.transaction;
        let at = transaction.at().unix_ms();
        let removed = transaction
            .prepare_cached(ATTACHMENTS)?
            .query_row([target.entry], |row| attachments(row, 0))
            .optional()?
            .unwrap_or_default();
        transaction
            .prepare_cached(SQL)?
            .execute((target.entry, at, self.next))?;
        remove_reactions(transaction, target.entry)?;
        search::remove(transaction, target.entry);
        self.insert_change("deleted", of, None, None)?;
        Ok(Appended {
            removed: removed
                .into_iter()
                .map(|attachment| attachment.id)
                .collect(),
            ..self.recorded(EventBody::Deleted { of })
        })
    }

    fn react(self, of: u64, emoji: String, on: bool) -> Outcome<Appended> {
        const SET: &str = "
            INSERT INTO reactions (entry, user, emoji, present, seq) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT DO UPDATE SET present = excluded.present, seq = excluded.seq";
        let target = self.target(of)?;
        let own = self.own_reactions(target.entry, &emoji)?;
        let user_id = self.sender.id.clone();
        let reacted = |emoji| EventBody::Reacted {
            of,
            emoji,
            user_id,
            on,
        };
        let changed = match target.rules.react(of, &emoji, &own, on)? {
            Effect::None(seq) => return Ok(self.nothing_new(seq, reacted(emoji))),
            Effect::Change(spellings) => spellings,
        };
        for spelling in &changed {
            self.count_reaction(target.entry, spelling, on)?;
            let row = (target.entry, self.actor, spelling, on, self.next);
            self.transaction.prepare_cached(SET)?.execute(row)?;
        }
        self.insert_change(
            if on { "reacted" } else { "unreacted" },
            of,
            Some(&emoji),
            None,
        )?;
        Ok(self.recorded(reacted(emoji)))
    }

    /// The actor's reactions to a message with an emoji, in whatever spelling.
    fn own_reactions(&self, entry: i64, emoji: &str) -> Outcome<Vec<OwnReaction>> {
        const LAST: &str = "
            SELECT present, seq FROM reactions WHERE entry = ?1 AND user = ?2 AND emoji = ?3";
        let mut own = Vec::new();
        let mut statement = self.transaction.prepare_cached(LAST)?;
        for spelling in text::spellings(emoji) {
            let found: Option<(bool, u64)> = statement
                .query_row((entry, self.actor, &spelling), |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            own.extend(found.map(|(present, seq)| OwnReaction {
                spelling,
                present,
                seq,
            }));
        }
        Ok(own)
    }

    fn count_reaction(&self, entry: i64, emoji: &str, on: bool) -> Outcome<()> {
        const KINDS: &str = "
            SELECT count(*), ifnull(max(emoji = ?2), 0) FROM reaction_counts WHERE entry = ?1";
        const UP: &str = "
            INSERT INTO reaction_counts (entry, emoji, count, first_seq) VALUES (?1, ?2, 1, ?3)
            ON CONFLICT DO UPDATE SET count = count + 1";
        const DOWN: &str =
            "UPDATE reaction_counts SET count = count - 1 WHERE entry = ?1 AND emoji = ?2";
        const GONE: &str =
            "DELETE FROM reaction_counts WHERE entry = ?1 AND emoji = ?2 AND count = 0";
        let transaction = self.transaction;
        if !on {
            transaction.prepare_cached(DOWN)?.execute((entry, emoji))?;
            transaction.prepare_cached(GONE)?.execute((entry, emoji))?;
            return Ok(());
        }
        let (different, is_there) = transaction
            .prepare_cached(KINDS)?
            .query_row((entry, emoji), |row| Ok((row.get(0)?, row.get(1)?)))?;
        check_emoji(different, is_there)?;
        transaction
            .prepare_cached(UP)?
            .execute((entry, emoji, self.next))?;
        Ok(())
    }

    fn may_send(&self, reply_to: Option<u64>) -> Outcome<()> {
        const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM messages WHERE entry = ?1)";
        if self.is_blocked()? {
            return Err(StoreError::Forbidden.into());
        }
        let Some(seq) = reply_to else { return Ok(()) };
        let exists = self
            .transaction
            .prepare_cached(EXISTS)?
            .query_row([entry(self.room, seq)], |row| row.get(0))?;
        if exists {
            Ok(())
        } else {
            Err(no_such_message().into())
        }
    }

    /// True if a block keeps the actor from writing in the room.
    fn is_blocked(&self) -> Outcome<bool> {
        Ok(self.kind == RoomKind::Direct && blocks::in_direct_room(self.transaction, self.room)?)
    }

    /// Those of whom none has a block between them and the sender.
    fn reached(&self, mut mentions: Vec<UserId>) -> Outcome<Vec<UserId>> {
        const SQL: &str = "
            SELECT EXISTS (
                SELECT 1 FROM users u CROSS JOIN blocks b ON b.user = u.no AND b.blocked = ?2
                WHERE u.id = ?1
            ) OR EXISTS (
                SELECT 1 FROM users u CROSS JOIN blocks b ON b.user = ?2 AND b.blocked = u.no
                WHERE u.id = ?1
            )";
        if mentions.is_empty() {
            return Ok(mentions);
        }
        let mut statement = self.transaction.prepare_cached(SQL)?;
        let mut is_reached = Vec::with_capacity(mentions.len());
        for mentioned in &mentions {
            let row = (mentioned.as_str(), self.actor);
            is_reached.push(!statement.query_row(row, |row| row.get::<_, bool>(0))?);
        }
        let mut is_reached = is_reached.into_iter();
        mentions.retain(|_| is_reached.next().unwrap_or(true));
        Ok(mentions)
    }

    fn sent_before(&self, client_id: Option<&str>) -> Outcome<Option<Appended>> {
        const SQL: &str = "
            SELECT entry FROM messages WHERE room = ?1 AND sender = ?2 AND client_id = ?3";
        let found: Option<i64> = self
            .transaction
            .prepare_cached(SQL)?
            .query_row((self.room, self.actor, client_id), |row| row.get(0))
            .optional()?;
        let Some(entry) = found else { return Ok(None) };
        let message = load(self.transaction, &self.room_id, entry, self.actor)?;
        Ok(message.map(|message| self.nothing_new(seq_of(entry), EventBody::Sent(message))))
    }

    fn target(&self, of: u64) -> Outcome<Target> {
        const SQL: &str = "SELECT sender, deleted_seq FROM messages WHERE entry = ?1";
        let entry = entry(self.room, of);
        let found = self
            .transaction
            .prepare_cached(SQL)?
            .query_row([entry], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (sender, deleted_seq): (i64, _) = found.ok_or(StoreError::NotFound)?;
        let rules = change_rules::Target {
            is_own: sender == self.actor,
            deleted_seq,
            blocked: self.is_blocked()?,
        };
        Ok(Target { entry, rules })
    }

    fn insert_change(
        &self,
        kind: &str,
        of: u64,
        emoji: Option<&str>,
        attachment: Option<&AttachmentId>,
    ) -> Outcome<()> {
        const SQL: &str = "
            INSERT INTO changes (entry, kind, of_seq, actor, at, emoji, attachment)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let attachment = attachment.map(AttachmentId::as_str);
        let at = self.transaction.at().unix_ms();
        let key = entry(self.room, self.next);
        self.transaction
            .prepare_cached(SQL)?
            .execute((key, kind, of, self.actor, at, emoji, attachment))?;
        Ok(())
    }

    fn recorded(&self, body: EventBody) -> Appended {
        Appended {
            recorded: true,
            ..self.nothing_new(self.next, body)
        }
    }

    fn nothing_new(&self, seq: u64, body: EventBody) -> Appended {
        let event = StoredEvent {
            room_id: self.room_id.clone(),
            seq,
            body,
        };
        Appended {
            event,
            recorded: false,
            removed: Vec::new(),
        }
    }
}

pub(super) fn remove_reactions(connection: &Connection, entry: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM reactions WHERE entry = ?1",
        "DELETE FROM reaction_counts WHERE entry = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([entry])?;
    }
    Ok(())
}
