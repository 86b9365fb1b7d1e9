//! Every bound of every request, from both sides.

use protocol::limits::*;
use protocol::*;
use serde_json::{Value, json};

/// With this value in the field the request is accepted.
#[track_caller]
fn accepts<T: Request>(base: &Value, field: &str, values: impl IntoIterator<Item = Value>) {
    for value in values {
        let mut request = base.clone();
        request[field] = value.clone();
        if let Err(invalid) = read::<T, _>(request) {
            panic!("{field} = {value}: {invalid}");
        }
    }
}

/// With this value in the field the request is refused, and the field is named.
#[track_caller]
fn refuses<T: Request>(base: &Value, field: &str, values: impl IntoIterator<Item = Value>) {
    for value in values {
        let mut request = base.clone();
        request[field] = value.clone();
        match read::<T, _>(request) {
            Ok(_) => panic!("{field} = {value} is accepted"),
            Err(invalid) => assert_eq!(invalid.field, field, "{value}"),
        }
    }
}

/// Text of `max` characters is accepted, with one more it is refused; the characters take four
/// bytes each, so that bytes aren't taken for characters.
#[track_caller]
fn holds_characters<T: Request>(base: &Value, field: &str, max: usize) {
    accepts::<T>(base, field, [json!("𝄞"), json!("𝄞".repeat(max))]);
    refuses::<T>(base, field, [json!(""), json!("𝄞".repeat(max + 1))]);
}

/// One line of text: no control characters, and white space around it doesn't count.
#[track_caller]
fn is_a_trimmed_line<T: Request>(base: &Value, field: &str, max: usize) {
    holds_characters::<T>(base, field, max);
    accepts::<T>(base, field, [json!(format!("  {}\t\n", "x".repeat(max)))]);
    refuses::<T>(
        base,
        field,
        [json!(" \n\u{3000} "), json!("a\nb"), json!("a\0b")],
    );
}

/// A name that is shown beside others' text.
#[track_caller]
fn is_a_shown_name<T: Request>(base: &Value, field: &str, max: usize) {
    is_a_trimmed_line::<T>(base, field, max);
    let piled = format!("a{}", "\u{301}".repeat(60));
    let fine = [
        "王小明",
        "דנה (Dana)",
        "\u{2068}דנה\u{2069}",
        "❤️",
        "Z\u{30c}e\u{301}",
        "می\u{200c}خواهم",
        "👩🏽‍🚀",
    ];
    accepts::<T>(base, field, fine.map(|name| json!(name)));
    let refused = [
        "\u{200b}",
        "\u{3164}",
        "\u{2800}",
        "\u{ad}",
        "\u{fe0f}",
        "\u{e0067}\u{e007f}",
        "\u{301}",
        "ann\u{202e}",
        "\u{202a}ann\u{202c}",
        "\u{2067}ann",
        "ann\u{2069}",
        "a\u{2028}b",
        &piled,
    ];
    refuses::<T>(base, field, refused.map(|name| json!(name)));
}

#[track_caller]
fn is_an_id<T: Request>(base: &Value, field: &str) {
    accepts::<T>(
        base,
        field,
        [json!("x"), json!("aZ09_-"), json!("x".repeat(ID_MAX))],
    );
    refuses::<T>(
        base,
        field,
        [
            json!(""),
            json!("x".repeat(ID_MAX + 1)),
            json!("a b"),
            json!("a/b"),
            json!("ñ"),
            json!(1),
        ],
    );
}

/// A place of an existing event.
#[track_caller]
fn is_a_seq<T: Request>(base: &Value, field: &str) {
    accepts::<T>(base, field, [json!(1), json!(SEQ_MAX)]);
    refuses::<T>(
        base,
        field,
        [
            json!(0),
            json!(-1),
            json!(SEQ_MAX + 1),
            json!("1"),
            json!(1.5),
        ],
    );
}

/// How far a client has read, which may be nothing.
#[track_caller]
fn is_a_place<T: Request>(base: &Value, field: &str) {
    accepts::<T>(base, field, [json!(0), json!(SEQ_MAX)]);
    refuses::<T>(
        base,
        field,
        [json!(-1), json!(SEQ_MAX + 1), json!(u64::MAX), json!("1")],
    );
}

