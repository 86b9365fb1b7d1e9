//! Members of rooms: adding, promoting and removing them.

use std::{sync::Arc, time::Instant};

use protocol::{
    ListMembers, MemberPage, PutMember, RoomId, RoomKind, RoomMember, RoomMemberChanged, RoomRole,
    Timestamp, UserId, limits::PAGE_DEFAULT,
};
use storage::{Removal, StoreError};

use super::{Chat, access, instance_messages::RoomChange};
use crate::{
    auth::actor::Actor,
    completion::run_to_completion,
    error::AppError,
    limits::{Tier, tiers},
    page, topics, wire,
};

/// The members of a room that the actor may see.
///
/// # Errors
/// `not_found` for every other room.
pub async fn list(
    chat: &Arc<Chat>,
    actor: &Actor,
    room: &RoomId,
    request: ListMembers,
) -> Result<MemberPage, AppError> {
    let asker_is_in = access::see(chat, actor, room).await?.role.is_some();
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let after = request.after.as_ref();
    let page = match &request.query {
        Some(query) => chat.store.find_members(room, query, after, limit).await?,
        None => chat.store.members(room, after, limit).await?,
    };
    let members = page.items.into_iter();
    let mut members: Vec<_> = members
        .map(|member| wire::member(member, asker_is_in, &chat.urls))
        .collect();
    Ok(MemberPage {
        has_more: page::end(&mut members).map_err(AppError::internal)? || page.has_more,
        members,
    })
}

/// Makes a user a member of a public room, and announces it to the room. False if they were one.
///
/// # Errors
/// What the store says.
pub async fn join(chat: &Arc<Chat>, room: &RoomId, user: &UserId) -> Result<bool, AppError> {
    let (chat, room, user) = (chat.clone(), room.clone(), user.clone());
    run_to_completion(async move {
        let (role, now) = (RoomRole::Member, Timestamp::now());
        let is_new = chat.store.add_member(&room, &user, role, now).await?;
        if is_new {
            announce(&chat, &room, &user, role);
        }
        Ok(is_new)
    })
    .await
}

/// Adds somebody, or changes their role. Moderators add members; owners give roles.
///
/// # Errors
/// `not_found` for a room that the actor may not see and for users who don't exist, `forbidden` for who may not do
/// it, for direct rooms, and where a block separates the two, `conflict` for taking the last owner's role,
/// `rate_limited` if the actor adds too many people.
pub async fn put(
    chat: &Arc<Chat>,
    actor: &Actor,
    room: &RoomId,
    user: &UserId,
    request: PutMember,
) -> Result<RoomMember, AppError> {
    let mine = access::moderator(chat, actor, room).await?;
    let before = chat.store.membership(room, user).await?;
    if before.kind == RoomKind::Direct {
        return Err(AppError::forbidden("a direct room stays between two"));
    }
    let wanted = request.role.or(before.role).unwrap_or(RoomRole::Member);
    let changes_role = before.role != Some(wanted);
    if changes_role && wanted > RoomRole::Member && mine < RoomRole::Owner {
        return Err(AppError::forbidden("only owners give roles"));
    }
    if changes_role && before.role.is_some() && mine < RoomRole::Owner {
        return Err(AppError::forbidden("only owners give roles"));
    }
    if before.role.is_none() {
        if chat.store.is_blocked(&actor.user_id, user).await? {
            return Err(AppError::forbidden("a block separates the two of you"));
        }
        count_additions(chat, actor, 1).await?;
    }
    if changes_role {
        let is_member = before.role.is_some();
        let (chat, room, user) = (chat.clone(), room.clone(), user.clone());
        let by = actor.user_id.clone();
        run_to_completion(async move { set(&chat, &by, &room, &user, is_member, wanted).await })
            .await?;
    }
    one(chat, room, user).await
}

/// Counts people whom the actor adds to rooms: they aren't asked, so that is limited.
///
/// # Errors
/// `rate_limited` beyond 200 in ten minutes; then nobody is added.
pub(super) async fn count_additions(
    chat: &Chat,
    actor: &Actor,
    people: usize,
) -> Result<(), AppError> {
    let (who, now) = (tiers::of_user(&actor.user_id), Instant::now());
    chat.limits.take(Tier::Additions, who, people, now).await?;
    Ok(())
}

