//! Rooms: making, finding, renaming and deleting them, and entering them on a connection.

use gateway::{Reservation, Socket};
use protocol::{
    CreateRoom, Done, Epoch, ErrorBody, ErrorCode, ListMyRooms, ListRooms, Room, RoomId, RoomKind,
    RoomPage, RoomRole, RoomUpdated, Timestamp, UpdateRoom, UserId, limits::PAGE_DEFAULT,
};
use storage::{MadeRoom, NewRoom, StoreError, StoredRoom};

use super::{
    access, members,
    removals::Moment,
    room_feeds::{REPLAY_BYTES, Replay, Since, not_joined},
    topics, wire,
};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    bus::{self, Control},
    completion::to_the_end,
    error::AppError,
};

/// Members looked at in one query.
const MEMBERS_PAGE: u32 = 1_000;

/// Makes a room; a direct room of the same two people is always the same one.
///
/// # Errors
/// `forbidden` for guests and where a block stands between the creator and a member, `invalid` for members who don't
/// exist, and for a direct room with anybody but one other, `rate_limited` for who adds too many people.
pub async fn create(app: &SharedApp, actor: &Actor, request: CreateRoom) -> Result<Room, AppError> {
    if actor.guest {
        return Err(AppError::forbidden("guests can't make rooms"));
    }
    let (app, owner) = (app.clone(), actor.user_id.clone());
    let peer = match request.kind {
        RoomKind::Direct => Some(peer(&owner, &request.members)?),
        RoomKind::Public | RoomKind::Private => None,
    };
    let others = request.members.iter().filter(|id| **id != actor.user_id);
    members::may_add(&app, actor, others.count()).await?;
    to_the_end(async move {
        let now = Timestamp::now();
        let MadeRoom { room, joined } = match peer {
            Some(peer) => app.store.direct_room(&owner, &peer, now).await?,
            None => {
                let room = NewRoom {
                    kind: request.kind,
                    name: request.name.unwrap_or_default(),
                    owner,
                    members: request.members,
                };
                app.store.create_room(room, now).await?
            }
        };
        for user in &joined {
            members::tell(&app, &room.id, user, Some(RoomRole::Member));
        }
        Ok(wire::room(room))
    })
    .await
}

/// The other one of a direct room; its creator may be named too.
fn peer(owner: &UserId, members: &[UserId]) -> Result<UserId, AppError> {
    match members {
        [peer] if peer != owner => Ok(peer.clone()),
        [one, other] if one == owner && other != owner => Ok(other.clone()),
        [other, one] if one == owner && other != owner => Ok(other.clone()),
        _ => Err(protocol::Invalid::new("members", "expected one other than oneself").into()),
    }
}

/// `room:create`: [`create`], and the connection is subscribed.
///
/// # Errors
/// As those of [`create`] and [`subscribe`]. A connection that has no room for one more subscription makes no room.
pub async fn create_and_enter(
    app: &SharedApp,
    actor: &Actor,
    socket: &Socket,
    request: CreateRoom,
) -> Result<Room, AppError> {
    let reserved = socket.reserve().map_err(not_joined)?;
    let seen = app.removals.now();
    let room = create(app, actor, request).await?;
    let entry = Entry {
        socket,
        reserved: Some(reserved),
        seen,
        joins: false,
    };
    subscribe(app, actor, entry, &room.id, None, |_| {}).await?;
    Ok(room)
}

/// A room that the actor may see.
///
/// # Errors
/// `not_found` for every other.
pub async fn get(app: &SharedApp, actor: &Actor, room: &RoomId) -> Result<Room, AppError> {
    Ok(wire::room(visible(app, actor, room).await?))
}

async fn visible(app: &App, actor: &Actor, room: &RoomId) -> Result<StoredRoom, AppError> {
    match app.store.room(room, Some(&actor.user_id)).await {
        Ok(room) if room.viewer.is_some() || room.kind == RoomKind::Public => Ok(room),
        Ok(_) | Err(StoreError::NotFound) => Err(AppError::not_found("room")),
        Err(error) => Err(error.into()),
    }
}

