//! Messages between instances, as bytes.
//!
//! A message is its kind (u8), its length (u32) and its fields: a reader skips kinds that it doesn't know, so that a newer
//! version may add some. Texts are a length (u32) and their bytes, numbers are big-endian. Events come ready to write:
//! who receives one encodes nothing, it only puts a frame's header before it. Bytes rather than JSON, since a payload
//! inside JSON would be scanned once more for every instance that it goes to.

/// A kind of message. A number belongs to one kind for good, as other versions of the program read it. What its fields
/// are is known to the component that sends and receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(u8);

impl Kind {
    /// `chat`: a durable event of a room.
    pub const ROOM_EVENT: Self = Self(1);
    /// `delivery`: an event for a topic's subscribers that is in no log.
    pub const TOPIC_EVENT: Self = Self(2);
    /// `chat`: a member has something to read.
    pub const UNREAD: Self = Self(3);
    /// `chat`: who is online in a room changed.
    pub const PRESENCE: Self = Self(4);
    /// `auth`: a session has ended.
    pub const SESSION_REVOKED: Self = Self(5);
    /// `chat`: a member's role changed.
    pub const MEMBER_CHANGED: Self = Self(6);
    /// `chat`: somebody is no longer a member.
    pub const MEMBER_REMOVED: Self = Self(7);
    /// `chat`: a room changed.
    pub const ROOM_CHANGED: Self = Self(8);
    /// `chat`: a room was deleted.
    pub const ROOM_DELETED: Self = Self(9);
    /// `accounts`: a user changed.
    pub const USER_CHANGED: Self = Self(10);
    /// The bus itself: messages were lost on their way from the sender.
    pub(super) const LOST: Self = Self(11);
    /// `chat`: several users are no longer members.
    pub const MEMBERS_REMOVED: Self = Self(12);
    /// `circuits`: a circuit breaker opened, closed or was set.
    pub const CIRCUIT: Self = Self(13);
    /// `cache`: a cached value has changed.
    pub const CACHE_INVALIDATED: Self = Self(14);
    /// `instances`: an instance has claimed its lease.
    pub const INSTANCE_JOINED: Self = Self(15);
    /// `limits`: an administrator cleared a rate limit.
    pub const RATE_LIMIT_CLEARED: Self = Self(20);
    /// `publish`: keys of other programs were made or revoked.
    pub const API_KEYS_CHANGED: Self = Self(30);
}

/// Something that instances send each other.
pub trait Message {
    /// Its kind.
    fn kind(&self) -> Kind;
    /// Writes its fields.
    fn write(&self, fields: &mut Writer<'_>);
}

/// Bytes that no instance of a known version writes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the bus is malformed")]
pub struct Malformed;

const HEAD: usize = 5;

/// Appends a message.
pub(super) fn append(bytes: &mut Vec<u8>, message: &impl Message) {
    let start = bytes.len();
    bytes.push(message.kind().0);
    bytes.extend_from_slice(&[0; HEAD - 1]);
    message.write(&mut Writer(bytes));
    let length = (bytes.len() - start - HEAD) as u32;
    bytes[start + 1..start + HEAD].copy_from_slice(&length.to_be_bytes());
}

/// Takes the next message off `bytes`: its kind and its fields.
pub(super) fn take<'a>(bytes: &mut &'a [u8]) -> Result<(Kind, Reader<'a>), Malformed> {
    let mut outer = Reader(bytes);
    let kind = Kind(outer.byte()?);
    let length = outer.length()?;
    let fields = Reader(outer.bytes(length)?);
    *bytes = outer.0;
    Ok((kind, fields))
}

/// Writes the fields of a message.
pub struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    /// Appends a number.
    pub fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// Appends a flag.
    pub fn flag(&mut self, flag: bool) {
        self.0.push(flag.into());
    }

    /// Appends a text.
    pub fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u32).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// Reads the fields of a message in the order that they were written in.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// True if there are no more fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field, a number.
    ///
    /// # Errors
    /// If the message ends before it does.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let bytes = self.bytes(8)?.try_into().map_err(|_| Malformed)?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// The next field, a flag.
    ///
    /// # Errors
    /// If the message ends before it.
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.byte()? != 0)
    }

    /// The next field, a text.
    ///
    /// # Errors
    /// If the message ends before it does, or it isn't UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.length()?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.bytes(1)?.first().copied().ok_or(Malformed)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let bytes = self.bytes(4)?.try_into().map_err(|_| Malformed)?;
        Ok(u32::from_be_bytes(bytes) as usize)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// What `message` is read as on another instance, and on one that gets only part of it.
#[cfg(test)]
pub fn round_trip<T: PartialEq + std::fmt::Debug>(
    message: &impl Message,
    read: impl Fn(Kind, Reader<'_>) -> Result<T, Malformed>,
) -> T {
    let mut bytes = Vec::new();
    append(&mut bytes, message);
    append(&mut bytes, message);
    let mut rest = bytes.as_slice();
    let (kind, fields) = take(&mut rest).unwrap();
    assert_eq!(kind, message.kind());
    let received = read(kind, fields).unwrap();
    let (kind, fields) = take(&mut rest).unwrap();
    assert_eq!(read(kind, fields).as_ref(), Ok(&received));
    assert!(rest.is_empty());
    received
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Sample;

    impl Message for Sample {
        fn kind(&self) -> Kind {
            Kind(200)
        }

        fn write(&self, fields: &mut Writer<'_>) {
            fields.number(7);
            fields.text("ñandú");
            fields.flag(true);
            fields.text("");
        }
    }

    fn read(mut fields: Reader<'_>) -> Result<Sample, Malformed> {
        let all = (
            fields.number()?,
            fields.text()?,
            fields.flag()?,
            fields.text()?,
        );
        assert_eq!(all, (7, "ñandú", true, ""));
        assert!(fields.is_empty());
        Ok(Sample)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(round_trip(&Sample, |_, fields| read(fields)), Sample);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let mut bytes = Vec::new();
        append(&mut bytes, &Sample);
        for end in 0..bytes.len() {
            assert!(take(&mut &bytes[..end]).is_err(), "{end}");
        }
        for missing in 1..bytes.len() - HEAD {
            // A length that leads out of the message.
            let mut short = bytes[..bytes.len() - missing].to_vec();
            short[HEAD - 1] -= missing as u8;
            let (_, fields) = take(&mut short.as_slice()).unwrap();
            assert_eq!(read(fields), Err(Malformed), "{missing}");
        }
    }
}
