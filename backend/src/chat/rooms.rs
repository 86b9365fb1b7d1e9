//! Rooms: creating, finding, renaming and deleting them, and joining them on a connection.

use std::sync::Arc;

use gateway::Socket;
use protocol::{
    CreateRoom, Done, Epoch, ListMyRooms, ListRooms, Room, RoomId, RoomKind, RoomPage, RoomRole,
    RoomUpdated, Timestamp, UpdateRoom, UserId, limits::PAGE_DEFAULT,
};
use storage::{MadeRoom, NewRoom, StoreError, StoredRoom};

use super::{
    Chat, access,
    instance_messages::RoomChange,
    members,
    replay::{REPLAY_BYTES, Replay, Since},
    subscriptions::{Joining, Reserved},
};
use crate::{auth::actor::Actor, completion::run_to_completion, error::AppError, topics, wire};

/// Members read in one query.
const MEMBERS_PAGE: u32 = 1_000;

/// Creates a room. Two users have at most one direct room, which is returned if it exists.
///
/// # Errors
/// `forbidden` for guests and where a block separates the creator from a member, `invalid` for members who don't
/// exist, and for a direct room with anybody but one other, `rate_limited` if the actor adds too many people.
pub async fn create(
    chat: &Arc<Chat>,
    actor: &Actor,
    request: CreateRoom,
) -> Result<Room, AppError> {
    if actor.guest {
        return Err(AppError::forbidden("guests can't make rooms"));
    }
    let (chat, owner) = (chat.clone(), actor.user_id.clone());
    let peer = match request.kind {
        RoomKind::Direct => Some(peer(&owner, &request.members)?),
        RoomKind::Public | RoomKind::Private => None,
    };
    let others = request.members.iter().filter(|id| **id != actor.user_id);
    members::count_additions(&chat, actor, others.count()).await?;
    run_to_completion(async move {
        let now = Timestamp::now();
        let by = owner.clone();
        let MadeRoom { room, joined } = match peer {
            Some(peer) => chat.store.direct_room(&owner, &peer, now).await?,
            None => {
                let room = NewRoom {
                    kind: request.kind,
                    name: request.name.unwrap_or_default(),
                    owner,
                    members: request.members,
                };
                chat.store.create_room(room, now).await?
            }
        };
        for user in &joined {
            members::announce(&chat, &room.id, user, RoomRole::Member);
        }
        if room.kind != RoomKind::Direct {
            members::note_invitations(&chat, &by, &room.id, joined).await;
        }
        Ok(wire::room(room))
    })
    .await
}

/// The other user of a direct room. The creator may be given too.
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
/// As those of [`create`] and [`super::subscriptions::Subscriptions::subscribe`]. For a connection that can't have one more
/// subscription no room is created.
pub async fn create_and_join(
    chat: &Arc<Chat>,
    actor: &Actor,
    socket: &Socket,
    request: CreateRoom,
) -> Result<Room, AppError> {
    let reserved = chat.subscriptions.reserve(socket)?;
    let room = create(chat, actor, request).await?;
    subscribe(chat, actor, socket, reserved, &room.id, None, |_| {}).await?;
    Ok(room)
}

/// A room that the actor may see.
///
/// # Errors
/// `not_found` for every other.
pub async fn get(chat: &Arc<Chat>, actor: &Actor, room: &RoomId) -> Result<Room, AppError> {
    Ok(wire::room(visible(chat, actor, room).await?))
}

