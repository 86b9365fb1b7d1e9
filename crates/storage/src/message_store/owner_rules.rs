//! Who owns a room, whoever leaves: the same for every back end. Pure.

use protocol::RoomRole;

use crate::StoreError;

/// Whose turn it is to own a room without an owner: of the first of these roles that anybody has, the member who has been
/// there longest, and of several the one with the smallest id.
pub(super) const SUCCESSION: [RoomRole; 2] = [RoomRole::Moderator, RoomRole::Member];

/// True if a change between these roles, absent for a user who isn't a member, may leave the room without an owner.
pub(super) fn concerns_owners(before: Option<RoomRole>, after: Option<RoomRole>) -> bool {
    before != after && (before == Some(RoomRole::Owner) || after == Some(RoomRole::Owner))
}

/// Refuses a change of roles after which a room has no owner.
pub(super) fn require_owner(has_owner: bool) -> Result<(), StoreError> {
    match has_owner {
        true => Ok(()),
        false => Err(StoreError::conflict("role", "a room needs an owner")),
    }
}

/// Only an owner deletes a room; to others who aren't members it doesn't exist.
pub(super) fn may_delete(role: Option<RoomRole>) -> Result<(), StoreError> {
    match role {
        Some(RoomRole::Owner) => Ok(()),
        Some(_) => Err(StoreError::Forbidden),
        None => Err(StoreError::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_to_or_from_owners_concern_them() {
        use RoomRole::{Member, Moderator, Owner};
        for (before, after, concerns) in [
            (Some(Owner), None, true),
            (Some(Owner), Some(Member), true),
            (Some(Member), Some(Owner), true),
            (Some(Owner), Some(Owner), false),
            (Some(Moderator), None, false),
            (Some(Member), Some(Moderator), false),
        ] {
            assert_eq!(concerns_owners(before, after), concerns);
        }
    }

    #[test]
    fn owners_alone_delete_rooms() {
        assert!(may_delete(Some(RoomRole::Owner)).is_ok());
        let moderator = may_delete(Some(RoomRole::Moderator));
        assert!(matches!(moderator, Err(StoreError::Forbidden)));
        assert!(matches!(may_delete(None), Err(StoreError::NotFound)));
    }
}