/// Public rooms.
///
/// # Errors
/// Those of the store.
pub async fn list(
    app: &SharedApp,
    actor: &Actor,
    request: ListRooms,
) -> Result<RoomPage, AppError> {
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let _turn = match &request.query {
        Some(_) => Some(app.search_turns.take(&actor.user_id).await?),
        None => None,
    };
    let page = app
        .store
        .public_rooms(
            request.query.as_deref(),
            request.after.as_ref(),
            limit,
            Some(&actor.user_id),
        )
        .await?;
    wire::rooms(page)
}

/// The actor's rooms, with what is unread in each.
///
/// # Errors
/// Those of the store.
pub async fn mine(
    app: &SharedApp,
    actor: &Actor,
    request: ListMyRooms,
) -> Result<RoomPage, AppError> {
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let page = app
        .store
        .my_rooms(&actor.user_id, request.after.as_ref(), limit)
        .await?;
    wire::rooms(page)
}

/// Renames a room; for its moderators and owners.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for who may not rename it, and for direct rooms.
pub async fn update(
    app: &SharedApp,
    actor: &Actor,
    room: &RoomId,
    request: UpdateRoom,
) -> Result<Room, AppError> {
    access::moderator(app, actor, room).await?;
    if let Some(name) = request.name {
        let (app, room) = (app.clone(), room.clone());
        to_the_end(async move { rename(&app, &room, name).await }).await?;
    }
    get(app, actor, room).await
}

async fn rename(app: &App, room: &RoomId, name: String) -> Result<(), AppError> {
    app.store.rename_room(room, name).await?;
    let changed = Control::RoomChanged {
        room: room.clone(),
        deleted: false,
    };
    bus::tell_everybody(app, changed);
    // What is told to all says nothing of the one who asked.
    let shared = wire::room(app.store.room(room, None).await?);
    bus::publish(app, &topics::room(room), &RoomUpdated { room: shared });
    Ok(())
}

/// Deletes a room with everything said in it; for its owners. Its members learn that they are in it no longer.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for who doesn't own it.
pub async fn delete(app: &SharedApp, actor: &Actor, room: &RoomId) -> Result<(), AppError> {
    access::member(app, actor, room).await?;
    let (app, room, owner) = (app.clone(), room.clone(), actor.user_id.clone());
    to_the_end(async move { delete_owned(&app, &room, &owner).await }).await
}

async fn delete_owned(app: &App, room: &RoomId, owner: &UserId) -> Result<(), AppError> {
    // They can't be looked up once the room is gone.
    let members = members_to_tell(app, room).await?;
    app.store.delete_room(room, owner, Timestamp::now()).await?;
    let deleted = Control::RoomChanged {
        room: room.clone(),
        deleted: true,
    };
    bus::tell_everybody(app, deleted);
    // Nobody is subscribed any more, so each hears of themselves alone.
    for users in members.chunks(Control::USERS) {
        let removed = Control::MembersRemoved {
            room: room.clone(),
            users: users.to_vec(),
        };
        bus::tell_everybody(app, removed);
    }
    Ok(())
}

/// The members of a room who have a connection, as far as this instance can tell: those on others are found by their
/// instances.
async fn members_to_tell(app: &App, room: &RoomId) -> Result<Vec<UserId>, AppError> {
    let fleet = app.bus.link().is_some();
    let mut online = Vec::new();
    let mut after = None;
    loop {
        let page = app
            .store
            .member_ids(room, after.as_ref(), MEMBERS_PAGE)
            .await?;
        after = page.items.last().cloned();
        let is_online = |user: &UserId| fleet || app.user_sockets.has_user(user);
        online.extend(page.items.into_iter().filter(is_online));
        if !page.has_more {
            return Ok(online);
        }
    }
}

