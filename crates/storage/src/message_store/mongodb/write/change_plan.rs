//! The effects of changes to the messages of a room, one after another, on the state that a transaction has read. Pure: the
//! transaction may be tried several times, and each try makes its plan anew.

use std::collections::{HashMap, HashSet};

use protocol::{AttachmentId, RoomId, Timestamp, UserId};

use super::super::super::Change;
use super::super::super::attachment;
use super::super::super::change_rules::{Effect, OwnReaction, Target, check_emoji};
use super::super::documents::{
    EntryDocument, Kind, ReactionCount, ReactionDocument, ReactionKey, stored_seq,
};
use super::super::values::time;
use crate::StoreError;
use crate::error::cause;

/// The attachments of a message that had some.
const NO_ATTACHMENTS: &str = "[]";

/// A change that a member has requested, or what became of an attachment.
#[derive(Clone)]
pub struct Proposal {
    /// The id of its entry.
    pub id: String,
    pub actor: UserId,
    /// True if a block keeps the actor from writing in this room.
    pub blocked: bool,
    pub change: Change,
}

impl Proposal {
    /// The `seq` of the message.
    pub fn of(&self) -> u64 {
        match self.change {
            Change::Edit { of, .. }
            | Change::Process { of, .. }
            | Change::Delete { of, .. }
            | Change::React { of, .. } => of,
            Change::Send { .. } => 0,
        }
    }
}

/// A user's emoji on a message.
pub type ReactionName = (u64, UserId, String);

/// The messages and reactions that are to be changed.
#[derive(Clone, Default)]
pub struct State {
    pub messages: HashMap<u64, EntryDocument>,
    pub reactions: HashMap<ReactionName, ReactionDocument>,
}

/// What becomes of one change.
pub enum Decision {
    Refused(StoreError),
    /// It has been so since the change at this `seq`.
    Nothing(u64),
    /// Likewise of an attachment: its message as it is.
    Processed(u64, Box<EntryDocument>),
    Recorded {
        seq: u64,
        /// Of an edit the message after it.
        message: Option<Box<EntryDocument>>,
        /// Of a deletion what was attached to the message.
        removed: Vec<AttachmentId>,
    },
}

/// The decisions about all changes, and what is to be written.
#[derive(Default)]
pub struct Plan {
    /// In the order of the proposals.
    pub decisions: Vec<Decision>,
    /// The entries of the log, in the order of their `seq`s.
    pub entries: Vec<EntryDocument>,
    /// Messages and reactions after all.
    pub state: State,
    /// Those of them that were changed.
    pub messages: HashSet<u64>,
    pub reactions: HashSet<ReactionName>,
    /// Messages of which no reaction is left.
    pub bare: HashSet<u64>,
}

impl Plan {
    /// Applies changes in their order to a state. `seqs` ascend, and are at least as many as there are proposals.
    pub fn new(
        room: &RoomId,
        proposals: &[Proposal],
        state: State,
        seqs: impl IntoIterator<Item = u64>,
        at: Timestamp,
    ) -> Self {
        let mut plan = Self {
            state,
            ..Self::default()
        };
        let mut seqs = seqs.into_iter().peekable();
        for proposal in proposals {
            let seq = seqs.peek().copied().unwrap_or(u64::MAX);
            let decision = match plan.apply(room, proposal, seq, at) {
                Ok(decision) => decision,
                Err(refusal) => Decision::Refused(refusal),
            };
            if matches!(decision, Decision::Recorded { .. }) {
                seqs.next();
            }
            plan.decisions.push(decision);
        }
        plan
    }

