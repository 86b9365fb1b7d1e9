//! Members of rooms: adding, promoting and removing them.

use std::time::Instant;

use protocol::{
    ListMembers, MemberPage, PutMember, RoomId, RoomKind, RoomMember, RoomMemberChanged, RoomRole,
    Timestamp, UserId, limits::PAGE_DEFAULT,
};
use storage::{Removal, StoreError};

use super::{access, topics, wire};
use crate::{
    actor::Actor,
    app::{App, SharedApp},
    bus::{self, Control},
    completion::to_the_end,
    error::AppError,
    limits::Action,
    page,
};

/// The members of a room that the actor may see.
///
/// # Errors
/// `not_found` for every other room.
pub async fn list(
    app: &SharedApp,
    actor: &Actor,
    room: &RoomId,
    request: ListMembers,
) -> Result<MemberPage, AppError> {
    let asker_is_in = access::see(app, actor, room).await?.role.is_some();
    let limit = request.limit.unwrap_or(PAGE_DEFAULT);
    let after = request.after.as_ref();
    let page = match &request.query {
        Some(query) => app.store.find_members(room, query, after, limit).await?,
        None => app.store.members(room, after, limit).await?,
    };
    let members = page.items.into_iter();
    let mut members: Vec<_> = members
        .map(|member| wire::member(member, asker_is_in))
        .collect();
    Ok(MemberPage {
        has_more: page::end(&mut members).map_err(AppError::internal)? || page.has_more,
        members,
    })
}

/// Makes a user a member of a public room, which the room learns of.
///
/// # Errors
/// What the store says.
pub async fn join(app: &SharedApp, room: &RoomId, user: &UserId) -> Result<(), AppError> {
    let (app, room, user) = (app.clone(), room.clone(), user.clone());
    to_the_end(async move {
        let (role, now) = (RoomRole::Member, Timestamp::now());
        if app.store.add_member(&room, &user, role, now).await? {
            tell(&app, &room, &user, Some(role));
        }
        Ok(())
    })
    .await
}

/// Adds somebody, or changes their role. Moderators add members; owners give roles.
///
/// # Errors
/// `not_found` for a room that the actor may not see and for users who don't exist, `forbidden` for who may not do
/// it, for direct rooms, and where a block stands between the two, `conflict` for taking the last owner's role,
/// `rate_limited` for who adds too many people.
pub async fn put(
    app: &SharedApp,
    actor: &Actor,
    room: &RoomId,
    user: &UserId,
    request: PutMember,
) -> Result<RoomMember, AppError> {
    let mine = access::moderator(app, actor, room).await?;
    let before = app.store.membership(room, user).await?;
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
        if app.store.is_blocked(&actor.user_id, user).await? {
            return Err(AppError::forbidden("a block stands between the two of you"));
        }
        may_add(app, actor, 1).await?;
    }
    if changes_role {
        let is_member = before.role.is_some();
        let (app, room, user) = (app.clone(), room.clone(), user.clone());
        to_the_end(async move { set(&app, &room, &user, is_member, wanted).await }).await?;
    }
    one(app, room, user).await
}

/// Counts people whom the actor puts into rooms, who aren't asked: one may gather a team, not the town.
///
/// # Errors
/// `rate_limited` beyond 200 in ten minutes; then nobody is added.
pub(super) async fn may_add(app: &App, actor: &Actor, people: usize) -> Result<(), AppError> {
    let (who, now) = (actor.user_id.as_str(), Instant::now());
    app.limits.take(Action::Addition, who, people, now).await
}

/// Gives a member a role, or makes somebody a member with it.
async fn set(
    app: &App,
    room: &RoomId,
    user: &UserId,
    is_member: bool,
    role: RoomRole,
) -> Result<(), AppError> {
    if is_member {
        app.store.set_member_role(room, user, role).await?;
        tell(app, room, user, Some(role));
        return Ok(());
    }
    let now = Timestamp::now();
    match app.store.add_member(room, user, role, now).await {
        Err(StoreError::NotFound) => Err(AppError::not_found("user")),
        Err(error) => Err(error.into()),
        Ok(is_new) => {
            // Who has come in meanwhile has the role that was told then.
            if is_new {
                tell(app, room, user, Some(role));
            }
            Ok(())
        }
    }
}

