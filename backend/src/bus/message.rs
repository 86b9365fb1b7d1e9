//! What instances tell each other, and its bytes.
//!
//! Events come ready to write: who receives one encodes nothing, it only puts a frame's header before it. Bytes rather
//! than JSON, since a payload inside JSON would be scanned once more for every instance that it goes to.
//!
//! Texts are a length (u32) and their bytes, numbers are big-endian. A message is its kind (u8), its length (u32), and
//! its fields: a reader skips kinds that it doesn't know, so that a newer writer can add some.

use protocol::{RoomId, SessionId, UserId};

use super::Control;

/// One message between instances.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A durable event of a room, for its subscribers in the order of its log.
    Event(Event<'a>),
    /// An event for the subscribers of a topic, at most once.
    Notice(Notice<'a>),
    /// A member of the room who isn't subscribed has something to read; sent on the user's topic.
    Unread {
        /// The room.
        room: RoomId,
        /// How far its log goes.
        head_seq: u64,
    },
    /// Who is online in the room changed; sent on its topic.
    Presence,
    /// Messages of this topic were lost on their way from the sender, or of all topics; sent on the topic, or to
    /// everybody.
    Lost {
        /// Of all topics.
        all: bool,
    },
    /// Something that every instance has to know.
    Control(Control),
}

/// A durable event in its final form.
#[derive(PartialEq, Eq)]
pub struct Event<'a> {
    /// Its place in the log.
    pub seq: u64,
    /// The message whose text it changed.
    pub rewrites: Option<u64>,
    /// The event's name.
    pub name: &'a str,
    /// Its payload as JSON.
    pub payload: &'a str,
    /// Who sees another payload, and that payload.
    pub own: Option<(&'a str, &'a str)>,
}

/// Without the payloads, which must not reach a log.
impl std::fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({} {})", self.name, self.seq)
    }
}

/// An event that is in no log.
#[derive(PartialEq, Eq)]
pub struct Notice<'a> {
    /// The namespace of its subscribers.
    pub namespace: &'a str,
    /// The event's name.
    pub name: &'a str,
    /// Its arguments as JSON.
    pub arguments: &'a str,
    /// Whether it is the first to go when a client reads too slowly.
    pub volatile: bool,
    /// Subscribers of this topic don't get it.
    pub unless: Option<&'a str>,
}

/// Without the arguments, which must not reach a log.
impl std::fmt::Debug for Notice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notice({})", self.name)
    }
}

/// Bytes that no instance of a version we know writes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the bus is malformed")]
pub struct Malformed;

mod kind {
    pub const EVENT: u8 = 1;
    pub const NOTICE: u8 = 2;
    pub const UNREAD: u8 = 3;
    pub const PRESENCE: u8 = 4;
    pub const SESSION_REVOKED: u8 = 5;
    pub const MEMBER_CHANGED: u8 = 6;
    pub const MEMBER_REMOVED: u8 = 7;
    pub const ROOM_CHANGED: u8 = 8;
    pub const ROOM_DELETED: u8 = 9;
    pub const USER_CHANGED: u8 = 10;
    pub const LOST: u8 = 11;
    pub const MEMBERS_REMOVED: u8 = 12;
}

impl<'a> Message<'a> {
    /// Appends the message's bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 5]);
        let kind = match self {
            Self::Event(event) => {
                number(bytes, event.seq);
                number(bytes, event.rewrites.unwrap_or(0));
                text(bytes, event.name);
                text(bytes, event.payload);
                let (actor, own) = event.own.unwrap_or_default();
                text(bytes, actor);
                text(bytes, own);
                kind::EVENT
            }
            Self::Notice(notice) => {
                text(bytes, notice.namespace);
                text(bytes, notice.name);
                text(bytes, notice.arguments);
                bytes.push(notice.volatile.into());
                text(bytes, notice.unless.unwrap_or_default());
                kind::NOTICE
            }
            Self::Unread { room, head_seq } => {
                text(bytes, room.as_str());
                number(bytes, *head_seq);
                kind::UNREAD
            }
            Self::Presence => kind::PRESENCE,
            Self::Lost { all } => {
                bytes.push((*all).into());
                kind::LOST
            }
            Self::Control(control) => write_control(bytes, control),
        };
        let length = (bytes.len() - start - 5) as u32;
        bytes[start] = kind;
        bytes[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
    }

    /// Takes the next message off `bytes`; `None` for one of an unknown kind.
    ///
    /// # Errors
    /// If the bytes end in the middle of it.
    pub fn read(bytes: &mut &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut outer = Reader(bytes);
        let kind = outer.byte()?;
        let length = outer.length()?;
        let mut fields = Reader(outer.take(length)?);
        *bytes = outer.0;
        let message = match kind {
            kind::EVENT => Self::Event(Event {
                seq: fields.number()?,
                rewrites: Some(fields.number()?).filter(|seq| *seq > 0),
                name: fields.text()?,
                payload: fields.text()?,
                own: Some((fields.text()?, fields.text()?)).filter(|(actor, _)| !actor.is_empty()),
            }),
            kind::NOTICE => Self::Notice(Notice {
                namespace: fields.text()?,
                name: fields.text()?,
                arguments: fields.text()?,
                volatile: fields.byte()? != 0,
                unless: Some(fields.text()?).filter(|topic| !topic.is_empty()),
            }),
            kind::UNREAD => Self::Unread {
                room: RoomId::trusted(fields.text()?),
                head_seq: fields.number()?,
            },
            kind::PRESENCE => Self::Presence,
            kind::LOST => Self::Lost {
                all: fields.byte()? != 0,
            },
            kind => match read_control(kind, &mut fields)? {
                Some(control) => Self::Control(control),
                None => return Ok(None),
            },
        };
        Ok(Some(message))
    }
}

