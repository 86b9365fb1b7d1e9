//! Messages in their present state, as every reader and every append returns them.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{Bson, doc};
use protocol::{MessageId, Reaction, RoomId, Sender, UserId};

use super::super::super::attachment;
use super::super::super::message::merged;
use super::super::super::{StoredAttachment, StoredMessage};
use super::super::cached::People;
use super::super::database::Database;
use super::super::documents::{EntryDocument, ReactionCount, ReactionDocument, reaction_key};
use super::super::failure::Outcome;
use super::super::query::all;
use super::super::values::timestamp;

/// Completes messages by what is stored apart from them. Cloning shares it.
#[derive(Clone)]
pub struct Messages {
    database: Database,
    people: People,
}

impl Messages {
    pub fn new(database: &Database, people: &People) -> Self {
        Self {
            database: database.clone(),
            people: people.clone(),
        }
    }

    /// Messages of a room, in the order given, with the present names of their senders and with the reactions of `viewer`
    /// marked.
    pub async fn as_seen_by(
        &self,
        room: &RoomId,
        entries: Vec<EntryDocument>,
        viewer: Option<&UserId>,
    ) -> Outcome<Vec<StoredMessage>> {
        let ids: HashSet<&UserId> = entries
            .iter()
            .filter_map(|entry| entry.sender_id.as_ref())
            .collect();
        let ids: Vec<UserId> = ids.into_iter().cloned().collect();
        let senders = self.people.senders(&ids).await?;
        let senders: HashMap<&UserId, &Sender> =
            senders.iter().map(|sender| (&sender.id, sender)).collect();
        let mine = match viewer {
            Some(viewer) => self.reactions_of(room, &entries, viewer).await?,
            None => HashSet::new(),
        };
        let messages = entries.into_iter().filter_map(|entry| {
            let sender = (*senders.get(entry.sender_id.as_ref()?)?).clone();
            Some(stored_message(entry, sender, &mine))
        });
        Ok(messages.collect())
    }

    /// Which of the emoji on these messages a user put there.
    async fn reactions_of(
        &self,
        room: &RoomId,
        entries: &[EntryDocument],
        user: &UserId,
    ) -> Outcome<HashSet<(i64, String)>> {
        let keys: Vec<Bson> = entries
            .iter()
            .flat_map(|entry| {
                let emoji = entry.reactions.iter().map(|count| count.e.as_str());
                emoji.map(|emoji| reaction_key(room, entry.seq(), user, emoji))
            })
            .collect();
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let filter = doc! { "roomId": room.as_str(), "_id": { "$in": keys }, "present": true };
        let reactions = &self.database.collections().await?.reactions;
        let found: Vec<ReactionDocument> = all(reactions.find(filter)).await?;
        Ok(found
            .into_iter()
            .map(|reaction| (reaction.key.s, reaction.key.e))
            .collect())
    }
}

/// An entry as a message. `mine` are the viewer's reactions, each by message and emoji.
pub fn stored_message(
    entry: EntryDocument,
    sender: Sender,
    mine: &HashSet<(i64, String)>,
) -> StoredMessage {
    let seq = entry.seq;
    let reaction = |count: ReactionCount| {
        let key = (seq, count.e);
        Reaction {
            count: count.n.unsigned_abs(),
            mine: mine.contains(&key),
            emoji: key.1,
        }
    };
    StoredMessage {
        seq: entry.seq(),
        id: MessageId::trusted(entry.id),
        room_id: entry.room_id,
        sender,
        body: entry.body.unwrap_or_default(),
        at: timestamp(entry.at),
        client_id: entry.client_id,
        reply_to: entry.reply_to.map(i64::unsigned_abs),
        mentions: entry.mentions,
        attachments: attachments(entry.attachments.as_deref()),
        edited_at: entry.edited_at.map(timestamp),
        deleted_at: entry.deleted_at.map(timestamp),
        reactions: merged(entry.reactions.into_iter().map(reaction)),
    }
}

/// Attachments that can't be read are left out: the message is worth more than they are.
fn attachments(text: Option<&str>) -> Vec<StoredAttachment> {
    attachment::from_text(text).unwrap_or_else(|error| {
        tracing::error!(%error, "the attachments of a message can't be read");
        Vec::new()
    })
}