async fn one(app: &App, room: &RoomId, user: &UserId) -> Result<RoomMember, AppError> {
    match app.store.member(room, user).await {
        Err(StoreError::NotFound) => Err(AppError::not_found("member")),
        member => Ok(wire::member(member?, true)),
    }
}

/// Removes somebody: oneself, or as a moderator somebody of a lower role.
///
/// # Errors
/// `not_found` for a room that the actor may not see and for who isn't in it, `forbidden` for who may not do it.
pub async fn remove(
    app: &SharedApp,
    actor: &Actor,
    room: &RoomId,
    user: &UserId,
) -> Result<(), AppError> {
    let mine = access::member(app, actor, room).await?;
    if *user != actor.user_id {
        let theirs = app.store.membership(room, user).await?;
        if theirs.kind == RoomKind::Direct {
            return Err(AppError::forbidden("a direct room stays between two"));
        }
        let Some(theirs) = theirs.role else {
            return Err(AppError::not_found("member"));
        };
        if mine < RoomRole::Moderator || (mine < RoomRole::Owner && theirs >= mine) {
            return Err(AppError::forbidden(
                "only who is above a member may remove them",
            ));
        }
    }
    let (app, room, user) = (app.clone(), room.clone(), user.clone());
    to_the_end(async move {
        let removal = app.store.remove_member(&room, &user).await?;
        tell_removal(&app, &room, &user, removal);
        Ok(())
    })
    .await
}

/// Tells a room that somebody is in it no longer, and what else changed by that.
pub fn tell_removal(app: &App, room: &RoomId, user: &UserId, removal: Removal) {
    tell(app, room, user, None);
    if let Some(owner) = removal.new_owner {
        tell(app, room, &owner, Some(RoomRole::Owner));
    }
}

/// Tells a room, and the user's connections that aren't subscribed to it, what the user is in it now. Who is in it no
/// longer is unsubscribed behind that, on every instance.
pub fn tell(app: &App, room: &RoomId, user: &UserId, role: Option<RoomRole>) {
    let changed = RoomMemberChanged {
        room_id: room.clone(),
        user_id: user.clone(),
        role,
    };
    let topic = topics::room(room);
    if role.is_some() {
        bus::publish(app, &topic, &changed);
        bus::publish_to_user(app, user, Some(&topic), &changed);
    } else {
        // The user's own connections hear it with the end of their subscriptions: what comes on another channel might
        // come behind that, or before.
        bus::publish_unless_user(app, &topic, user, &changed);
    }
    bus::tell_everybody(
        app,
        Control::MemberChanged {
            room: room.clone(),
            user: user.clone(),
            gone: role.is_none(),
        },
    );
}

/// Somebody is in a room no longer: their connections here are told, and unsubscribed.
pub fn removed_here(app: &App, room: &RoomId, user: &UserId) {
    if !app.user_sockets.has_user(user) {
        return;
    }
    app.removals.note(room, user);
    app.feeds.settle(room);
    let removed = RoomMemberChanged {
        room_id: room.clone(),
        user_id: user.clone(),
        role: None,
    };
    if let Some(frame) = wire::frame(&removed) {
        app.user_sockets.send(user, None, &frame);
    }
    unsubscribe(app, room, user);
}

/// Ends the subscriptions of all of a user's connections here to a room.
pub fn unsubscribe(app: &App, room: &RoomId, user: &UserId) {
    let topic = topics::room(room);
    for socket in app.user_sockets.of_user(user) {
        if socket.leave(&topic) {
            app.presence.leave(app, room, user);
        }
    }
}
