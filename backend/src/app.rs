//! Everything a request can need: one field per component.

use std::sync::Arc;

use gateway::{Hub, Peers};
use storage::{MessageStore, Sessions};

use crate::{
    access_tokens::AccessTokens,
    accounts::live_sessions::LiveSessions,
    bus::Bus,
    chat::{
        blocked_rooms::BlockedRooms, fan_out::FanOut, presence::Presence,
        reconciliation::Reconciliation, removals::Removals, room_feeds::RoomFeeds,
        search_turns::SearchTurns, unread::UnreadNotices,
    },
    config::Config,
    emitter::EmitterCounts,
    http::health::Health,
    instances::Instances,
    limits::Limits,
    operations::Metrics,
    passwords::Passwords,
    publish::Publishing,
    refresh_tokens::RefreshTokens,
    revocations::Revocations,
    sessions_seen::SessionsSeen,
    socket::Turns,
    startup::Startup,
    user_sockets::UserSockets,
};

/// The components of one server, shared by all that it serves.
pub struct App {
    /// The settings.
    pub config: Config,
    /// What is waited for before clients are taken.
    pub startup: Startup,
    /// How well the server works.
    pub health: Health,
    /// What is observed for the operations listener.
    pub metrics: Metrics,
    /// Topics of live connections.
    pub hub: Hub,
    /// Whose searches run or wait.
    pub search_turns: SearchTurns,
    /// Everything durable but sessions.
    pub store: MessageStore,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Signs and checks access tokens.
    pub access_tokens: AccessTokens,
    /// Makes and recognises refresh tokens.
    pub refresh_tokens: RefreshTokens,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// How much is allowed in a time.
    pub limits: Limits,
    /// Who may publish events from outside.
    pub publishing: Publishing,
    /// What became of the messages of Redis emitters.
    pub emitter_counts: EmitterCounts,
    /// Sessions that ended while their access tokens are still valid.
    pub revocations: Revocations,
    /// Sessions with connections here.
    pub live_sessions: LiveSessions,
    /// When sessions were last seen, until that is written.
    pub sessions_seen: SessionsSeen,
    /// The way to other instances.
    pub bus: Bus,
    /// The instances that live.
    pub instances: Instances,
    /// Where the gateway finds other instances.
    pub peers: Peers,
    /// Where users are connected here.
    pub user_sockets: UserSockets,
    /// Takes what became durable to the rooms.
    pub fan_out: FanOut,
    /// Rooms with subscribers here.
    pub feeds: RoomFeeds,
    /// Connections that come back to their rooms, one after the other.
    pub resuming: Turns,
    /// Who was removed from a room lately.
    pub removals: Removals,
    /// Who is online in which room.
    pub presence: Presence,
    /// Compares who is subscribed with who is a member.
    pub reconciliation: Reconciliation,
    /// Direct rooms that a block closes.
    pub blocked_rooms: BlockedRooms,
    /// Rooms whose members elsewhere have to learn of news.
    pub unread_notices: UnreadNotices,
}

/// A shared [`App`].
pub type SharedApp = Arc<App>;
