//! Bounds of what a client may send, in one place because three readers need the same number: the
//! `validate` of each request, the generated documents, and the server's storage.
//! "Characters" are Unicode scalar values.

/// The largest `seq`: the largest whole number that a JavaScript client holds exactly.
pub const SEQ_MAX: u64 = (1 << 53) - 1;

/// Characters of an id.
pub const ID_MAX: usize = 64;

/// Characters of a username, at least.
pub const USERNAME_MIN: usize = 3;
/// Characters of a username, at most.
pub const USERNAME_MAX: usize = 32;
/// Characters of a new password, at least.
pub const PASSWORD_MIN: usize = 8;
/// Characters of a password, at most.
pub const PASSWORD_MAX: usize = 128;
/// Characters of an access or refresh token, at most.
pub const TOKEN_MAX: usize = 4096;
/// Characters of a display name, at most.
pub const DISPLAY_NAME_MAX: usize = 64;
/// Characters of an e-mail address, at most: what fits an SMTP path.
pub const EMAIL_MAX: usize = 254;
/// Characters of the URL of an avatar, at most.
pub const AVATAR_URL_MAX: usize = 2048;

/// Characters of a room's name, at most.
pub const ROOM_NAME_MAX: usize = 128;
/// Members named when a room is created, at most.
pub const ROOM_INITIAL_MEMBERS_MAX: usize = 100;
/// Events in the answer to `room:join`, at most.
pub const MISSED_MAX: usize = 500;
/// Rooms in the `resume` of one connection, at most.
pub const RESUME_ROOMS_MAX: usize = 200;
/// Users named in the answer to `presence:get`, at most.
pub const ONLINE_MAX: usize = 100;

/// Characters of a message's body, at most.
pub const MESSAGE_BODY_MAX: usize = 16_000;
/// Characters of a `clientId`, at most.
pub const CLIENT_ID_MAX: usize = 64;
/// Users mentioned by one message, at most.
pub const MENTIONS_MAX: usize = 50;
/// Attachments of one message, at most.
pub const ATTACHMENTS_MAX: usize = 10;
/// Characters of the name of an uploaded file, at most.
pub const FILE_NAME_MAX: usize = 255;
/// Characters of a media type, at most.
pub const CONTENT_TYPE_MAX: usize = 127;
/// Bytes of an uploaded file, at most, whatever a server takes: what a bucket takes at once.
pub const UPLOAD_MAX: u64 = 5 << 30;
/// Bytes of an uploaded image, at most.
pub const IMAGE_MAX: u64 = 20 << 20;
/// Bytes of an emoji in UTF-8, at most: a couple with two skin tones takes 35.
pub const EMOJI_MAX: usize = 64;

/// Bytes of one page of any list as it's written: JSON, with what stands around the entries. A page ends at its number
/// of entries or here, whichever comes first.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Messages of one page of history unless the request says otherwise.
pub const HISTORY_DEFAULT: u32 = 50;
/// Messages of one page of history, at most.
pub const HISTORY_MAX: u32 = 200;
/// Events of one page of a room's log, at most and unless the request says otherwise.
pub const EVENTS_MAX: u32 = 500;
/// Characters of a search query, at most.
pub const SEARCH_QUERY_MAX: usize = 256;
/// Messages found by one search unless the request says otherwise.
pub const SEARCH_DEFAULT: u32 = 20;
/// Messages found by one search, at most.
pub const SEARCH_MAX: u32 = 100;
/// Users, rooms or members of one page unless the request says otherwise.
pub const PAGE_DEFAULT: u32 = 50;
/// Users, rooms or members of one page, at most.
pub const PAGE_MAX: u32 = 200;

/// Characters of the name of an event from outside, at most.
pub const PUBLISH_EVENT_MAX: usize = 128;
/// Bytes of what an event from outside carries, at most.
pub const PUBLISH_DATA_MAX: usize = 64 * 1024;

/// Entries of one page of the audit log, at most.
pub const AUDIT_PAGE_MAX: u32 = 200;
/// Characters of what entries of the audit log are looked for by, at most.
pub const AUDIT_TEXT_MAX: usize = 128;
/// The number of a numbered page, at most.
pub const PAGE_NUMBER_MAX: u32 = 1_000_000;

/// Notifications that one request marks as read, at most.
pub const READ_NOTIFICATIONS_MAX: usize = 200;
/// Characters of the name of a time zone, at most.
pub const TIME_ZONE_MAX: usize = 64;
/// Characters of the address or token at which a device is reached, at most.
pub const DEVICE_ADDRESS_MAX: usize = 2048;

/// Days of one read of roll-ups.
pub const ROLLUPS_MAX: i64 = 366;