#[track_caller]
fn is_a_limit<T: Request>(base: &Value, max: u32) {
    accepts::<T>(base, "limit", [json!(null), json!(1), json!(max)]);
    refuses::<T>(
        base,
        "limit",
        [json!(0), json!(max + 1), json!(-1), json!("5")],
    );
}

fn ids(count: usize) -> Value {
    (0..count).map(|number| format!("u{number}")).collect()
}

#[test]
fn register() {
    let base = json!({ "username": "ana", "password": "long enough" });
    let field = "username";
    accepts::<RegisterRequest>(
        &base,
        field,
        [json!("a_B"), json!("a.b-9"), json!("x".repeat(32))],
    );
    refuses::<RegisterRequest>(
        &base,
        field,
        [
            json!("ab"),
            json!("x".repeat(33)),
            json!("a b c"),
            json!("añil"),
            json!(" ana"),
            json!(7),
        ],
    );
    accepts::<RegisterRequest>(
        &base,
        "password",
        [json!("x".repeat(8)), json!("𝄞".repeat(128))],
    );
    refuses::<RegisterRequest>(
        &base,
        "password",
        [
            json!("x".repeat(7)),
            json!("x".repeat(129)),
            json!(12_345_678),
            json!(null),
        ],
    );
    is_a_shown_name::<RegisterRequest>(&base, "displayName", DISPLAY_NAME_MAX);
    let long = format!("{}@example.org", "x".repeat(EMAIL_MAX - 12));
    accepts::<RegisterRequest>(
        &base,
        "email",
        [json!("a@b"), json!(long), json!(" a@b.org ")],
    );
    refuses::<RegisterRequest>(
        &base,
        "email",
        [
            json!(format!("x{long}")),
            json!("a"),
            json!("@b"),
            json!("a@"),
            json!("a b@c"),
            json!(""),
        ],
    );
    let request: RegisterRequest =
        read(json!({ "username": "ana", "password": " spaces stay ", "displayName": " Ana " }))
            .unwrap();
    assert_eq!(request.password.expose(), " spaces stay ");
    assert_eq!(request.display_name.as_deref(), Some("Ana"));
}

#[test]
fn what_is_typed_twice_has_one_form() {
    let typed = |username: &str, name: &str, email: &str| {
        let base = json!({
            "username": username, "password": "long enough", "displayName": name, "email": email
        });
        let request: RegisterRequest = read(base).unwrap();
        (request.username, request.display_name, request.email)
    };
    assert_eq!(
        typed("ａｎａ", "Ana\u{301}", "ana\u{301}@bu\u{308}cher.example"),
        typed("ana", "Aná", "aná@xn--bcher-kva.example"),
    );
    let login: LoginRequest = read(json!({ "username": "ａｎａ", "password": "x" })).unwrap();
    assert_eq!(login.username, "ana");
    let base = json!({ "username": "ana" });
    let decomposed = |length| json!("e\u{301}".repeat(length));
    accepts::<RegisterRequest>(&base, "password", [decomposed(8), decomposed(128)]);
    refuses::<RegisterRequest>(&base, "password", [decomposed(7)]);
    let mail = json!({ "username": "ana", "password": "long enough" });
    refuses::<RegisterRequest>(
        &mail,
        "email",
        [json!("a\u{200b}@b.org"), json!("a@b\u{202e}")],
    );
}

#[test]
fn login_guest_refresh_and_password() {
    let login = json!({ "username": "ana", "password": "long enough" });
    holds_characters::<LoginRequest>(&login, "username", USERNAME_MAX);
    holds_characters::<LoginRequest>(&login, "password", PASSWORD_MAX);
    is_a_shown_name::<GuestRequest>(&json!({}), "displayName", DISPLAY_NAME_MAX);
    holds_characters::<RefreshRequest>(&json!({}), "refreshToken", TOKEN_MAX);
    let change = json!({ "currentPassword": "x", "newPassword": "long enough" });
    holds_characters::<PasswordChange>(&change, "currentPassword", PASSWORD_MAX);
    accepts::<PasswordChange>(
        &change,
        "newPassword",
        [json!("x".repeat(8)), json!("x".repeat(128))],
    );
    refuses::<PasswordChange>(
        &change,
        "newPassword",
        [json!("x".repeat(7)), json!("x".repeat(129))],
    );
}