/// Gives a member a role, or makes somebody a member with it.
async fn set(
    chat: &Chat,
    by: &UserId,
    room: &RoomId,
    user: &UserId,
    is_member: bool,
    role: RoomRole,
) -> Result<(), AppError> {
    if is_member {
        chat.store.set_member_role(room, user, role).await?;
        announce(chat, room, user, role);
        return Ok(());
    }
    let now = Timestamp::now();
    match chat.store.add_member(room, user, role, now).await {
        Err(StoreError::NotFound) => Err(AppError::not_found("user")),
        Err(error) => Err(error.into()),
        Ok(is_new) => {
            // Somebody who joined meanwhile has the role that was announced then.
            if is_new {
                announce(chat, room, user, role);
                note_invitations(chat, by, room, vec![user.clone()]).await;
            }
            Ok(())
        }
    }
}

async fn one(chat: &Chat, room: &RoomId, user: &UserId) -> Result<RoomMember, AppError> {
    match chat.store.member(room, user).await {
        Err(StoreError::NotFound) => Err(AppError::not_found("member")),
        member => Ok(wire::member(member?, true, &chat.urls)),
    }
}

/// Removes somebody: oneself, or as a moderator somebody of a lower role.
///
/// # Errors
/// `not_found` for a room that the actor may not see and for who isn't in it, `forbidden` for who may not do it.
pub async fn remove(
    chat: &Arc<Chat>,
    actor: &Actor,
    room: &RoomId,
    user: &UserId,
) -> Result<(), AppError> {
    let mine = access::member(chat, actor, room).await?;
    if *user != actor.user_id {
        let theirs = chat.store.membership(room, user).await?;
        if theirs.kind == RoomKind::Direct {
            return Err(AppError::forbidden("a direct room stays between two"));
        }
        let Some(theirs) = theirs.role else {
            return Err(AppError::not_found("member"));
        };
        if mine < RoomRole::Moderator || (mine < RoomRole::Owner && theirs >= mine) {
            return Err(AppError::forbidden(
                "only members of a higher role may remove a member",
            ));
        }
    }
    let (chat, room, user) = (chat.clone(), room.clone(), user.clone());
    run_to_completion(async move {
        let removal = chat.store.remove_member(&room, &user).await?;
        announce_removal(&chat, &room, &user, removal);
        Ok(())
    })
    .await
}

/// Announces that a user is no longer a member of a room, and who owns it now if that changed.
pub fn announce_removal(chat: &Chat, room: &RoomId, user: &UserId, removal: Removal) {
    let removed = RoomMemberChanged {
        room_id: room.clone(),
        user_id: user.clone(),
        role: None,
    };
    // The user's own connections are told when their subscriptions end: another message might arrive before or after that.
    let topic = topics::room(room);
    chat.delivery.to_topic_except_user(&topic, user, &removed);
    chat.publish_change(&RoomChange::removed(room, user));
    if let Some(owner) = removal.new_owner {
        announce(chat, room, &owner, RoomRole::Owner);
    }
}

/// Has users told that another one has made them members.
pub(super) async fn note_invitations(
    chat: &Chat,
    by: &UserId,
    room: &RoomId,
    mut users: Vec<UserId>,
) {
    users.retain(|user| user != by);
    if !users.is_empty() {
        chat.news.invited(room, users, by).await;
    }
}

/// Announces a member's role to the room, and to the member's connections that aren't subscribed to it.
pub fn announce(chat: &Chat, room: &RoomId, user: &UserId, role: RoomRole) {
    let changed = RoomMemberChanged {
        room_id: room.clone(),
        user_id: user.clone(),
        role: Some(role),
    };
    let topic = topics::room(room);
    chat.delivery.to_topic(&topic, &changed);
    chat.delivery.to_user(user, Some(&topic), &changed);
    chat.publish_change(&RoomChange::MemberChanged {
        room: room.clone(),
        user: user.clone(),
    });
}
