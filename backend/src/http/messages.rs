//! `rooms/{roomId}/messages`, `events` and `search`: the messages of a room.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode};
use protocol::{
    EventPage, EventsQuery, EventsRequest, HistoryQuery, HistoryRequest, Invalid, MessageFields,
    MessagePage, MessageSent, MessagesFound, PostMessage, RoomId, SearchQuery, SearchRequest,
    SendMessage,
};
use serde_json::{Map, Value};

use super::request::{JsonBody, Path, Query};
use crate::{
    app::SharedApp,
    auth::actor::Actor,
    chat::{history, send_message},
    error::AppError,
    media,
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A [`MessagePage`] of which only some fields were asked for.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct SelectedPage {
    messages: Vec<Map<String, Value>>,
    has_more: bool,
}

pub async fn list(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room_id): Path<RoomId>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, AppError> {
    let request = HistoryRequest {
        room_id,
        before: query.before,
        after: query.after,
        limit: query.limit,
    };
    let page = history::messages(&app.chat, &actor, request).await?;
    match query.fields {
        Some(fields) => Ok(Json(select(&page, &fields)?).into_response()),
        None => Ok(Json(page).into_response()),
    }
}

fn select(page: &MessagePage, fields: &MessageFields) -> Result<SelectedPage, AppError> {
    let messages = page.messages.iter().map(|message| fields.select(message));
    Ok(SelectedPage {
        messages: messages
            .collect::<Result<_, _>>()
            .map_err(AppError::internal)?,
        has_more: page.has_more,
    })
}

pub async fn post(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room_id): Path<RoomId>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<PostMessage>,
) -> Result<(StatusCode, Json<MessageSent>), AppError> {
    let request = request.with_idempotency_key(idempotency_key(&headers)?)?;
    let message = SendMessage {
        room_id,
        // Without either the client can't retry, but the message needs an id all the same.
        client_id: request
            .client_id
            .unwrap_or_else(|| BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())),
        body: request.body,
        reply_to: request.reply_to,
        mentions: request.mentions,
        attachments: request.attachments,
    };
    let sent = match message.attachments.is_empty() {
        true => send_message::send(&app.chat, &actor, message, Vec::new()).await?,
        false => media::send_and_wait(app.media.as_ref(), &actor, message).await?,
    };
    Ok((StatusCode::CREATED, Json(sent)))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Invalid> {
    let key = headers
        .get(IDEMPOTENCY_KEY)
        .map(HeaderValue::to_str)
        .transpose();
    key.map_err(|_| Invalid::new("Idempotency-Key", "expected visible ASCII characters"))
}

pub async fn events(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room_id): Path<RoomId>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<EventPage>, AppError> {
    let request = EventsRequest {
        room_id,
        after: query.after.unwrap_or(0),
        limit: query.limit,
    };
    Ok(Json(history::events(&app.chat, &actor, request).await?))
}

pub async fn search(
    State(app): State<SharedApp>,
    actor: Actor,
    Path(room_id): Path<RoomId>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<MessagesFound>, AppError> {
    let request = SearchRequest {
        room_id,
        query: query.query,
        before: query.before,
        limit: query.limit,
    };
    Ok(Json(history::search(&app.chat, &actor, request).await?))
}
