//! What the server sends, against literal JSON.

use std::collections::BTreeMap;
use std::fmt::Debug;

use protocol::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// The value is written as this JSON, and this JSON is read as the value.
#[track_caller]
fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, literal: Value) {
    assert_eq!(serde_json::to_value(value).unwrap(), literal);
    assert_eq!(&serde_json::from_value::<T>(literal).unwrap(), value);
}

fn at() -> Timestamp {
    Timestamp::from_unix_ms(1_769_851_800_125)
}

const AT: &str = "2026-01-31T09:30:00.125Z";

fn user() -> User {
    User {
        id: UserId::trusted("u1"),
        username: "ana".to_owned(),
        display_name: "Ana".to_owned(),
        avatar_url: None,
        guest: false,
        role: Role::User,
        email: None,
    }
}

fn user_json() -> Value {
    json!({
        "id": "u1", "username": "ana", "displayName": "Ana", "guest": false, "role": "user",
    })
}

fn room() -> Room {
    Room {
        id: RoomId::trusted("r1"),
        name: "Plaza".to_owned(),
        kind: RoomKind::Public,
        created_at: at(),
        member_count: 2,
        head_seq: 7,
        epoch: Epoch::new("e1"),
        role: None,
        read_seq: None,
        unread: None,
    }
}

fn room_json() -> Value {
    json!({
        "id": "r1", "name": "Plaza", "kind": "public", "createdAt": AT, "memberCount": 2,
        "headSeq": 7, "epoch": "e1",
    })
}

fn message() -> Message {
    Message {
        id: MessageId::trusted("m1"),
        room_id: RoomId::trusted("r1"),
        seq: 7,
        sender: Sender {
            id: UserId::trusted("u1"),
            display_name: "Ana".to_owned(),
            guest: false,
        },
        body: "hola".to_owned(),
        at: at(),
        client_id: None,
        reply_to: None,
        attachments: vec![],
        edited_at: None,
        deleted_at: None,
        reactions: vec![],
    }
}

fn message_json() -> Value {
    json!({
        "id": "m1", "roomId": "r1", "seq": 7,
        "sender": { "id": "u1", "displayName": "Ana", "guest": false },
        "body": "hola", "at": AT, "attachments": [], "reactions": [],
    })
}

#[test]
fn users_sessions_and_tokens() {
    same(&user(), user_json());
    let own = User {
        avatar_url: Some("https://example.org/a.png".to_owned()),
        email: Some("ana@example.org".to_owned()),
        role: Role::Staff,
        guest: true,
        ..user()
    };
    same(
        &own,
        json!({
            "id": "u1", "username": "ana", "displayName": "Ana", "guest": true, "role": "staff",
            "avatarUrl": "https://example.org/a.png", "email": "ana@example.org",
        }),
    );
    let tokens = Tokens {
        user: user(),
        access_token: "access".into(),
        refresh_token: "refresh".into(),
        expires_in: 900,
    };
    same(
        &tokens,
        json!({
            "user": user_json(), "accessToken": "access", "refreshToken": "refresh",
            "expiresIn": 900,
        }),
    );
    let session = Session {
        id: SessionId::trusted("s1"),
        device: "Firefox".to_owned(),
        address: "::1".to_owned(),
        created_at: at(),
        last_seen_at: at(),
        current: true,
    };
    same(
        &session,
        json!({
            "id": "s1", "device": "Firefox", "address": "::1", "createdAt": AT, "lastSeenAt": AT,
            "current": true,
        }),
    );
    same(&UserBody { user: user() }, json!({ "user": user_json() }));
    same(
        &SessionPage {
            sessions: vec![],
            has_more: false,
        },
        json!({ "sessions": [], "hasMore": false }),
    );
    same(
        &UserPage {
            users: vec![user()],
            has_more: true,
        },
        json!({ "users": [user_json()], "hasMore": true }),
    );
}

#[test]
fn rooms_and_members() {
    same(&room(), room_json());
    let mine = Room {
        kind: RoomKind::Direct,
        role: Some(RoomRole::Owner),
        read_seq: Some(5),
        unread: Some(2),
        ..room()
    };
    let mut literal = room_json();
    literal["kind"] = json!("direct");
    literal["role"] = json!("owner");
    literal["readSeq"] = json!(5);
    literal["unread"] = json!(2);
    same(&mine, literal);
    same(
        &RoomMember {
            user: user(),
            role: RoomRole::Moderator,
            joined_at: at(),
            read_seq: Some(5),
        },
        json!({ "user": user_json(), "role": "moderator", "joinedAt": AT, "readSeq": 5 }),
    );
    same(
        &RoomMemberChanged {
            room_id: RoomId::trusted("r1"),
            user_id: UserId::trusted("u1"),
            role: None,
        },
        json!({ "roomId": "r1", "userId": "u1", "role": null }),
    );
    same(
        &RoomUnread {
            room_id: RoomId::trusted("r1"),
            head_seq: 9,
            unread: 2,
        },
        json!({ "roomId": "r1", "headSeq": 9, "unread": 2 }),
    );
    same(
        &RoomUpdated { room: room() },
        json!({ "room": room_json() }),
    );
}

