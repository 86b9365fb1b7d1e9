//! What instances tell each other of rooms and members, because each caches something of it or holds connections that it
//! concerns.

use protocol::{RoomId, UserId};

use crate::fleet::bus::{Kind, Malformed, Message, Reader, Writer};

/// A change of a room or of its members; sent to all instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomChange {
    /// A member's role changed, or somebody became a member.
    MemberChanged {
        /// The room.
        room: RoomId,
        /// The member.
        user: UserId,
    },
    /// These users are no longer members; at most [`RoomChange::USERS`].
    MembersRemoved {
        /// The room.
        room: RoomId,
        /// The users.
        users: Vec<UserId>,
    },
    /// A room was renamed, or a direct room was closed by a block or opened again.
    Changed(RoomId),
    /// A room was deleted.
    Deleted(RoomId),
}

impl RoomChange {
    /// Users in one message, at most.
    pub const USERS: usize = 5_000;

    /// The kinds of these messages.
    pub const KINDS: [Kind; 5] = [
        Kind::MEMBER_CHANGED,
        Kind::MEMBER_REMOVED,
        Kind::MEMBERS_REMOVED,
        Kind::ROOM_CHANGED,
        Kind::ROOM_DELETED,
    ];

    /// A user is no longer a member.
    pub fn removed(room: &RoomId, user: &UserId) -> Self {
        Self::MembersRemoved {
            room: room.clone(),
            users: vec![user.clone()],
        }
    }

    /// Reads a change of one of [`RoomChange::KINDS`].
    ///
    /// # Errors
    /// If the fields aren't those of its kind.
    pub fn read(kind: Kind, fields: &mut Reader<'_>) -> Result<Self, Malformed> {
        let room = RoomId::trusted(fields.text()?);
        Ok(match kind {
            Kind::MEMBER_CHANGED => Self::MemberChanged {
                room,
                user: UserId::trusted(fields.text()?),
            },
            Kind::MEMBER_REMOVED | Kind::MEMBERS_REMOVED => {
                let mut users = Vec::new();
                while !fields.is_empty() {
                    users.push(UserId::trusted(fields.text()?));
                }
                Self::MembersRemoved { room, users }
            }
            Kind::ROOM_CHANGED => Self::Changed(room),
            Kind::ROOM_DELETED => Self::Deleted(room),
            _ => return Err(Malformed),
        })
    }
}

impl Message for RoomChange {
    fn kind(&self) -> Kind {
        match self {
            Self::MemberChanged { .. } => Kind::MEMBER_CHANGED,
            // The only kind that instances of version 1 know from its beginning.
            Self::MembersRemoved { users, .. } if users.len() == 1 => Kind::MEMBER_REMOVED,
            Self::MembersRemoved { .. } => Kind::MEMBERS_REMOVED,
            Self::Changed(_) => Kind::ROOM_CHANGED,
            Self::Deleted(_) => Kind::ROOM_DELETED,
        }
    }

    fn write(&self, fields: &mut Writer<'_>) {
        match self {
            Self::MemberChanged { room, user } => {
                fields.text(room.as_str());
                fields.text(user.as_str());
            }
            Self::MembersRemoved { room, users } => {
                fields.text(room.as_str());
                for user in users {
                    fields.text(user.as_str());
                }
            }
            Self::Changed(room) | Self::Deleted(room) => fields.text(room.as_str()),
        }
    }
}

/// A member who isn't subscribed to the room has something to read; sent on the user's topic.
#[derive(Debug, PartialEq, Eq)]
pub struct UnreadMessage {
    /// The room.
    pub room: RoomId,
    /// The last `seq` of its log.
    pub head_seq: u64,
}

impl UnreadMessage {
    /// Reads the message.
    ///
    /// # Errors
    /// If the fields aren't its own.
    pub fn read(fields: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            room: RoomId::trusted(fields.text()?),
            head_seq: fields.number()?,
        })
    }
}

impl Message for UnreadMessage {
    fn kind(&self) -> Kind {
        Kind::UNREAD
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.text(self.room.as_str());
        fields.number(self.head_seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::bus::round_trip;

    #[test]
    fn changes_cross_the_bus_unchanged() {
        let (room, user) = (RoomId::trusted("r-1"), UserId::trusted("ana"));
        let changes = [
            RoomChange::MemberChanged {
                room: room.clone(),
                user: user.clone(),
            },
            RoomChange::removed(&room, &user),
            RoomChange::MembersRemoved {
                room: room.clone(),
                users: vec![user, UserId::trusted("bea")],
            },
            RoomChange::Changed(room.clone()),
            RoomChange::Deleted(room.clone()),
        ];
        for change in changes {
            let read = |kind, mut fields: Reader<'_>| RoomChange::read(kind, &mut fields);
            assert!(RoomChange::KINDS.contains(&change.kind()));
            assert_eq!(round_trip(&change, read), change);
        }
        let unread = UnreadMessage { room, head_seq: 9 };
        let read = |_, mut fields: Reader<'_>| UnreadMessage::read(&mut fields);
        assert_eq!(round_trip(&unread, read), unread);
    }
}
