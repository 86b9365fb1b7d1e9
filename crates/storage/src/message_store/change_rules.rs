//! What may be done to a message that is in a log, and what it changes: the same for every back end. Pure.

use super::{AttachmentState, StoredAttachment};
use crate::StoreError;

/// Different emoji on one message, at most.
const EMOJI_PER_MESSAGE: usize = 20;

/// A message that somebody wants to change, as the rules see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// True if the actor has sent it.
    pub is_own: bool,
    /// The `seq` of its deletion.
    pub deleted_seq: Option<u64>,
    /// True if a block keeps the actor from writing in the room.
    pub blocked: bool,
}

/// One user's reaction to a message with one spelling of an emoji.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnReaction {
    pub spelling: String,
    /// False if it was taken back.
    pub present: bool,
    /// The `seq` at which it last changed.
    pub seq: u64,
}

/// The effect of a request that is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect<T> {
    /// It has had this effect since the entry of this `seq`; nothing is recorded.
    None(u64),
    /// It is recorded.
    Change(T),
}

impl Target {
    /// An edit: of the sender's own message, unless it was deleted.
    pub(super) fn edit(&self) -> Result<(), StoreError> {
        if !self.is_own || self.blocked {
            return Err(StoreError::Forbidden);
        }
        self.must_not_be_deleted()
    }

    /// A deletion: by the sender or a moderator.
    pub(super) fn delete(&self, is_moderator: bool) -> Result<Effect<()>, StoreError> {
        if !self.is_own && !is_moderator {
            return Err(StoreError::Forbidden);
        }
        match self.deleted_seq {
            Some(seq) => Ok(Effect::None(seq)),
            None if self.blocked => Err(StoreError::Forbidden),
            None => Ok(Effect::Change(())),
        }
    }

    /// An attachment that was processed takes its place among the others of its message, at this `seq`.
    pub(super) fn process(
        &self,
        attachments: &mut [StoredAttachment],
        processed: &StoredAttachment,
        seq: u64,
    ) -> Result<Effect<()>, StoreError> {
        self.must_not_be_deleted()?;
        let place = attachments
            .iter_mut()
            .find(|attachment| attachment.id == processed.id)
            .ok_or(StoreError::NotFound)?;
        match (&place.state, place.processed_seq) {
            (AttachmentState::Processing, _) => {
                *place = StoredAttachment {
                    processed_seq: Some(seq),
                    ..processed.clone()
                };
                Ok(Effect::Change(()))
            }
            (_, Some(earlier)) => Ok(Effect::None(earlier)),
            // It was ready when it was sent.
            (_, None) => Err(StoreError::conflict(
                "attachments",
                "it was processed before",
            )),
        }
    }

    /// Adding a reaction (`on`) to the message `of` with an emoji in its full spelling, or taking it back: the spellings
    /// that change. `own` are the actor's reactions in all spellings; they may be older than the rule that an emoji has
    /// one.
    pub(super) fn react(
        &self,
        of: u64,
        emoji: &str,
        own: &[OwnReaction],
        on: bool,
    ) -> Result<Effect<Vec<String>>, StoreError> {
        if self.blocked {
            return Err(StoreError::Forbidden);
        }
        self.must_not_be_deleted()?;
        let mut present = own.iter().filter(|reaction| reaction.present).peekable();
        if present.peek().is_some() == on {
            let last = own.iter().map(|reaction| reaction.seq).max();
            return Ok(Effect::None(last.unwrap_or(of)));
        }
        Ok(Effect::Change(match on {
            true => vec![emoji.to_owned()],
            false => present.map(|reaction| reaction.spelling.clone()).collect(),
        }))
    }

    fn must_not_be_deleted(&self) -> Result<(), StoreError> {
        match self.deleted_seq {
            Some(_) => Err(StoreError::conflict("seq", "the message was deleted")),
            None => Ok(()),
        }
    }
}

/// Refuses another emoji on a message that has too many.
pub(super) fn check_emoji(different: usize, is_there: bool) -> Result<(), StoreError> {
    if different >= EMOJI_PER_MESSAGE && !is_there {
        let message = "the message already has 20 different emoji";
        return Err(StoreError::conflict("emoji", message));
    }
    Ok(())
}

/// The refusal of an answer to something that isn't a message of the room.
pub(super) fn no_such_message() -> StoreError {
    StoreError::conflict("replyTo", "no such message in this room")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Target = Target {
        is_own: true,
        deleted_seq: None,
        blocked: false,
    };

    fn own(spelling: &str, present: bool, seq: u64) -> OwnReaction {
        OwnReaction {
            spelling: spelling.to_owned(),
            present,
            seq,
        }
    }

    #[test]
    fn senders_edit_what_is_not_deleted() {
        let foreign = Target {
            is_own: false,
            ..OWN
        };
        let blocked = Target {
            blocked: true,
            ..OWN
        };
        let deleted = Target {
            deleted_seq: Some(5),
            ..OWN
        };
        assert!(OWN.edit().is_ok());
        assert!(matches!(foreign.edit(), Err(StoreError::Forbidden)));
        assert!(matches!(blocked.edit(), Err(StoreError::Forbidden)));
        let conflict = deleted.edit();
        assert!(matches!(
            conflict,
            Err(StoreError::Conflict { field: "seq", .. })
        ));
    }

    #[test]
    fn a_deletion_has_an_effect_once() {
        let foreign = Target {
            is_own: false,
            ..OWN
        };
        assert_eq!(OWN.delete(false).unwrap(), Effect::Change(()));
        assert_eq!(foreign.delete(true).unwrap(), Effect::Change(()));
        assert!(matches!(foreign.delete(false), Err(StoreError::Forbidden)));
        // Also in a room that a block has closed since: nothing happens any more.
        let deleted = Target {
            deleted_seq: Some(5),
            blocked: true,
            ..OWN
        };
        assert_eq!(deleted.delete(false).unwrap(), Effect::None(5));
        let blocked = Target {
            blocked: true,
            ..OWN
        };
        assert!(matches!(blocked.delete(true), Err(StoreError::Forbidden)));
    }

    #[test]
    fn a_reaction_is_there_once_in_whatever_spelling() {
        let react = |known: &[OwnReaction], on| OWN.react(1, "full", known, on).unwrap();
        let full = || Effect::Change(vec!["full".to_owned()]);
        assert_eq!(react(&[], true), full());
        assert_eq!(react(&[own("full", false, 3)], true), full());
        // What was never there is answered with the message.
        assert_eq!(react(&[], false), Effect::None(1));
        assert_eq!(react(&[own("full", false, 3)], false), Effect::None(3));
        let old = [own("old", true, 2), own("full", false, 7)];
        assert_eq!(react(&old, true), Effect::None(7));
        assert_eq!(react(&old, false), Effect::Change(vec!["old".to_owned()]));
    }

    #[test]
    fn nobody_reacts_to_a_deleted_message_or_in_spite_of_a_block() {
        let deleted = Target {
            deleted_seq: Some(5),
            ..OWN
        };
        let refused = deleted.react(1, "full", &[], true);
        assert!(matches!(refused, Err(StoreError::Conflict { .. })));
        let blocked = Target {
            blocked: true,
            ..OWN
        };
        let refused = blocked.react(1, "full", &[], true);
        assert!(matches!(refused, Err(StoreError::Forbidden)));
    }

    #[test]
    fn a_message_has_twenty_emoji() {
        assert!(check_emoji(19, false).is_ok());
        assert!(check_emoji(20, true).is_ok());
        assert!(check_emoji(20, false).is_err());
    }
}
