//! From entries of the rooms' logs to notifications: who is mentioned, answered or written to, and wants to know.

use std::collections::{BTreeMap, HashMap, HashSet};

use protocol::{
    NotificationKind::{self, Direct, Mention, Message, Reply},
    Notify, RoomId, RoomKind, UserId, notification_data,
};
use storage::{
    EventBody, FollowedBody, FollowedEntry, FollowedMessage, NewNotification, NotificationStore,
    Statement, StoreError,
};

use super::Notifications;

/// Users of one room who want to know everything, at most; the first by their ids.
const LISTENERS: usize = 1_000;

/// What users want to be told of in a room, as far as they have said so.
type Wishes = BTreeMap<UserId, Notify>;

/// What follows from entries.
#[derive(Default)]
pub(super) struct Derived {
    pub(super) new: Vec<NewNotification>,
    /// What is to happen to earlier ones.
    pub(super) changes: Vec<Statement>,
}

/// Whom a message concerns, and how.
struct Addressed<'a> {
    seq: u64,
    message: &'a FollowedMessage,
    recipients: Vec<(UserId, NotificationKind)>,
}

impl Notifications {
    /// What follows from these entries. The same entries again give the same.
    pub(super) async fn derive(&self, entries: &[FollowedEntry]) -> Result<Derived, StoreError> {
        let mut derived = Derived::default();
        let mut rooms: HashMap<&RoomId, Vec<(u64, &FollowedMessage)>> = HashMap::new();
        for FollowedEntry { room_id, seq, body } in entries {
            match body {
                FollowedBody::Message(message) => {
                    rooms.entry(room_id).or_default().push((*seq, message));
                }
                FollowedBody::Deleted(of) => {
                    let forget = NotificationStore::forget_message(room_id, *of);
                    derived.changes.push(forget);
                }
            }
        }
        let ids: Vec<RoomId> = rooms.keys().map(|room| (*room).clone()).collect();
        let said = self.preferences.in_rooms(&ids).await?;
        let mut wishes: HashMap<RoomId, Wishes> = HashMap::new();
        for (room, user, notify) in said {
            if let Some(notify) = Notify::named(&notify) {
                wishes.entry(room).or_default().insert(user, notify);
            }
        }
        let none = Wishes::new();
        for (room, messages) in rooms {
            match self
                .derive_room(room, &messages, wishes.get(room).unwrap_or(&none))
                .await
            {
                Ok(new) => derived.new.extend(new),
                // Deleted meanwhile.
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(derived)
    }

    async fn derive_room(
        &self,
        room: &RoomId,
        messages: &[(u64, &FollowedMessage)],
        wishes: &Wishes,
    ) -> Result<Vec<NewNotification>, StoreError> {
        let Some((_, first)) = messages.first() else {
            return Ok(Vec::new());
        };
        let kind = self.store.membership(room, &first.sender_id).await?.kind;
        let listeners: Vec<&UserId> = match kind {
            RoomKind::Direct => Vec::new(),
            _ => wishes
                .iter()
                .filter(|(_, notify)| **notify == Notify::All)
                .map(|(user, _)| user)
                .take(LISTENERS)
                .collect(),
        };
        let peers = match kind {
            RoomKind::Direct => self.store.member_ids(room, None, 2).await?.items,
            _ => Vec::new(),
        };
        let mut addressed = Vec::new();
        for (seq, message) in messages {
            let mut recipients = Recipients::new(kind, message, wishes);
            for user in &message.mentions {
                recipients.add(user, Mention);
            }
            if let Some(of) = message.reply_to
                && let Some(author) = self.author(room, of).await?
            {
                recipients.add(&author, Reply);
            }
            for user in &peers {
                recipients.add(user, Direct);
            }
            for user in &listeners {
                recipients.add(user, Message);
            }
            if !recipients.found.is_empty() {
                addressed.push(Addressed {
                    seq: *seq,
                    message,
                    recipients: recipients.found,
                });
            }
        }
        match addressed.is_empty() {
            true => Ok(Vec::new()),
            false => self.address(room, kind, addressed).await,
        }
    }

    /// The sender of a message, unless it is deleted.
    async fn author(&self, room: &RoomId, seq: u64) -> Result<Option<UserId>, StoreError> {
        let before = seq.saturating_sub(1);
        let page = self.store.events(room, before, seq, 1, None).await?;
        Ok(page.items.into_iter().find_map(|event| match event.body {
            EventBody::Sent(message) if event.seq == seq && message.deleted_at.is_none() => {
                Some(message.sender.id)
            }
            _ => None,
        }))
    }

    /// Notifications for those recipients who are members and with whom no block is between.
    async fn address(
        &self,
        room: &RoomId,
        kind: RoomKind,
        addressed: Vec<Addressed<'_>>,
    ) -> Result<Vec<NewNotification>, StoreError> {
        let recipients = addressed.iter().flat_map(|to| &to.recipients);
        let recipients: HashSet<UserId> = recipients.map(|(user, _)| user.clone()).collect();
        let recipients: Vec<UserId> = recipients.into_iter().collect();
        let members = self.store.members_among(room, &recipients, &[]).await?;
        let read: HashMap<UserId, u64> = members
            .into_iter()
            .map(|member| (member.user.id, member.read_seq))
            .collect();
        let room_name = match kind {
            RoomKind::Direct => None,
            _ => Some(self.store.room(room, None).await?.name),
        };
        let mut names: HashMap<&UserId, Option<String>> = HashMap::new();
        let mut blocks: HashMap<(UserId, UserId), bool> = HashMap::new();
        let mut new = Vec::new();
        for Addressed {
            seq,
            message,
            recipients,
        } in &addressed
        {
            let sender = &message.sender_id;
            if !names.contains_key(sender) {
                names.insert(sender, self.name(sender).await?);
            }
            let Some(Some(name)) = names.get(sender) else {
                continue;
            };
            let title = match &room_name {
                None => name.clone(),
                Some(room) => format!("{name} · {room}"),
            };
            for (user, about) in recipients {
                let Some(read_seq) = read.get(user) else {
                    continue;
                };
                let is_read = read_seq >= seq;
                // Who is in the conversation, or came to the room later, has nothing to be told of.
                if is_read && matches!(about, Direct | Message) {
                    continue;
                }
                let pair = (sender.clone(), user.clone());
                let is_blocked = match blocks.get(&pair) {
                    Some(known) => *known,
                    None => {
                        let is_blocked = self.is_blocked(sender, user).await?;
                        blocks.insert(pair, is_blocked);
                        is_blocked
                    }
                };
                if is_blocked {
                    continue;
                }
                let data = notification_data(room, Some(*seq), sender.as_str());
                new.push(NewNotification {
                    user_id: user.clone(),
                    kind: about.name(),
                    room_id: room.clone(),
                    seq: *seq,
                    actor_id: sender.clone(),
                    title: title.clone(),
                    body: message.excerpt.clone(),
                    data: serde_json::Value::Object(data).to_string(),
                    at: message.at,
                    is_read,
                });
            }
        }
        Ok(new)
    }

    /// A user's name; `None` if the account is gone.
    pub(super) async fn name(&self, user: &UserId) -> Result<Option<String>, StoreError> {
        match self.store.user(user).await {
            Ok(user) => Ok(Some(user.display_name)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn is_blocked(
        &self,
        one: &UserId,
        other: &UserId,
    ) -> Result<bool, StoreError> {
        match self.store.is_blocked(one, other).await {
            Err(StoreError::NotFound) => Ok(true),
            known => known,
        }
    }
}

/// Whom one message concerns, each once and by what concerns them most.
struct Recipients<'a> {
    kind: RoomKind,
    sender: &'a UserId,
    wishes: &'a Wishes,
    found: Vec<(UserId, NotificationKind)>,
}

impl<'a> Recipients<'a> {
    fn new(kind: RoomKind, message: &'a FollowedMessage, wishes: &'a Wishes) -> Self {
        Self {
            kind,
            sender: &message.sender_id,
            wishes,
            found: Vec::new(),
        }
    }

    fn add(&mut self, user: &UserId, about: NotificationKind) {
        if user == self.sender || self.found.iter().any(|(known, _)| known == user) {
            return;
        }
        let wish = self.wishes.get(user).copied();
        let wanted = wish.unwrap_or(match self.kind {
            RoomKind::Direct => Notify::All,
            _ => Notify::Mentions,
        });
        let is_wanted = match wanted {
            Notify::All => true,
            Notify::Mentions => matches!(about, Mention | Reply),
            Notify::Nothing => false,
        };
        if is_wanted {
            self.found.push((user.clone(), about));
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Timestamp;

    use super::*;

    #[test]
    fn each_is_told_once_by_what_concerns_them_most_and_as_they_wish() {
        let user = |id: &str| UserId::trusted(id);
        let message = FollowedMessage {
            sender_id: user("ana"),
            excerpt: String::new(),
            at: Timestamp::from_unix_ms(0),
            reply_to: None,
            mentions: Vec::new(),
        };
        let wishes = Wishes::from([
            (user("all"), Notify::All),
            (user("none"), Notify::Nothing),
            (user("few"), Notify::Mentions),
        ]);
        let found = |kind, added: &[(&str, NotificationKind)]| {
            let mut recipients = Recipients::new(kind, &message, &wishes);
            for (id, about) in added {
                recipients.add(&user(id), *about);
            }
            let found = recipients.found.into_iter();
            found
                .map(|(user, about)| (user.as_str().to_owned(), about))
                .collect::<Vec<_>>()
        };
        let pair = |id: &str, about| (id.to_owned(), about);
        assert_eq!(
            found(
                RoomKind::Public,
                &[
                    ("bea", Mention),
                    ("bea", Reply),
                    ("ana", Mention),
                    ("all", Message),
                    ("few", Message),
                    ("none", Mention),
                    ("eve", Message),
                ]
            ),
            [pair("bea", Mention), pair("all", Message)]
        );
        assert_eq!(
            found(RoomKind::Direct, &[("bea", Direct), ("few", Direct)]),
            [pair("bea", Direct)]
        );
    }
}