#[test]
fn one_s_own_user() {
    let none = json!({});
    is_a_shown_name::<UpdateMe>(&none, "displayName", DISPLAY_NAME_MAX);
    let long = format!("https://{}", "x".repeat(AVATAR_URL_MAX - 8));
    accepts::<UpdateMe>(
        &none,
        "avatarUrl",
        [json!("http://a/b.png"), json!(long), json!(null)],
    );
    refuses::<UpdateMe>(
        &none,
        "avatarUrl",
        [
            json!(format!("{long}x")),
            json!("javascript:alert(1)"),
            json!("https://"),
            json!("https://a b"),
            json!(""),
        ],
    );
    accepts::<UpdateMe>(&none, "email", [json!("a@b.org"), json!(null)]);
    refuses::<UpdateMe>(&none, "email", [json!("a"), json!("")]);
    holds_characters::<UpdateMe>(&none, "currentPassword", PASSWORD_MAX);

    let unchanged: UpdateMe = read(json!({})).unwrap();
    assert_eq!(unchanged, UpdateMe::default());
    let removed: UpdateMe = read(json!({ "email": null, "avatarUrl": null })).unwrap();
    assert_eq!(
        (removed.email, removed.avatar_url),
        (Some(None), Some(None))
    );
    let set: UpdateMe = read(json!({ "email": " a@b.org " })).unwrap();
    assert_eq!(set.email, Some(Some("a@b.org".to_owned())));
}

#[test]
fn lists_of_users_rooms_and_members() {
    let users = json!({ "query": "an" });
    is_a_trimmed_line::<ListUsers>(&users, "query", SEARCH_QUERY_MAX);
    is_an_id::<ListUsers>(&users, "after");
    is_a_limit::<ListUsers>(&users, PAGE_MAX);
    let none = json!({});
    is_a_trimmed_line::<ListRooms>(&none, "query", SEARCH_QUERY_MAX);
    is_an_id::<ListRooms>(&none, "after");
    is_a_limit::<ListRooms>(&none, PAGE_MAX);
    is_an_id::<ListMyRooms>(&none, "after");
    is_a_limit::<ListMyRooms>(&none, PAGE_MAX);
    is_an_id::<ListMembers>(&none, "after");
    is_a_limit::<ListMembers>(&none, PAGE_MAX);
}

#[test]
fn rooms() {
    for kind in ["public", "private"] {
        let base = json!({ "name": "Plaza", "kind": kind });
        is_a_shown_name::<CreateRoom>(&base, "name", ROOM_NAME_MAX);
        refuses::<CreateRoom>(&base, "name", [json!(null)]);
        accepts::<CreateRoom>(&base, "members", [json!([]), ids(ROOM_INITIAL_MEMBERS_MAX)]);
        refuses::<CreateRoom>(&base, "members", [ids(ROOM_INITIAL_MEMBERS_MAX + 1)]);
    }
    let direct = json!({ "kind": "direct", "members": ["u1"] });
    accepts::<CreateRoom>(&direct, "members", [ids(1), ids(2)]);
    refuses::<CreateRoom>(&direct, "members", [json!([]), json!(null), ids(3)]);
    accepts::<CreateRoom>(&direct, "name", [json!(null), json!(""), json!("ignored")]);
    refuses::<CreateRoom>(&direct, "kind", [json!("Public"), json!(null), json!(1)]);
    is_a_shown_name::<UpdateRoom>(&json!({}), "name", ROOM_NAME_MAX);
}

#[test]
fn membership() {
    let room = json!({ "roomId": "r1" });
    is_an_id::<LeaveRoom>(&room, "roomId");
    is_an_id::<JoinRoom>(&room, "roomId");
    is_a_place::<JoinRoom>(&room, "since");
    accepts::<JoinRoom>(
        &room,
        "epoch",
        [json!("e1"), json!(7), json!(-7), json!(null)],
    );
    refuses::<JoinRoom>(&room, "epoch", [json!({}), json!([]), json!(true)]);
    let joined: JoinRoom = read(json!({ "roomId": "r1", "epoch": 7 })).unwrap();
    assert_eq!(joined.epoch, Some(Epoch::new("7")));
    accepts::<PutMember>(
        &json!({}),
        "role",
        [json!("member"), json!("owner"), json!(null)],
    );
    refuses::<PutMember>(&json!({}), "role", [json!("admin"), json!(1)]);
}

