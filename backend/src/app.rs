//! Everything a request can need: one field per component.

use std::sync::Arc;

use gateway::Hub;
use storage::MessageStore;

use crate::{
    access_tokens::AccessTokens,
    chat::{fan_out::FanOut, presence::Presence, room_feeds::RoomFeeds, unread::UnreadNotices},
    config::Config,
    http::health::Health,
    passwords::Passwords,
    refresh_tokens::RefreshTokens,
    revocations::Revocations,
    sessions_seen::SessionsSeen,
    sign_in_limits::SignInLimits,
};

/// The components of one server, shared by all that it serves.
pub struct App {
    /// The settings.
    pub config: Config,
    /// How well the server works.
    pub health: Health,
    /// Topics of live connections.
    pub hub: Hub,
    /// Everything durable.
    pub store: MessageStore,
    /// Signs and checks access tokens.
    pub access_tokens: AccessTokens,
    /// Makes and recognises refresh tokens.
    pub refresh_tokens: RefreshTokens,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Failed sign-ins, against guessing.
    pub sign_in_limits: SignInLimits,
    /// Sessions that ended while their access tokens are still valid.
    pub revocations: Revocations,
    /// When sessions were last seen, until that is written.
    pub sessions_seen: SessionsSeen,
    /// Takes what became durable to the rooms.
    pub fan_out: FanOut,
    /// Rooms with subscribers here.
    pub feeds: RoomFeeds,
    /// Who is online in which room.
    pub presence: Presence,
    /// Rooms whose members elsewhere have to learn of news.
    pub unread_notices: UnreadNotices,
}

/// A shared [`App`].
pub type SharedApp = Arc<App>;