#[test]
fn messages() {
    same(&message(), message_json());
    let full = Message {
        client_id: Some("c1".to_owned()),
        reply_to: Some(3),
        edited_at: Some(at()),
        deleted_at: Some(at()),
        attachments: vec![Attachment {
            id: AttachmentId::trusted("a1"),
            kind: AttachmentKind::Image,
            file_name: "a.jpg".to_owned(),
            size: 5,
            url: Some("/media/a1".to_owned()),
            width: Some(800),
            height: Some(600),
            variants: Some(vec![ImageVariant {
                width: 200,
                height: 150,
                url: "/media/a1?w=200".to_owned(),
                content_type: "image/webp".to_owned(),
            }]),
            placeholder: Some("hash".to_owned()),
            animated: Some(true),
            status: AttachmentStatus::Ready,
            reason: Some(AttachmentFailure::NotAnImage),
        }],
        reactions: vec![Reaction {
            emoji: "👍".to_owned(),
            count: 2,
            mine: true,
        }],
        ..message()
    };
    let mut literal = message_json();
    literal["clientId"] = json!("c1");
    literal["replyTo"] = json!(3);
    literal["editedAt"] = json!(AT);
    literal["deletedAt"] = json!(AT);
    literal["attachments"] = json!([{
        "id": "a1", "kind": "image", "fileName": "a.jpg", "size": 5, "url": "/media/a1", "width": 800, "height": 600,
        "variants": [{
            "width": 200, "height": 150, "url": "/media/a1?w=200", "contentType": "image/webp",
        }],
        "placeholder": "hash", "animated": true, "status": "ready", "reason": "not_an_image",
    }]);
    literal["reactions"] = json!([{ "emoji": "👍", "count": 2, "mine": true }]);
    same(&full, literal);
}

/// Every durable event: the name and payload of its live form, and the form read back.
#[test]
fn room_events_carry_their_payload_and_type() {
    let room_id = RoomId::trusted("r1");
    let events = [
        (RoomEvent::New(message()), "message:new", message_json()),
        (
            RoomEvent::Edited(MessageEdited {
                room_id: room_id.clone(),
                seq: 8,
                of: 7,
                message: message(),
            }),
            "message:edited",
            json!({ "roomId": "r1", "seq": 8, "of": 7, "message": message_json() }),
        ),
        (
            RoomEvent::Deleted(MessageDeleted {
                room_id: room_id.clone(),
                seq: 8,
                of: 7,
            }),
            "message:deleted",
            json!({ "roomId": "r1", "seq": 8, "of": 7 }),
        ),
        (
            RoomEvent::Reacted(MessageReacted {
                room_id: room_id.clone(),
                seq: 8,
                of: 7,
                emoji: "👍".to_owned(),
                user_id: UserId::trusted("u1"),
                on: true,
            }),
            "message:reacted",
            json!({
                "roomId": "r1", "seq": 8, "of": 7, "emoji": "👍", "userId": "u1", "on": true,
            }),
        ),
        (
            RoomEvent::ImageReady(ImageReady {
                message_id: MessageId::trusted("m1"),
                room_id: room_id.clone(),
                seq: 8,
                of: 7,
                attachment_id: AttachmentId::trusted("a1"),
                url: "/media/a1".to_owned(),
                width: 800,
                height: 600,
                variants: Vec::new(),
                placeholder: Some("hash".to_owned()),
                animated: false,
            }),
            "image:ready",
            json!({
                "messageId": "m1", "roomId": "r1", "seq": 8, "of": 7, "attachmentId": "a1",
                "url": "/media/a1", "width": 800, "height": 600, "variants": [],
                "placeholder": "hash", "animated": false,
            }),
        ),
        (
            RoomEvent::ImageFailed(ImageFailed {
                message_id: MessageId::trusted("m1"),
                room_id: room_id.clone(),
                seq: 8,
                of: 7,
                attachment_id: AttachmentId::trusted("a1"),
                reason: AttachmentFailure::TimedOut,
            }),
            "image:failed",
            json!({
                "messageId": "m1", "roomId": "r1", "seq": 8, "of": 7, "attachmentId": "a1",
                "reason": "timed_out",
            }),
        ),
        (
            RoomEvent::Void(RoomVoid {
                room_id: room_id.clone(),
                seq: 8,
            }),
            "room:void",
            json!({ "roomId": "r1", "seq": 8 }),
        ),
    ];
    for (event, name, payload) in events {
        assert_eq!(event.name(), name);
        assert_eq!(event.room_id(), &room_id);
        assert_eq!(json!(event.seq()), payload["seq"]);
        assert_eq!(serde_json::to_value(event.payload()).unwrap(), payload);

        let mut stored = payload;
        stored["type"] = json!(name);
        same(&event, stored);
    }
}