#[test]
fn messages() {
    let base = json!({ "roomId": "r1", "clientId": "c1", "body": "hola" });
    is_an_id::<SendMessage>(&base, "roomId");
    refuses::<SendMessage>(&base, "clientId", [json!(null)]);
    bounds_of_content::<SendMessage>(&base);
    bounds_of_content::<PostMessage>(&base);
    accepts::<PostMessage>(&base, "clientId", [json!(null)]);

    let edit = json!({ "roomId": "r1", "seq": 7, "body": "hola" });
    is_an_id::<EditMessage>(&edit, "roomId");
    is_a_seq::<EditMessage>(&edit, "seq");
    is_a_body::<EditMessage>(&edit);
    is_an_id::<DeleteMessage>(&edit, "roomId");
    is_a_seq::<DeleteMessage>(&edit, "seq");

    let react = json!({ "roomId": "r1", "seq": 7, "emoji": "👍", "on": true });
    is_an_id::<ReactToMessage>(&react, "roomId");
    is_a_seq::<ReactToMessage>(&react, "seq");
    accepts::<ReactToMessage>(
        &react,
        "emoji",
        [json!("👩🏽‍❤️‍💋‍👩🏽"), json!("❤"), json!("1⃣"), json!("🇺🇳")],
    );
    refuses::<ReactToMessage>(
        &react,
        "emoji",
        [
            json!(""),
            json!("idiot"),
            json!("1"),
            json!("👍👍"),
            json!("\u{200d}"),
            json!("👍 "),
            json!("a\0"),
            json!("👍".repeat(17)),
        ],
    );
    let read_as = |emoji: &str| {
        let mut react = react.clone();
        react["emoji"] = json!(emoji);
        read::<ReactToMessage, _>(react).unwrap().emoji
    };
    assert_eq!(
        [read_as("❤"), read_as("❤\u{fe0f}")],
        ["❤\u{fe0f}", "❤\u{fe0f}"]
    );
    // What was put before only emoji were taken can be taken back.
    let take_back = json!({ "roomId": "r1", "seq": 7, "emoji": "👍", "on": false });
    accepts::<ReactToMessage>(&take_back, "emoji", [json!("x".repeat(EMOJI_MAX))]);
    refuses::<ReactToMessage>(
        &take_back,
        "emoji",
        [json!(""), json!("a b"), json!("x".repeat(EMOJI_MAX + 1))],
    );
    refuses::<ReactToMessage>(&react, "on", [json!(null), json!(1), json!("true")]);
}

#[track_caller]
fn bounds_of_content<T: Request>(base: &Value) {
    holds_characters::<T>(base, "clientId", CLIENT_ID_MAX);
    refuses::<T>(base, "clientId", [json!("a\nb"), json!(5)]);
    is_a_body::<T>(base);
    is_a_seq::<T>(base, "replyTo");
    accepts::<T>(base, "mentions", [json!([]), ids(MENTIONS_MAX)]);
    refuses::<T>(base, "mentions", [ids(MENTIONS_MAX + 1), json!("u1")]);
    accepts::<T>(base, "attachments", [json!([])]);
    accepts::<T>(base, "attachments", [json!(["a1"]), ids(ATTACHMENTS_MAX)]);
    let wrong = [ids(ATTACHMENTS_MAX + 1), json!("a1")];
    refuses::<T>(base, "attachments", wrong);
    // What is attached may speak for itself.
    let mut attached = base.clone();
    attached["attachments"] = json!(["a1"]);
    accepts::<T>(&attached, "body", [json!(""), json!(" ")]);
    refuses::<T>(
        &attached,
        "body",
        [json!("\0"), json!("x".repeat(MESSAGE_BODY_MAX + 1))],
    );
}

#[track_caller]
fn is_a_body<T: Request>(base: &Value) {
    holds_characters::<T>(base, "body", MESSAGE_BODY_MAX);
    accepts::<T>(base, "body", [json!(" a\r\n\tb ")]);
    refuses::<T>(
        base,
        "body",
        [json!(" \n"), json!("a\0b"), json!(5), json!(null)],
    );
}