/// `room:join`: makes the actor a member of a public room, and subscribes the connection. `begin` gets the room and
/// what was missed before any later event reaches the socket.
///
/// # Errors
/// `not_found` for a room that the actor may not enter, and as those of [`subscribe`]. A connection that has no room for
/// one more subscription makes nobody a member.
pub async fn join(
    app: &SharedApp,
    actor: &Actor,
    socket: &Socket,
    room_id: &RoomId,
    since: Option<(u64, Option<Epoch>)>,
    begin: impl FnOnce(Room, Replay),
) -> Result<(), AppError> {
    let reserved = if socket.is_subscribed(&topics::room(room_id)) {
        None
    } else {
        Some(socket.reserve().map_err(not_joined)?)
    };
    let seen = app.removals.now();
    let room = joined(app, actor, room_id).await?;
    let entry = Entry {
        socket,
        reserved,
        seen,
        joins: true,
    };
    let since = since.map(|(seq, epoch)| Since {
        seq,
        epoch,
        bytes: REPLAY_BYTES,
    });
    subscribe(app, actor, entry, room_id, since, |replay| {
        let mut room = wire::room(room);
        room.head_seq = replay.head_seq;
        begin(room, replay);
    })
    .await
}

/// A room that the actor is a member of, from now on at the latest.
async fn joined(app: &SharedApp, actor: &Actor, room_id: &RoomId) -> Result<StoredRoom, AppError> {
    let room = visible(app, actor, room_id).await?;
    if room.viewer.is_some() {
        return Ok(room);
    }
    members::join(app, room_id, &actor.user_id).await?;
    visible(app, actor, room_id).await
}

/// A connection on its way into a room.
pub struct Entry<'a> {
    /// The connection.
    pub socket: &'a Socket,
    /// The subscription that is kept free for it, if one had to be before something was written.
    pub reserved: Option<Reservation>,
    /// Before its user's membership was read.
    pub seen: Moment,
    /// Whether its user wants to be a member, and not only to be subscribed as one.
    pub joins: bool,
}

/// What became of an [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entered {
    Now,
    Before,
    /// It isn't subscribed: its user may have been removed since the membership was read.
    Doubtful,
}

impl Entry<'_> {
    /// Subscribes it, unless its user may have been removed.
    pub(super) fn make(
        &mut self,
        app: &App,
        actor: &Actor,
        room: &RoomId,
    ) -> Result<Entered, AppError> {
        let (topic, mark) = (topics::room(room), topics::mark(&actor.user_id));
        let is_new = match self.reserved.take() {
            Some(reserved) => reserved.join(&topic, mark),
            None => self.socket.join(&topic, mark),
        }
        .map_err(not_joined)?;
        let user = &actor.user_id;
        if app.removals.may_have_happened(self.seen, room, user) {
            // A subscription from before is ended by who removed the user.
            if is_new {
                self.socket.leave(&topic);
            }
            return Ok(Entered::Doubtful);
        }
        Ok(if is_new {
            Entered::Now
        } else {
            Entered::Before
        })
    }
}

/// Subscribes a connection to a room whose member the actor was a moment ago. If they may have been removed meanwhile,
/// membership is looked at again before anything is told.
///
/// # Errors
/// As `RoomFeeds::subscribe` and [`access::member`].
pub async fn subscribe(
    app: &SharedApp,
    actor: &Actor,
    mut entry: Entry<'_>,
    room: &RoomId,
    since: Option<Since>,
    begin: impl FnOnce(Replay),
) -> Result<(), AppError> {
    /// Whoever is removed and added again more often meanwhile is told to try again.
    const TRIES: usize = 5;
    let mut begin = Some(begin);
    for _ in 0..TRIES {
        let entering = app.presence.enter(app, room, &actor.user_id);
        let begin_once = |replay| {
            if let Some(begin) = begin.take() {
                begin(replay);
            }
        };
        let entered = app
            .feeds
            .subscribe(app, actor, &mut entry, room, since.clone(), begin_once)
            .await?;
        match entered {
            Entered::Now => {
                entering.subscribed();
                return Ok(());
            }
            Entered::Before => return Ok(()),
            Entered::Doubtful => {
                drop(entering);
                entry.seen = app.removals.now();
                if entry.joins {
                    joined(app, actor, room).await?;
                } else {
                    access::member(app, actor, room).await?;
                }
            }
        }
    }
    let message = "membership is just changing; try again";
    Err(ErrorBody::new(ErrorCode::Unavailable, message)
        .retry_after_ms(1_000)
        .into())
}

/// `room:leave`: ends membership, and the subscription of all of the actor's connections.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't in.
pub async fn leave(app: &SharedApp, actor: &Actor, room: &RoomId) -> Result<Done, AppError> {
    members::remove(app, actor, room, &actor.user_id).await?;
    Ok(Done {})
}