#[test]
fn acks() {
    same(
        &Ack::Ok(RoomBody { room: room() }),
        json!({ "ok": true, "room": room_json() }),
    );
    same(&Ack::Ok(Done {}), json!({ "ok": true }));
    same(
        &Ack::Ok(MessageSent {
            message: message(),
            duplicate: false,
        }),
        json!({ "ok": true, "message": message_json(), "duplicate": false }),
    );
    same(
        &Ack::Ok(EditAccepted {
            message: message(),
            seq: 8,
        }),
        json!({ "ok": true, "message": message_json(), "seq": 8 }),
    );
    same(
        &Ack::Ok(ChangeAccepted { seq: 8 }),
        json!({ "ok": true, "seq": 8 }),
    );
    same(
        &Ack::Ok(ReadAccepted {
            read_seq: 5,
            unread: 2,
        }),
        json!({ "ok": true, "readSeq": 5, "unread": 2 }),
    );
    same(
        &Ack::Ok(Presence {
            count: 1,
            online: vec![UserId::trusted("u1")],
        }),
        json!({ "ok": true, "count": 1, "online": ["u1"] }),
    );
    same(
        &Ack::Ok(MessagePage {
            messages: vec![message()],
            has_more: true,
        }),
        json!({ "ok": true, "messages": [message_json()], "hasMore": true }),
    );
    same(
        &Ack::<Done>::refused(ErrorCode::NotFound, "no such room"),
        json!({
            "ok": false,
            "error": { "code": "not_found", "message": "no such room", "retryable": false },
        }),
    );
    let slow = ErrorBody::new(ErrorCode::RateLimited, "too fast").retry_after_ms(250);
    same(
        &Ack::<Done>::Refused(slow),
        json!({
            "ok": false,
            "error": {
                "code": "rate_limited", "message": "too fast", "retryable": true,
                "retryAfterMs": 250,
            },
        }),
    );
    for wrong in [
        json!({ "ok": false }),
        json!({ "ok": true, "error": { "code": "invalid",
        "message": "", "retryable": false } }),
        json!({}),
        json!({ "ok": true }),
    ] {
        assert!(serde_json::from_value::<Ack<RoomBody>>(wrong).is_err());
    }
}

/// `missed` may hold events that were written before.
#[test]
fn joining() {
    let event = RoomEvent::New(message());
    let joined = RoomJoined {
        room: room(),
        head_seq: 7,
        missed: vec![event.clone()],
        complete: false,
        reset: Some(true),
    };
    let mut event_json = message_json();
    event_json["type"] = json!("message:new");
    let literal = json!({
        "ok": true, "room": room_json(), "headSeq": 7, "missed": [event_json], "complete": false,
        "reset": true,
    });
    same(&Ack::Ok(joined), literal.clone());

    let written = to_raw_value(&event).unwrap();
    let ready = RoomJoined {
        room: room(),
        head_seq: 7,
        missed: vec![&*written],
        complete: false,
        reset: Some(true),
    };
    let text = serde_json::to_string(&Ack::Ok(ready)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), literal);
}

#[test]
fn beginning_and_end_of_a_connection() {
    let resume = BTreeMap::from([
        (
            RoomId::trusted("r1"),
            ResumePoint {
                seq: 7,
                epoch: Some(Epoch::new("e1")),
            },
        ),
        (
            RoomId::trusted("r2"),
            ResumePoint {
                seq: 0,
                epoch: None,
            },
        ),
    ]);
    same(
        &ConnectAuth {
            token: "access".into(),
            resume: Some(resume),
        },
        json!({
            "token": "access", "resume": { "r1": { "seq": 7, "epoch": "e1" }, "r2": { "seq": 0 } },
        }),
    );
    same(
        &ConnectAuth {
            token: "access".into(),
            resume: None,
        },
        json!({ "token": "access" }),
    );
    let error = ErrorBody::new(ErrorCode::Unauthenticated, "the token has expired");
    same(
        &ConnectRefused::from(error.clone()),
        json!({
            "message": "the token has expired",
            "data": { "code": "unauthenticated", "message": "the token has expired" },
        }),
    );
    let room_id = RoomId::trusted("r1");
    same(
        &RoomResumed::Resumed(ResumedRoom {
            room_id: room_id.clone(),
            head_seq: 7,
            complete: true,
            reset: None,
        }),
        json!({ "roomId": "r1", "headSeq": 7, "complete": true }),
    );
    same(
        &RoomResumed::Lost(LostRoom {
            room_id: room_id.clone(),
            error,
        }),
        json!({
            "roomId": "r1",
            "error": {
                "code": "unauthenticated", "message": "the token has expired", "retryable": false,
            },
        }),
    );
    same(
        &Resync {
            room_id,
            head_seq: 7,
        },
        json!({ "roomId": "r1", "headSeq": 7 }),
    );
    same(
        &ServerDraining {
            reconnect_after_ms: 1500,
        },
        json!({ "reconnectAfterMs": 1500 }),
    );
    same(&SessionRevoked {}, json!({}));
}