async fn visible(chat: &Chat, actor: &Actor, room: &RoomId) -> Result<StoredRoom, AppError> {
    match chat.store.room(room, Some(&actor.user_id)).await {
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
    chat: &Arc<Chat>,
    actor: &Actor,
    request: ListRooms,
) -> Result<RoomPage, AppError> {
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let _permit = match &request.query {
        Some(_) => Some(chat.search_queues.acquire(&actor.user_id).await?),
        None => None,
    };
    let page = chat
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
    chat: &Arc<Chat>,
    actor: &Actor,
    request: ListMyRooms,
) -> Result<RoomPage, AppError> {
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let page = chat
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
    chat: &Arc<Chat>,
    actor: &Actor,
    room: &RoomId,
    request: UpdateRoom,
) -> Result<Room, AppError> {
    access::moderator(chat, actor, room).await?;
    if let Some(name) = request.name {
        let (chat, room) = (chat.clone(), room.clone());
        run_to_completion(async move { rename(&chat, &room, name).await }).await?;
    }
    get(chat, actor, room).await
}

async fn rename(chat: &Chat, room: &RoomId, name: String) -> Result<(), AppError> {
    chat.store.rename_room(room, name).await?;
    chat.publish_change(&RoomChange::Changed(room.clone()));
    // Read without a viewer, as it is sent to all.
    let shared = wire::room(chat.store.room(room, None).await?);
    let updated = RoomUpdated { room: shared };
    chat.delivery.to_topic(&topics::room(room), &updated);
    Ok(())
}

/// Deletes a room with all its messages; for its owners. Its members are told that they are no longer members.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for who doesn't own it.
pub async fn delete(chat: &Arc<Chat>, actor: &Actor, room: &RoomId) -> Result<(), AppError> {
    access::member(chat, actor, room).await?;
    let (chat, room, owner) = (chat.clone(), room.clone(), actor.user_id.clone());
    run_to_completion(async move { delete_owned(&chat, &room, &owner).await }).await
}

async fn delete_owned(chat: &Chat, room: &RoomId, owner: &UserId) -> Result<(), AppError> {
    // They can't be read once the room is gone.
    let members = members_to_notify(chat, room).await?;
    chat.store
        .delete_room(room, owner, Timestamp::now())
        .await?;
    chat.publish_change(&RoomChange::Deleted(room.clone()));
    // Nobody is subscribed any more, so each is told only of their own removal.
    for users in members.chunks(RoomChange::USERS) {
        chat.publish_change(&RoomChange::MembersRemoved {
            room: room.clone(),
            users: users.to_vec(),
        });
    }
    Ok(())
}

/// The members of a room who may have a connection: in a fleet all, as other instances know who is connected there.
async fn members_to_notify(chat: &Chat, room: &RoomId) -> Result<Vec<UserId>, AppError> {
    let fleet = chat.bus.has_peers();
    let mut online = Vec::new();
    let mut after = None;
    loop {
        let page = chat
            .store
            .member_ids(room, after.as_ref(), MEMBERS_PAGE)
            .await?;
        after = page.items.last().cloned();
        let is_online = |user: &UserId| fleet || chat.user_sockets.has_user(user);
        online.extend(page.items.into_iter().filter(is_online));
        if !page.has_more {
            return Ok(online);
        }
    }
}

/// `room:join`: makes the actor a member of a public room, and subscribes the connection. `begin` gets the room,
/// what was missed, and whether the actor became a member, before any later event reaches the socket.
///
/// # Errors
/// `not_found` for a room that the actor may not join, and as those of [`super::subscriptions::Subscriptions::subscribe`].
/// Through a connection that can't have one more subscription nobody becomes a member.
pub async fn join(
    chat: &Arc<Chat>,
    actor: &Actor,
    socket: &Socket,
    room_id: &RoomId,
    since: Option<(u64, Option<Epoch>)>,
    begin: impl FnOnce(Room, Replay, bool),
) -> Result<(), AppError> {
    let reserved = if socket.is_subscribed(&topics::room(room_id)) {
        Reserved::since(chat.subscriptions.mark())
    } else {
        chat.subscriptions.reserve(socket)?
    };
    let (room, is_new) = joined(chat, actor, room_id).await?;
    let since = since.map(|(seq, epoch)| Since {
        seq,
        epoch,
        bytes: REPLAY_BYTES,
    });
    let begin = |replay: Replay| {
        let mut room = wire::room(room);
        room.head_seq = replay.head_seq;
        begin(room, replay, is_new);
    };
    // Whoever leaves on another connection meanwhile becomes a member again.
    let check = || async move { joined(chat, actor, room_id).await.map(drop) };
    let joining = Joining {
        socket,
        user: &actor.user_id,
        reserved,
    };
    chat.subscriptions
        .subscribe(joining, room_id, since, begin, check)
        .await
}

/// A room, of which the actor is made a member unless they are one; true if they weren't.
async fn joined(
    chat: &Arc<Chat>,
    actor: &Actor,
    room_id: &RoomId,
) -> Result<(StoredRoom, bool), AppError> {
    let room = visible(chat, actor, room_id).await?;
    if room.viewer.is_some() {
        return Ok((room, false));
    }
    let is_new = members::join(chat, room_id, &actor.user_id).await?;
    Ok((visible(chat, actor, room_id).await?, is_new))
}

/// Subscribes a connection to a room that the actor is a member of.
///
/// # Errors
/// As [`super::subscriptions::Subscriptions::subscribe`] and [`access::member`].
pub async fn subscribe(
    chat: &Chat,
    actor: &Actor,
    socket: &Socket,
    reserved: Reserved,
    room: &RoomId,
    since: Option<Since>,
    begin: impl FnOnce(Replay),
) -> Result<(), AppError> {
    let check = || async move { access::member(chat, actor, room).await.map(drop) };
    let joining = Joining {
        socket,
        user: &actor.user_id,
        reserved,
    };
    chat.subscriptions
        .subscribe(joining, room, since, begin, check)
        .await
}

/// `room:leave`: ends membership, and the subscription of all of the actor's connections.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `forbidden` for one that the actor isn't in.
pub async fn leave(chat: &Arc<Chat>, actor: &Actor, room: &RoomId) -> Result<Done, AppError> {
    members::remove(chat, actor, room, &actor.user_id).await?;
    Ok(Done {})
}
