//! Messages in their present state, as every reader and every append returns them.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{Bson, doc};
use protocol::{MessageId, Reaction, RoomId, Sender, UserId};

use super::super::StoredMessage;
use super::super::message::united;
use super::MongoStore;
use super::collections::all;
use super::documents::{EntryDocument, ReactionDocument, reaction_key};
use super::failure::Outcome;
use super::values::timestamp;

impl MongoStore {
    /// Messages of a room, in the order given, by the present names of their senders and with the reactions of `viewer`
    /// marked.
    pub(super) async fn shown(
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
        let senders = self.senders(&ids).await?;
        let senders: HashMap<&UserId, &Sender> =
            senders.iter().map(|sender| (&sender.id, sender)).collect();
        let mine = match viewer {
            Some(viewer) => self.reactions_of(room, &entries, viewer).await?,
            None => HashSet::new(),
        };
        let messages = entries.into_iter().filter_map(|entry| {
            let sender = (*senders.get(entry.sender_id.as_ref()?)?).clone();
            Some(message(entry, sender, &mine))
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
        let reactions = &self.collections().await?.reactions;
        let found: Vec<ReactionDocument> = all(reactions.find(filter)).await?;
        Ok(found
            .into_iter()
            .map(|reaction| (reaction.key.s, reaction.key.e))
            .collect())
    }
}

/// A message as it is stored, shown to the one whose reactions are `mine`, each by message and emoji.
pub(super) fn message(
    entry: EntryDocument,
    sender: Sender,
    mine: &HashSet<(i64, String)>,
) -> StoredMessage {
    let seq = entry.seq;
    let reaction = |count: super::documents::ReactionCount| {
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
        edited_at: entry.edited_at.map(timestamp),
        deleted_at: entry.deleted_at.map(timestamp),
        reactions: united(entry.reactions.into_iter().map(reaction)),
    }
}