#[test]
fn presence() {
    let (room_id, user_id) = (RoomId::trusted("r1"), UserId::trusted("u1"));
    same(
        &TypingChanged {
            room_id: room_id.clone(),
            user_id: user_id.clone(),
            on: true,
        },
        json!({ "roomId": "r1", "userId": "u1", "on": true }),
    );
    same(
        &ReadChanged {
            room_id: room_id.clone(),
            user_id: user_id.clone(),
            seq: 5,
        },
        json!({ "roomId": "r1", "userId": "u1", "seq": 5 }),
    );
    same(
        &PresenceChanged {
            room_id: room_id.clone(),
            user_id,
            online: false,
        },
        json!({ "roomId": "r1", "userId": "u1", "online": false }),
    );
    same(
        &PresenceCount {
            room_id,
            count: 150,
        },
        json!({ "roomId": "r1", "count": 150 }),
    );
}

#[test]
fn problems_have_the_status_of_their_code() {
    let problem = Problem::from(
        ErrorBody::new(ErrorCode::Unavailable, "the database is down").retry_after_ms(2000),
    );
    same(
        &problem,
        json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503,
            "detail": "the database is down", "code": "unavailable", "retryable": true,
            "retryAfterMs": 2000,
        }),
    );
    let statuses = ErrorCode::ALL.map(|code| (code.as_str(), code.http_status()));
    assert_eq!(
        statuses,
        [
            ("invalid", 400),
            ("unauthenticated", 401),
            ("forbidden", 403),
            ("not_found", 404),
            ("conflict", 409),
            ("too_large", 413),
            ("rate_limited", 429),
            ("internal", 500),
            ("unavailable", 503),
        ]
    );
    for code in ErrorCode::ALL {
        same(&code, json!(code.as_str()));
    }
}

#[test]
fn health() {
    let check = HealthCheck {
        status: HealthStatus::Unavailable,
        latency_ms: Some(3),
        message: Some("disk full".to_owned()),
    };
    same(
        &HealthReport {
            status: HealthStatus::Degraded,
            version: "0.1.0".to_owned(),
            uptime_seconds: 60,
            checks: BTreeMap::from([("messageStore".to_owned(), check)]),
        },
        json!({
            "status": "degraded", "version": "0.1.0", "uptimeSeconds": 60,
            "checks": {
                "messageStore": {
                    "status": "unavailable", "latencyMs": 3, "message": "disk full",
                },
            },
        }),
    );
}

#[test]
fn times_are_utc_with_milliseconds() {
    same(
        &Timestamp::from_unix_ms(0),
        json!("1970-01-01T00:00:00.000Z"),
    );
    same(
        &Timestamp::from_unix_ms(951_826_554_999),
        json!("2000-02-29T12:15:54.999Z"),
    );
    assert_eq!(Timestamp::from_unix_ms(-1), Timestamp::from_unix_ms(0));
    assert_eq!(
        Timestamp::from_unix_ms(i64::MAX).to_string(),
        "9999-12-31T23:59:59.999Z"
    );
    for wrong in [
        "2026-01-31",
        "2026-01-31T09:30:00+01:00",
        "2026-02-31T09:30:00Z",
        "soon",
    ] {
        assert!(
            serde_json::from_value::<Timestamp>(json!(wrong)).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn secrets_do_not_print() {
    let login = LoginRequest {
        username: "ana".to_owned(),
        password: "hunter22".into(),
    };
    assert!(!format!("{login:?}").contains("hunter22"));
    assert_eq!(login.password.expose(), "hunter22");
}

#[test]
fn selected_fields() {
    let fields: MessageFields = serde_json::from_value(json!("seq, body,seq,editedAt")).unwrap();
    let selected = fields.select(&message()).unwrap();
    assert_eq!(Value::Object(selected), json!({ "seq": 7, "body": "hola" }));
    for wrong in ["", "seq,", "seq,secret", "Seq"] {
        assert!(
            serde_json::from_value::<MessageFields>(json!(wrong)).is_err(),
            "{wrong}"
        );
    }
}