#[test]
fn the_idempotency_key_is_the_client_id() {
    let message = |client_id: Value| -> PostMessage {
        read(json!({ "clientId": client_id, "body": "hola" })).unwrap()
    };
    let key = |message: PostMessage, key| message.with_idempotency_key(key);
    let client_id = |message: PostMessage| message.client_id;
    let given = |result: Result<PostMessage, ErrorBody>| {
        let field = |error: ErrorBody| error.message.split(':').next().map(str::to_owned);
        result.map(client_id).map_err(|error| field(error).unwrap())
    };
    let c1 = Some("c1".to_owned());
    assert_eq!(given(key(message(json!(null)), None)), Ok(None));
    assert_eq!(given(key(message(json!("c1")), None)), Ok(c1.clone()));
    assert_eq!(given(key(message(json!(null)), Some("c1"))), Ok(c1.clone()));
    assert_eq!(given(key(message(json!("c1")), Some("c1"))), Ok(c1));
    assert_eq!(
        given(key(message(json!("c2")), Some("c1"))),
        Err("clientId".to_owned())
    );
    let long = "x".repeat(CLIENT_ID_MAX + 1);
    assert_eq!(
        given(key(message(json!(null)), Some(&long))),
        Err("Idempotency-Key".to_owned())
    );
    assert_eq!(
        given(key(message(json!(null)), Some(""))),
        Err("Idempotency-Key".to_owned())
    );
}

#[test]
fn history() {
    let room = json!({ "roomId": "r1", "after": 0, "query": "hola" });
    is_an_id::<HistoryRequest>(&room, "roomId");
    is_a_place::<HistoryRequest>(&room, "before");
    is_a_place::<HistoryRequest>(&room, "after");
    is_a_limit::<HistoryRequest>(&room, HISTORY_MAX);
    is_a_place::<HistoryQuery>(&room, "before");
    is_a_place::<HistoryQuery>(&room, "after");
    is_a_limit::<HistoryQuery>(&room, HISTORY_MAX);
    is_an_id::<EventsRequest>(&room, "roomId");
    is_a_place::<EventsRequest>(&room, "after");
    refuses::<EventsRequest>(&room, "after", [json!(null)]);
    is_a_limit::<EventsRequest>(&room, EVENTS_MAX);
    is_a_place::<EventsQuery>(&room, "after");
    accepts::<EventsQuery>(&room, "after", [json!(null)]);
    is_a_limit::<EventsQuery>(&room, EVENTS_MAX);
    is_an_id::<SearchRequest>(&room, "roomId");
    is_a_trimmed_line::<SearchRequest>(&room, "query", SEARCH_QUERY_MAX);
    is_a_limit::<SearchRequest>(&room, SEARCH_MAX);
    is_a_trimmed_line::<SearchQuery>(&room, "query", SEARCH_QUERY_MAX);
    is_a_limit::<SearchQuery>(&room, SEARCH_MAX);
}

#[test]
fn presence() {
    let room = json!({ "roomId": "r1", "on": true, "seq": 7 });
    is_an_id::<SetTyping>(&room, "roomId");
    refuses::<SetTyping>(&room, "on", [json!(null), json!(0)]);
    is_an_id::<SetRead>(&room, "roomId");
    is_a_place::<SetRead>(&room, "seq");
    is_an_id::<GetPresence>(&room, "roomId");
}

#[test]
fn connecting() {
    let base = json!({ "token": "t" });
    holds_characters::<ConnectAuth>(&base, "token", TOKEN_MAX);
    let rooms = |count: usize| -> Value {
        (0..count)
            .map(|number| (format!("r{number}"), json!({ "seq": number })))
            .collect()
    };
    accepts::<ConnectAuth>(
        &base,
        "resume",
        [json!(null), json!({}), rooms(RESUME_ROOMS_MAX)],
    );
    refuses::<ConnectAuth>(&base, "resume", [rooms(RESUME_ROOMS_MAX + 1), json!("r1")]);
    let far = json!({ "token": "t", "resume": { "r1": { "seq": SEQ_MAX + 1 } } });
    assert_eq!(
        read::<ConnectAuth, _>(far).unwrap_err().field,
        "resume.r1.seq"
    );
}
