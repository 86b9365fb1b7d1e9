//! The documents that a transaction of changes reads and writes.

use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc, serialize_to_document};
use mongodb::error::Error;
use protocol::RoomId;

use super::super::super::Change;
use super::super::collections::Collections;
use super::super::documents::{EntryDocument, Kind, ReactionKey, at_seqs, entry_key, reaction_key};
use super::super::failure::{Failure, Outcome};
use super::super::log::words::{block_of, touch};
use super::super::query::all_in;
use super::change_plan::{Plan, Proposal, State};

/// Reads the messages and reactions that are to be changed.
pub async fn read_state(
    collections: &Collections,
    session: &mut ClientSession,
    room: &RoomId,
    proposals: &[Proposal],
) -> Outcome<State> {
    let messages = messages_filter(room, proposals);
    let messages = all_in(&collections.room_log, messages, session).await?;
    let mut state = State {
        messages: messages
            .into_iter()
            .map(|entry| (entry.seq(), entry))
            .collect(),
        ..State::default()
    };
    if let Some(reactions) = reactions_filter(room, proposals) {
        for reaction in all_in(&collections.reactions, reactions, session).await? {
            let ReactionKey { s, u, e, .. } = reaction.key.clone();
            state.reactions.insert((s.unsigned_abs(), u, e), reaction);
        }
    }
    Ok(state)
}

fn messages_filter(room: &RoomId, proposals: &[Proposal]) -> Document {
    let mut filter = at_seqs(room, proposals.iter().map(Proposal::of));
    filter.insert("kind", Kind::Message.text());
    filter
}

fn reactions_filter(room: &RoomId, proposals: &[Proposal]) -> Option<Document> {
    let reactions = proposals
        .iter()
        .filter_map(|proposal| match &proposal.change {
            Change::React { of, emoji, .. } => Some((*of, &proposal.actor, text::spellings(emoji))),
            _ => None,
        })
        .flat_map(|(of, actor, spellings)| {
            let keys = spellings.into_iter();
            keys.map(move |emoji| reaction_key(room, of, actor, &emoji))
        });
    let keys: Vec<Bson> = reactions.collect();
    (!keys.is_empty()).then(|| doc! { "roomId": room.as_str(), "_id": { "$in": keys } })
}

/// Updates of the messages that a plan has changed.
pub fn updates_of_messages(room: &RoomId, plan: &Plan) -> Outcome<Vec<Document>> {
    let messages = plan
        .messages
        .iter()
        .filter_map(|seq| plan.state.messages.get(seq));
    let updates = messages.map(|message| {
        let key = doc! { "_id": entry_key(room, message.seq()), "roomId": room.as_str() };
        Ok(doc! { "q": key, "u": { "$set": state_of(message)? } })
    });
    updates.collect()
}

/// The blocks of the word index that a plan concerns, each with an update for one of its messages.
pub fn touched_blocks(room: &RoomId, plan: &Plan) -> Vec<(u64, Document)> {
    let entries = plan.entries.iter();
    let entries = entries.filter(|entry| matches!(entry.kind, Kind::Edited | Kind::Deleted));
    let updates = entries.filter_map(|entry| {
        let of = entry.of?.unsigned_abs();
        let body = plan
            .state
            .messages
            .get(&of)?
            .body
            .as_deref()
            .unwrap_or_default();
        Some((block_of(of), touch(room, of, entry.seq(), body)?))
    });
    updates.collect()
}

/// Updates of the reactions that a plan has changed.
pub fn updates_of_reactions(room: &RoomId, plan: &Plan) -> Vec<Document> {
    let reactions = plan.reactions.iter();
    let reactions = reactions.filter_map(|name| plan.state.reactions.get_key_value(name));
    let updates = reactions.map(|((of, user, emoji), reaction)| {
        let key = doc! { "_id": reaction_key(room, *of, user, emoji), "roomId": room.as_str() };
        let set = doc! { "present": reaction.present, "seq": reaction.seq };
        doc! { "q": key, "u": { "$set": set }, "upsert": true }
    });
    updates.collect()
}

/// The fields of a message that changes, as they are now.
fn state_of(message: &EntryDocument) -> Outcome<Document> {
    let mut state = doc! {
        "body": message.body.as_deref().unwrap_or_default(),
        "mentions": message.mentions.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
    };
    let reactions = message.reactions.iter().map(|count| {
        serialize_to_document(count).map_err(|error| Failure::from(Error::from(error)))
    });
    state.insert("reactions", reactions.collect::<Outcome<Vec<_>>>()?);
    if let Some(attachments) = &message.attachments {
        state.insert("attachments", attachments);
    }
    if let Some(at) = message.edited_at {
        state.insert("editedAt", at);
    }
    if let (Some(at), Some(seq)) = (message.deleted_at, message.deleted_seq) {
        state.insert("deletedAt", at);
        state.insert("deletedSeq", seq);
    }
    Ok(state)
}
