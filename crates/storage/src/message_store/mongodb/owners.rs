//! Roles in a transaction, and that a room with members has an owner.
//!
//! Every change of who is an owner also changes the room's document: of two at once one begins anew and sees the other,
//! so that both together can't leave the room without one.

use mongodb::ClientSession;
use mongodb::bson::{doc, serialize_to_bson};
use protocol::{RoomId, RoomRole, UserId};

use super::super::owner_rules::SUCCESSION;
use super::collections::Collections;
use super::documents::member;
use super::failure::{Failure, Outcome, bounded};

/// The role of a user in a room; none for a user who isn't a member.
pub async fn role_of(
    collections: &Collections,
    room: &RoomId,
    user: &UserId,
    session: &mut ClientSession,
) -> Outcome<Option<RoomRole>> {
    let find = collections
        .members
        .find_one(member(room, user))
        .session(session);
    Ok(bounded(find).await?.map(|member| member.role))
}

pub async fn set_role(
    collections: &Collections,
    room: &RoomId,
    user: &UserId,
    role: RoomRole,
    session: &mut ClientSession,
) -> Outcome<()> {
    let role = serialize_to_bson(&role).map_err(Failure::unserializable)?;
    let set = doc! { "$set": { "role": role } };
    let update = collections.members.update_one(member(room, user), set);
    bounded(update.session(session)).await.map(drop)
}

/// Makes two transactions that change the owners of a room meet. `NotFound` if there is no such room.
pub async fn change_owners(
    collections: &Collections,
    room: &RoomId,
    session: &mut ClientSession,
) -> Outcome<()> {
    let by_id = doc! { "_id": room.as_str() };
    let update = collections
        .rooms
        .update_one(by_id, doc! { "$inc": { "leading": 1 } });
    bounded(update.session(session)).await.map(drop)
}

pub async fn has_owner(
    collections: &Collections,
    room: &RoomId,
    session: &mut ClientSession,
) -> Outcome<bool> {
    let owner = doc! { "roomId": room.as_str(), "role": "owner" };
    Ok(
        bounded(collections.members.find_one(owner).session(session))
            .await?
            .is_some(),
    )
}

/// Makes the next in the succession the owner.
pub async fn succeed(
    collections: &Collections,
    room: &RoomId,
    session: &mut ClientSession,
) -> Outcome<Option<UserId>> {
    for role in SUCCESSION {
        let role = serialize_to_bson(&role).map_err(Failure::unserializable)?;
        let find = collections
            .members
            .find_one(doc! { "roomId": room.as_str(), "role": role })
            .sort(doc! { "joinedAt": 1, "userId": 1 })
            .session(&mut *session);
        if let Some(next) = bounded(find).await? {
            set_role(collections, room, &next.user_id, RoomRole::Owner, session).await?;
            return Ok(Some(next.user_id));
        }
    }
    Ok(None)
}