    fn apply(
        &mut self,
        room: &RoomId,
        proposal: &Proposal,
        seq: u64,
        at: Timestamp,
    ) -> Result<Decision, StoreError> {
        let of = proposal.of();
        let message = self
            .state
            .messages
            .get_mut(&of)
            .ok_or(StoreError::NotFound)?;
        let target = Target {
            is_own: message.sender_id.as_ref() == Some(&proposal.actor),
            deleted_seq: message.deleted_seq.map(i64::unsigned_abs),
            blocked: proposal.blocked,
        };
        match &proposal.change {
            Change::Edit { body, .. } => {
                target.edit()?;
                message.body = Some(body.clone());
                message.edited_at = Some(time(at));
                let message = Some(Box::new(message.clone()));
                self.messages.insert(of);
                self.enter(room, proposal, Kind::Edited, None, seq, at);
                Ok(Decision::Recorded {
                    seq,
                    message,
                    removed: Vec::new(),
                })
            }
            Change::Process {
                attachment: processed,
                ..
            } => {
                let mut attachments = attachment::from_text(message.attachments.as_deref())
                    .map_err(|error| StoreError::Corrupt(cause(error)))?;
                if let Effect::None(seq) = target.process(&mut attachments, processed, seq)? {
                    return Ok(Decision::Processed(seq, Box::new(message.clone())));
                }
                message.attachments = attachment::to_text(&attachments);
                let message = Some(Box::new(message.clone()));
                self.messages.insert(of);
                self.enter(room, proposal, Kind::Processed, None, seq, at);
                Ok(Decision::Recorded {
                    seq,
                    message,
                    removed: Vec::new(),
                })
            }
            Change::Delete { moderator, .. } => {
                if let Effect::None(seq) = target.delete(*moderator)? {
                    return Ok(Decision::Nothing(seq));
                }
                let removed = attachment::from_text(message.attachments.as_deref())
                    .map_err(|error| StoreError::Corrupt(cause(error)))?;
                message.body = Some(String::new());
                message.mentions = Vec::new();
                // Kept as a field, for the update to replace it.
                if let Some(text) = &mut message.attachments {
                    *text = NO_ATTACHMENTS.to_owned();
                }
                message.reactions = Vec::new();
                message.deleted_at = Some(time(at));
                message.deleted_seq = Some(stored_seq(seq));
                self.messages.insert(of);
                self.bare.insert(of);
                self.reactions.retain(|(message, ..)| *message != of);
                self.state
                    .reactions
                    .retain(|(message, ..), _| *message != of);
                self.enter(room, proposal, Kind::Deleted, None, seq, at);
                Ok(Decision::Recorded {
                    seq,
                    message: None,
                    removed: removed
                        .into_iter()
                        .map(|attachment| attachment.id)
                        .collect(),
                })
            }
            Change::React { emoji, on, .. } => {
                let reactions = &mut self.state.reactions;
                let name = |spelling| (of, proposal.actor.clone(), spelling);
                let own = text::spellings(emoji).into_iter().filter_map(|spelling| {
                    let reaction = reactions.get(&name(spelling.clone()))?;
                    Some(OwnReaction {
                        spelling,
                        present: reaction.present,
                        seq: reaction.seq.unsigned_abs(),
                    })
                });
                let own: Vec<OwnReaction> = own.collect();
                let spellings = match target.react(of, emoji, &own, *on)? {
                    Effect::None(seq) => return Ok(Decision::Nothing(seq)),
                    Effect::Change(spellings) => spellings,
                };
                for name in spellings.into_iter().map(name) {
                    count(&mut message.reactions, &name.2, *on, seq)?;
                    let reaction = reaction(room, &name, *on, seq);
                    reactions.insert(name.clone(), reaction);
                    self.reactions.insert(name);
                }
                self.messages.insert(of);
                let kind = if *on { Kind::Reacted } else { Kind::Unreacted };
                self.enter(room, proposal, kind, Some(emoji.clone()), seq, at);
                Ok(Decision::Recorded {
                    seq,
                    message: None,
                    removed: Vec::new(),
                })
            }
            Change::Send { .. } => Err(StoreError::internal("a message among changes")),
        }
    }

    fn enter(
        &mut self,
        room: &RoomId,
        proposal: &Proposal,
        kind: Kind,
        emoji: Option<String>,
        seq: u64,
        at: Timestamp,
    ) {
        self.entries.push(EntryDocument {
            of: Some(stored_seq(proposal.of())),
            actor_id: Some(proposal.actor.clone()),
            attachment: match &proposal.change {
                Change::Process { attachment, .. } => Some(attachment.id.clone()),
                _ => None,
            },
            emoji,
            ..EntryDocument::new(room, seq, kind, proposal.id.clone(), at)
        });
    }
}

fn reaction(room: &RoomId, name: &ReactionName, present: bool, seq: u64) -> ReactionDocument {
    let (of, user, emoji) = name;
    ReactionDocument {
        key: ReactionKey {
            r: room.clone(),
            s: stored_seq(*of),
            u: user.clone(),
            e: emoji.clone(),
        },
        room_id: room.clone(),
        present,
        seq: stored_seq(seq),
    }
}

/// Counts one more, or one less, of an emoji.
fn count(
    counts: &mut Vec<ReactionCount>,
    emoji: &str,
    on: bool,
    seq: u64,
) -> Result<(), StoreError> {
    let different = counts.len();
    match counts.iter_mut().find(|count| count.e == emoji) {
        Some(count) => count.n += if on { 1 } else { -1 },
        None if !on => {}
        None => {
            check_emoji(different, false)?;
            counts.push(ReactionCount {
                e: emoji.to_owned(),
                n: 1,
                f: stored_seq(seq),
            });
        }
    }
    counts.retain(|count| count.n > 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "❤";
    const FULL: &str = "❤\u{fe0f}";

    fn plan(on: bool, put_as: &str) -> Plan {
        let (room, ann) = (RoomId::trusted("r"), UserId::trusted("ann"));
        let at = Timestamp::from_unix_ms(0);
        let mut message = EntryDocument::new(&room, 1, Kind::Message, "m".to_owned(), at);
        count(&mut message.reactions, put_as, true, 2).unwrap();
        let name = (1, ann.clone(), put_as.to_owned());
        let state = State {
            messages: HashMap::from([(1, message)]),
            reactions: HashMap::from([(name.clone(), reaction(&room, &name, true, 2))]),
        };
        let proposal = Proposal {
            id: "p".to_owned(),
            actor: ann,
            blocked: false,
            change: Change::React {
                of: 1,
                emoji: FULL.to_owned(),
                on,
            },
        };
        Plan::new(&room, &[proposal], state, 3.., at)
    }

    #[test]
    fn an_emoji_that_was_put_in_another_spelling_is_there_and_can_be_taken_back() {
        for put_as in [OLD, FULL] {
            let again = plan(true, put_as);
            assert!(
                matches!(again.decisions[0], Decision::Nothing(2)),
                "{put_as}"
            );
            let back = plan(false, put_as);
            assert_eq!(back.state.messages[&1].reactions, []);
            let name = (1, UserId::trusted("ann"), put_as.to_owned());
            assert_eq!(back.reactions, HashSet::from([name.clone()]));
            assert!(!back.state.reactions[&name].present);
            assert_eq!(back.entries[0].emoji.as_deref(), Some(FULL));
        }
    }
}