fn write_control(bytes: &mut Vec<u8>, control: &Control) -> u8 {
    match control {
        Control::SessionRevoked(session) => {
            text(bytes, session.as_str());
            kind::SESSION_REVOKED
        }
        Control::MemberChanged { room, user, gone } => {
            text(bytes, room.as_str());
            text(bytes, user.as_str());
            if *gone {
                kind::MEMBER_REMOVED
            } else {
                kind::MEMBER_CHANGED
            }
        }
        Control::MembersRemoved { room, users } => {
            text(bytes, room.as_str());
            for user in users {
                text(bytes, user.as_str());
            }
            kind::MEMBERS_REMOVED
        }
        Control::RoomChanged { room, deleted } => {
            text(bytes, room.as_str());
            if *deleted {
                kind::ROOM_DELETED
            } else {
                kind::ROOM_CHANGED
            }
        }
        Control::UserChanged(user) => {
            text(bytes, user.as_str());
            kind::USER_CHANGED
        }
    }
}

fn read_control(kind: u8, fields: &mut Reader<'_>) -> Result<Option<Control>, Malformed> {
    Ok(Some(match kind {
        kind::SESSION_REVOKED => Control::SessionRevoked(SessionId::trusted(fields.text()?)),
        kind::MEMBER_CHANGED | kind::MEMBER_REMOVED => Control::MemberChanged {
            room: RoomId::trusted(fields.text()?),
            user: UserId::trusted(fields.text()?),
            gone: kind == kind::MEMBER_REMOVED,
        },
        kind::MEMBERS_REMOVED => {
            let room = RoomId::trusted(fields.text()?);
            let mut users = Vec::new();
            while !fields.is_empty() {
                users.push(UserId::trusted(fields.text()?));
            }
            Control::MembersRemoved { room, users }
        }
        kind::ROOM_CHANGED | kind::ROOM_DELETED => Control::RoomChanged {
            room: RoomId::trusted(fields.text()?),
            deleted: kind == kind::ROOM_DELETED,
        },
        kind::USER_CHANGED => Control::UserChanged(UserId::trusted(fields.text()?)),
        _ => return Ok(None),
    }))
}

fn number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_be_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let bytes = self.take(4)?.try_into().map_err(|_| Malformed)?;
        Ok(u32::from_be_bytes(bytes) as usize)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?.try_into().map_err(|_| Malformed)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Message<'static>> {
        let (room, user) = (RoomId::trusted("r-1"), UserId::trusted("ana"));
        vec![
            Message::Event(Event {
                seq: 7,
                rewrites: Some(3),
                name: "message:edited",
                payload: r#"{"seq":7}"#,
                own: Some(("ana", r#"{"seq":7,"own":true}"#)),
            }),
            Message::Event(Event {
                seq: u64::MAX,
                rewrites: None,
                name: "room:void",
                payload: "{}",
                own: None,
            }),
            Message::Notice(Notice {
                namespace: "/",
                name: "typing:changed",
                arguments: r#"{"on":true}"#,
                volatile: true,
                unless: Some("room:r-1"),
            }),
            Message::Unread {
                room: room.clone(),
                head_seq: 9,
            },
            Message::Presence,
            Message::Lost { all: true },
            Message::Lost { all: false },
            Message::Control(Control::MembersRemoved {
                room: room.clone(),
                users: vec![user.clone(), UserId::trusted("bea")],
            }),
            Message::Control(Control::SessionRevoked(SessionId::trusted("s-1"))),
            Message::Control(Control::MemberChanged {
                room: room.clone(),
                user: user.clone(),
                gone: false,
            }),
            Message::Control(Control::MemberChanged {
                room: room.clone(),
                user: user.clone(),
                gone: true,
            }),
            Message::Control(Control::RoomChanged {
                room: room.clone(),
                deleted: false,
            }),
            Message::Control(Control::RoomChanged {
                room,
                deleted: true,
            }),
            Message::Control(Control::UserChanged(user)),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        for message in all() {
            message.write(&mut bytes);
        }
        let mut rest = bytes.as_slice();
        for message in all() {
            assert_eq!(Message::read(&mut rest), Ok(Some(message)));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn an_unknown_kind_is_skipped() {
        let mut bytes = vec![200, 0, 0, 0, 3, 1, 2, 3];
        Message::Presence.write(&mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(Message::read(&mut rest), Ok(None));
        assert_eq!(Message::read(&mut rest), Ok(Some(Message::Presence)));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for message in all() {
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            for end in 1..bytes.len() {
                assert_eq!(Message::read(&mut &bytes[..end]), Err(Malformed));
            }
            // Lengths inside that lead out of the message.
            if bytes.len() > 9 {
                let last = bytes.len() - 1;
                bytes[4] = bytes[4].wrapping_sub(1);
                assert_eq!(Message::read(&mut &bytes[..last]), Err(Malformed));
            }
        }
    }
}
