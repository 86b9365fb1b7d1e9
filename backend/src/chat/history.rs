//! Reading a room back: its messages in their present state, its log in order, and search. Members read private rooms,
//! everybody reads public ones.

use protocol::{
    EventPage, EventsRequest, HistoryRequest, MessagePage, MessagesFound, SearchRequest,
    limits::{EVENTS_MAX, HISTORY_DEFAULT, SEARCH_DEFAULT},
};

use super::{Chat, access};
use crate::{auth::actor::Actor, error::AppError, page, wire};

/// `message:history`.
///
/// # Errors
/// `not_found` for a room that the actor may not see.
pub async fn messages(
    chat: &Chat,
    actor: &Actor,
    request: HistoryRequest,
) -> Result<MessagePage, AppError> {
    access::see(chat, actor, &request.room_id).await?;
    let viewer = Some(&actor.user_id);
    let limit = request.limit.unwrap_or(HISTORY_DEFAULT);
    let page = chat
        .store
        .history(
            &request.room_id,
            request.before,
            request.after,
            limit,
            viewer,
        )
        .await?;
    let mut messages = wire::messages(page.items, viewer, &chat.urls);
    // Paging backwards keeps the messages right before the position.
    let cut = match request.after {
        Some(_) => page::end(&mut messages),
        None => page::begin(&mut messages),
    };
    Ok(MessagePage {
        has_more: cut.map_err(AppError::internal)? || page.has_more,
        messages,
    })
}

/// `room:events`.
///
/// # Errors
/// `not_found` for a room that the actor may not see.
pub async fn events(
    chat: &Chat,
    actor: &Actor,
    request: EventsRequest,
) -> Result<EventPage, AppError> {
    access::see(chat, actor, &request.room_id).await?;
    let viewer = Some(&actor.user_id);
    let limit = request.limit.unwrap_or(EVENTS_MAX);
    let page = chat
        .store
        .events(&request.room_id, request.after, u64::MAX, limit, viewer)
        .await?;
    let events = page
        .items
        .into_iter()
        .map(|e| wire::event(e, viewer, &chat.urls));
    let mut events: Vec<_> = events.collect();
    Ok(EventPage {
        has_more: page::end(&mut events).map_err(AppError::internal)? || page.has_more,
        events,
    })
}

/// `message:search`, the newest first.
///
/// # Errors
/// `not_found` for a room that the actor may not see, `rate_limited` for too many searches of the actor at once,
/// `unavailable` for one that takes too long.
pub async fn search(
    chat: &Chat,
    actor: &Actor,
    request: SearchRequest,
) -> Result<MessagesFound, AppError> {
    access::see(chat, actor, &request.room_id).await?;
    let viewer = Some(&actor.user_id);
    let limit = request.limit.unwrap_or(SEARCH_DEFAULT);
    let _permit = chat.search_queues.acquire(&actor.user_id).await?;
    let page = chat
        .store
        .search(
            &request.room_id,
            &request.query,
            request.before,
            limit,
            viewer,
        )
        .await?;
    let mut messages = wire::messages(page.items, viewer, &chat.urls);
    Ok(MessagesFound {
        has_more: page::end(&mut messages).map_err(AppError::internal)? || page.has_more,
        messages,
    })
}
