//! Events from outside: what they may be called, and whom they may reach.

use protocol::limits::{PUBLISH_DATA_MAX, PUBLISH_EVENT_MAX};
use protocol::{CLIENT_EVENTS, PublicTopic, PublishRequest, SERVER_EVENTS, published_event, read};
use serde_json::{Value, json};

fn request() -> Value {
    json!({ "namespace": "/", "to": { "room": "r-1" }, "event": "price", "data": [1, null] })
}

#[track_caller]
fn refused(field: &str, value: Value) -> String {
    let mut request = request();
    request[field] = value.clone();
    match read::<PublishRequest, _>(request) {
        Ok(_) => panic!("{field} = {value} is accepted"),
        Err(invalid) => invalid.field,
    }
}

#[track_caller]
fn accepted(field: &str, value: Value) -> PublishRequest {
    let mut request = request();
    request[field] = value;
    read(request).unwrap()
}

/// Those that aren't served yet, too: a client of tomorrow must be able to trust them.
const CONTRACT: &[&str] = &[
    "room:create",
    "room:join",
    "room:leave",
    "message:send",
    "message:edit",
    "message:delete",
    "message:react",
    "message:history",
    "room:events",
    "message:search",
    "typing:set",
    "read:set",
    "presence:get",
    "image:upload",
    "image:ack",
    "image:ready",
    "message:new",
    "message:edited",
    "message:deleted",
    "message:reacted",
    "room:void",
    "typing:changed",
    "read:changed",
    "presence:changed",
    "presence:count",
    "room:updated",
    "room:member",
    "room:unread",
    "resync",
    "server:draining",
    "session:revoked",
    "room:resumed",
    "notification:new",
    "notification:read",
    "notification:list",
    "cache:invalidated",
    "order:subscribe",
    "order:subscribe_live_feed",
    "order:created",
    "order:accepted",
    "order:updated",
    "dashboard:snapshot",
    "dashboard:delta",
    "admin:live",
];

#[test]
fn nothing_of_the_contract_can_be_forged() {
    let listed = CLIENT_EVENTS.iter().map(|row| row.name);
    let listed = listed.chain(SERVER_EVENTS.iter().map(|row| row.name));
    let raised = [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "error",
        "newListener",
    ];
    for name in listed.chain(CONTRACT.iter().copied()).chain(raised) {
        let (first, rest) = name.split_at(1);
        let family = name.split(':').next().unwrap();
        for like in [
            name.to_owned(),
            name.to_uppercase(),
            first.to_uppercase() + rest,
            format!(" {name}"),
            format!("{name} "),
            name.replace(':', " : "),
            // Letters that look the same, that become the same, or that aren't seen.
            name.replacen('e', "\u{435}", 1)
                .replacen('o', "\u{43e}", 1)
                .replacen('s', "\u{455}", 1),
            name.replacen('e', "\u{ff45}", 1)
                .replacen('o', "\u{ff4f}", 1)
                .replacen('s', "\u{17f}", 1),
            name.replace(':', "\u{ff1a}") + "\u{200b}",
            format!("{first}\u{ad}{rest}"),
            format!("\u{feff}{name}"),
            format!("{name}\0"),
            format!("{name}\n"),
            format!("{name}\u{301}"),
        ] {
            assert!(published_event(&like).is_err(), "{like:?} is accepted");
        }
        if name.contains(':') {
            for like in [
                format!("{family}:"),
                format!("{family}:of-tomorrow"),
                format!("{family}::x"),
            ] {
                assert!(published_event(&like).is_err(), "{like:?} is accepted");
            }
        }
    }
    assert_eq!(refused("event", json!("message:new")), "event");
}

#[test]
fn names_of_ones_own_are_fine() {
    for name in [
        "price",
        "new message",
        "stock:low",
        "Invoice.Paid",
        "orders/42/eta",
        "message",
        "room",
        "roommate:joined",
        "a",
        "connected",
        "readings:new",
        "x-y_z",
    ] {
        assert_eq!(published_event(name), Ok(()), "{name}");
    }
    accepted("event", json!("x".repeat(PUBLISH_EVENT_MAX)));
    for name in ["", " ", "*", "añadido", &"x".repeat(PUBLISH_EVENT_MAX + 1)] {
        assert_eq!(refused("event", json!(name)), "event");
    }
}

#[test]
fn it_reaches_one_public_topic() {
    for (to, topic) in [
        (json!({ "room": "r-1" }), "room:r-1"),
        (json!({ "user": "u_1" }), "user:u_1"),
        (json!({ "topic": "room:r-1" }), "room:r-1"),
        (json!({ "topic": "user:u-1" }), "user:u-1"),
        (json!({ "topic": "order:o-1" }), "order:o-1"),
        (json!({ "topic": "orders:live" }), "orders:live"),
    ] {
        let topic_of = accepted("to", to).to.topic().unwrap();
        assert_eq!(topic_of.to_string(), topic);
        assert_eq!(topic.parse(), Ok(topic_of));
    }
    for (to, field) in [
        (json!({}), "to"),
        (json!({ "room": "r-1", "user": "u-1" }), "to"),
        (json!({ "room": "r-1", "topic": "orders:live" }), "to"),
        (json!({ "room": "" }), "to.room"),
        (json!({ "user": "a:b" }), "to.user"),
        (json!({ "topic": 1 }), "to.topic"),
        (json!("r-1"), "to"),
    ] {
        assert_eq!(refused("to", to), field);
    }
    for topic in [
        "admin:live",
        "ADMIN:live",
        "admin:",
        "session:s-1",
        "everybody",
        "orders",
        "orders:LIVE",
        "room:",
        "room:a:b",
        "Room:r-1",
        " room:r-1",
        "room:r-1 ",
        "order:ä",
        "",
        ":",
        "/orders,room:r-1",
        &format!("room:{}", "x".repeat(65)),
    ] {
        assert_eq!(
            refused("to", json!({ "topic": topic })),
            "to.topic",
            "{topic}"
        );
        assert!(topic.parse::<PublicTopic>().is_err());
    }
}

#[test]
fn it_is_of_a_namespace_that_others_may_use_and_has_a_bound() {
    accepted("namespace", json!("/"));
    for namespace in ["", "orders", "/admin", "/Orders", "/orders/", "//"] {
        assert_eq!(refused("namespace", json!(namespace)), "namespace");
    }
    for data in [json!(null), json!(0), json!(""), json!({ "a": [1.5] })] {
        accepted("data", data);
    }
    accepted("data", json!("x".repeat(PUBLISH_DATA_MAX - 2)));
    assert_eq!(
        refused("data", json!("x".repeat(PUBLISH_DATA_MAX - 1))),
        "data"
    );
    assert_eq!(
        refused("data", json!("\"".repeat(PUBLISH_DATA_MAX / 2))),
        "data"
    );
    let mut request = request();
    request.as_object_mut().unwrap().remove("data");
    let lacking = read::<PublishRequest, _>(request).unwrap_err();
    assert_eq!(lacking.field, "data");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let text = format!(r#"{{"namespace":"/","to":{{"room":"r"}},"event":"e","data":{deep}}}"#);
    assert!(protocol::read_json::<PublishRequest>(text.as_bytes()).is_err());
}
