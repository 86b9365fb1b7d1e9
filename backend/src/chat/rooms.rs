//! Rooms: making, finding, renaming and deleting them, and entering them on a connection.

use gateway::Socket;
use protocol::{
    CreateRoom, Done, Epoch, ListMyRooms, ListRooms, Room, RoomId, RoomKind, RoomPage, RoomRole,
    RoomUpdated, Timestamp, UpdateRoom, UserId, limits::PAGE_DEFAULT,
};
use storage::{NewRoom, StoreError, StoredRoom};

use super::{
    access, members,
    room_feeds::{REPLAY_BYTES, Replay, Since},
    topics, wire,
};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    bus::{self, Control},
    error::AppError,
};

/// Members looked at in one query.
const MEMBERS_PAGE: u32 = 1_000;

/// Makes a room; a direct room of the same two people is always the same one.
///
/// # Errors
/// `forbidden` for guests and where a block stands between the creator and a member, `invalid` for members who don't
/// exist, `rate_limited` for who adds too many people.
pub async fn create(app: &SharedApp, actor: &Actor, request: CreateRoom) -> Result<Room, AppError> {
    if actor.guest {
        return Err(AppError::forbidden("guests can't make rooms"));
    }
    let others = request.members.iter().filter(|id| **id != actor.user_id);
    members::may_add(app, actor, others.count()).await?;
    let now = Timestamp::now();
    let (room, is_new) = match request.kind {
        RoomKind::Direct => {
            let Some(peer) = request.members.iter().find(|id| **id != actor.user_id) else {
                return Err(protocol::Invalid::new("members", "expected somebody else").into());
            };
            app.store.direct_room(&actor.user_id, peer, now).await?
        }
        kind @ (RoomKind::Public | RoomKind::Private) => {
            let room = NewRoom {
                kind,
                name: request.name.unwrap_or_default(),
                owner: actor.user_id.clone(),
                members: request.members.clone(),
            };
            (app.store.create_room(room, now).await?, true)
        }
    };
    if is_new {
        for user in request.members.iter().filter(|id| **id != actor.user_id) {
            members::tell(app, &room.id, user, Some(RoomRole::Member));
        }
    }
    Ok(wire::room(room))
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
/// `invalid` for an `after` that isn't a room.
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
    Ok(wire::rooms(page))
}

/// The actor's rooms, with what is unread in each.
///
/// # Errors
/// `invalid` for an `after` that isn't a room.
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
    Ok(wire::rooms(page))
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
        app.store.rename_room(room, name).await?;
        // What is told to all says nothing of the one who asked.
        let shared = wire::room(app.store.room(room, None).await?);
        let changed = Control::RoomChanged {
            room: room.clone(),
            deleted: false,
        };
        bus::tell_everybody(app, changed);
        bus::publish(app, &topics::room(room), &RoomUpdated { room: shared });
    }
    get(app, actor, room).await
}

/// Deletes a room with everything said in it; for its owners. Its members learn that they are in it no longer.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for who doesn't own it.
pub async fn delete(app: &SharedApp, actor: &Actor, room: &RoomId) -> Result<(), AppError> {
    access::member(app, actor, room).await?;
    // They can't be looked up once the room is gone.
    let members = members_to_tell(app, room).await?;
    app.store
        .delete_room(room, &actor.user_id, Timestamp::now())
        .await?;
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
/// `not_found` for a room that the actor may not enter.
pub async fn join(
    app: &SharedApp,
    actor: &Actor,
    socket: &Socket,
    room_id: &RoomId,
    since: Option<(u64, Option<Epoch>)>,
    begin: impl FnOnce(Room, Replay),
) -> Result<(), AppError> {
    let mut room = visible(app, actor, room_id).await?;
    if room.viewer.is_none() {
        let now = Timestamp::now();
        let is_new = app
            .store
            .add_member(room_id, &actor.user_id, RoomRole::Member, now)
            .await?;
        if is_new {
            members::tell(app, room_id, &actor.user_id, Some(RoomRole::Member));
        }
        room = visible(app, actor, room_id).await?;
    }
    let since = since.map(|(seq, epoch)| Since {
        seq,
        epoch,
        bytes: REPLAY_BYTES,
    });
    subscribe(app, actor, socket, room_id, since, |replay| {
        let mut room = wire::room(room);
        room.head_seq = replay.head_seq;
        begin(room, replay);
    })
    .await
}

/// Subscribes a connection to a room whose member the actor was a moment ago. Whoever was removed meanwhile is out.
///
/// # Errors
/// As [`RoomFeeds::subscribe`](super::room_feeds::RoomFeeds::subscribe).
pub async fn subscribe(
    app: &SharedApp,
    actor: &Actor,
    socket: &Socket,
    room: &RoomId,
    since: Option<Since>,
    begin: impl FnOnce(Replay),
) -> Result<(), AppError> {
    let entering = app.presence.enter(app, room, &actor.user_id);
    let is_new = app
        .feeds
        .subscribe(app, actor, socket, room, since, begin)
        .await?;
    if is_new {
        entering.subscribed();
        // A kick between the check and the subscription would have found nothing to end.
        let membership = app.store.membership(room, &actor.user_id).await;
        if !matches!(membership, Ok(membership) if membership.role.is_some()) {
            members::unsubscribe(app, room, &actor.user_id);
        }
    }
    Ok(())
}

/// `room:leave`: ends membership, and the subscription of all of the actor's connections.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't in.
pub async fn leave(app: &SharedApp, actor: &Actor, room: &RoomId) -> Result<Done, AppError> {
    members::remove(app, actor, room, &actor.user_id).await?;
    Ok(Done {})
}
