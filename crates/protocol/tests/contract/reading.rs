//! How requests are read, whatever their type: the field is named, the value never quoted.

use protocol::*;
use serde_json::{Value, json};

#[track_caller]
fn refused<T: Request>(json: &Value) -> Invalid {
    let from_text = read_json::<T>(json.to_string().as_bytes()).err().unwrap();
    let from_value = read::<T, _>(json.clone()).err().unwrap();
    assert_eq!(from_text, from_value);
    from_text
}

#[track_caller]
fn refuses<T: Request>(json: Value, field: &str, message: &str) {
    assert_eq!(refused::<T>(&json), Invalid::new(field, message));
}

#[test]
fn the_field_is_named() {
    refuses::<SendMessage>(
        json!({ "clientId": "c", "body": "b" }),
        "roomId",
        "is required",
    );
    refuses::<SendMessage>(
        json!({ "roomId": "r", "clientId": 5, "body": "b" }),
        "clientId",
        "expected a string",
    );
    refuses::<JoinRoom>(
        json!({ "roomId": "r", "since": -1 }),
        "since",
        "expected a whole number, 0 or more",
    );
    refuses::<JoinRoom>(
        json!({ "roomId": "r", "since": 1.5 }),
        "since",
        "expected a whole number, 0 or more",
    );
    refuses::<JoinRoom>(
        json!({ "roomId": "r 1" }),
        "roomId",
        "expected an id: 1 to 64 letters, digits, `_` or `-`",
    );
    refuses::<SetTyping>(
        json!({ "roomId": "r", "on": "yes" }),
        "on",
        "expected a boolean",
    );
    refuses::<CreateRoom>(
        json!({ "name": "n", "kind": "open" }),
        "kind",
        "expected one of `public`, `private`, `direct`",
    );
    refuses::<CreateRoom>(
        json!({ "name": "n", "kind": "public", "members": ["u1", 7] }),
        "members[1]",
        "expected an id: 1 to 64 letters, digits, `_` or `-`",
    );
    refuses::<CreateRoom>(
        json!({ "name": "n", "kind": "public", "members": "u1" }),
        "members",
        "expected a list",
    );
    refuses::<ConnectAuth>(
        json!({ "token": "t", "resume": [] }),
        "resume",
        "expected an object",
    );
    refuses::<ConnectAuth>(
        json!({ "token": "t", "resume": { "r1": {} } }),
        "resume.r1.seq",
        "is required",
    );
    let wrong_room = refused::<ConnectAuth>(&json!({ "token": "t", "resume": { "r 1": {} } }));
    assert!(wrong_room.field.starts_with("resume"), "{wrong_room}");
}

#[test]
fn the_whole_is_an_object() {
    for whole in [
        json!(null),
        json!(1),
        json!("r1"),
        json!([]),
        json!(["r1", true]),
    ] {
        refuses::<SetTyping>(whole, "payload", "expected an object");
    }
}

#[test]
fn text_that_is_not_json() {
    for text in [
        "",
        "{",
        "{\"roomId\":\"r\",}",
        "{\"roomId\":\"r\"} {}",
        "{\"roomId\":\"\\ud800\"}",
    ] {
        let invalid = read_json::<LeaveRoom>(text.as_bytes()).unwrap_err();
        assert!(!invalid.message.is_empty(), "{text}");
        assert!(!invalid.message.contains(" at line "), "{text}");
    }
    assert!(read_json::<LeaveRoom>(b"{\"roomId\":\"\xff\"}").is_err());
    let twice = read_json::<LeaveRoom>(br#"{"roomId":"r","roomId":"s"}"#).unwrap_err();
    assert_eq!(twice, Invalid::new("roomId", "is given twice"));
}

#[test]
fn values_are_never_quoted() {
    let tricks = [
        json!("hunter22"),
        json!("hunter22 at line "),
        json!("hunter22 expected "),
        json!("`hunter22`"),
        json!(["hunter22"]),
        json!({ "hunter22": "hunter22" }),
    ];
    for trick in tricks {
        let payloads = [
            trick.clone(),
            json!({ "roomId": trick, "seq": 1, "emoji": "x", "on": true }),
            json!({ "roomId": "r", "seq": trick, "emoji": "x", "on": true }),
            json!({ "roomId": "r", "seq": 1, "emoji": "x", "on": trick }),
        ];
        for payload in payloads {
            let Err(invalid) = read::<ReactToMessage, _>(payload.clone()) else {
                continue;
            };
            assert!(
                !invalid.to_string().contains("hunter22"),
                "{payload} → {invalid}"
            );
            let invalid = read_json::<ReactToMessage>(payload.to_string().as_bytes()).unwrap_err();
            assert!(
                !invalid.to_string().contains("hunter22"),
                "{payload} → {invalid}"
            );
        }
    }
}

#[test]
fn unknown_fields_are_ignored_and_optional_ones_may_be_null() {
    let request: SendMessage = read(json!({
        "roomId": "r", "clientId": "c", "body": "b", "replyTo": null, "mentions": null,
        "attachments": null, "later": { "version": 2 },
    }))
    .unwrap();
    assert_eq!(request.reply_to, None);
    assert!(request.mentions.is_empty());
}

#[test]
fn query_strings() {
    let query: HistoryQuery = read_query("before=70&limit=20&fields=id,body").unwrap();
    assert_eq!(
        (query.before, query.after, query.limit),
        (Some(70), None, Some(20))
    );
    assert!(query.fields.is_some());
    assert_eq!(
        read_query::<HistoryQuery>("").unwrap(),
        HistoryQuery::default()
    );
    let rooms: ListRooms = read_query("query=+pla%C3%A7a+&after=r1").unwrap();
    assert_eq!(rooms.query.as_deref(), Some("plaça"));
    assert_eq!(rooms.after, Some(RoomId::trusted("r1")));
    for limit in ["limit=many", "limit=", "limit=4294967296", "limit=-1"] {
        let invalid = read_query::<HistoryQuery>(limit).unwrap_err();
        assert_eq!(
            invalid,
            Invalid::new("limit", "expected a whole number, 0 or more")
        );
    }
    assert_eq!(
        read_query::<HistoryQuery>("limit=0").unwrap_err().field,
        "limit"
    );
    assert_eq!(
        read_query::<SearchQuery>("limit=5").unwrap_err().field,
        "query"
    );
    assert_eq!(
        read_query::<ListRooms>("after=r%201").unwrap_err().field,
        "after"
    );
}

#[test]
fn an_invalid_field_becomes_an_error_that_begins_with_it() {
    let error = ErrorBody::from(Invalid::new("members[2]", "is required"));
    assert_eq!(
        error,
        ErrorBody::new(ErrorCode::Invalid, "members[2]: is required")
    );
}
