//! Documents and checks agree: what a schema allows is accepted, and what is accepted a schema allows, for values of
//! every kind in every field of every request.

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use protocol::limits::*;
use protocol::*;
use serde_json::{Map, Value, json};

/// Texts that are made up for each field.
const MADE_UP: usize = 200;

/// One of the schemas of a document.
struct Validator {
    schemas: Schemas,
    schema: SchemaIndex,
}

impl Validator {
    /// That at this pointer.
    fn new(document: &Value, pointer: &str) -> Self {
        const DOCUMENT: &str = "https://example.org/document.json";
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(Draft::V2020_12);
        compiler.add_resource(DOCUMENT, document.clone()).unwrap();
        let place = format!("{DOCUMENT}#{pointer}");
        let schema = compiler.compile(&place, &mut schemas).unwrap();
        Self { schemas, schema }
    }

    fn is_valid(&self, value: &Value) -> bool {
        self.schemas.validate(value, self.schema).is_ok()
    }
}

/// The request of a type, as a document describes it and as it's read.
struct Contract {
    validator: Validator,
    accepts: fn(&Value) -> bool,
    fields: Vec<String>,
}

fn contract<T: Request>(document: &Value, name: &str) -> Contract {
    let pointer = format!("/components/schemas/{name}");
    let fields = document.pointer(&pointer).unwrap()["properties"].as_object();
    Contract {
        fields: fields.unwrap().keys().cloned().collect(),
        validator: Validator::new(document, &pointer),
        accepts: |request| read::<T, _>(request.clone()).is_ok(),
    }
}

impl Contract {
    #[track_caller]
    fn agrees(&self, request: &Value) {
        let (allowed, accepted) = (self.validator.is_valid(request), (self.accepts)(request));
        // More is taken than a schema says where white space doesn't count, another form is the same, or what is said
        // is ignored, as the name of a direct room.
        let lenient =
            accepted && (self.validator.is_valid(&usual(request)) || request["kind"] == "direct");
        let beyond = allowed && !accepted && is_beyond_patterns(request);
        assert!(
            allowed == accepted || lenient || beyond,
            "{request}: a schema says {allowed}, the server {accepted}"
        );
    }

    /// Every value in every field of a request that is in order, and the request without the field.
    #[track_caller]
    fn agrees_around(&self, request: &Value) {
        assert!((self.accepts)(request), "{request}");
        self.agrees(request);
        for field in &self.fields {
            let mut without = request.clone();
            without.as_object_mut().unwrap().remove(field);
            self.agrees(&without);
            for value in values(field) {
                let mut changed = request.clone();
                changed[field] = value;
                self.agrees(&changed);
            }
        }
    }
}

/// The same request as most would write it.
fn usual(request: &Value) -> Value {
    let fields = request.as_object().into_iter().flatten();
    let usual = fields.map(|(field, value)| match value {
        Value::String(text) if field == "username" => (field.clone(), json!(text::username(text))),
        // Names of domains have no invisible characters; whoever copied one is understood.
        Value::String(text) if field == "email" => {
            (field.clone(), json!(text.replace('\u{200b}', "")))
        }
        Value::String(text) => (field.clone(), json!(text.trim())),
        // A guess is answered as one.
        Value::Number(number) if field == "epoch" => (field.clone(), json!(number.to_string())),
        other => (field.clone(), other.clone()),
    });
    Value::Object(usual.collect::<Map<_, _>>())
}

/// Whether a name is one of those that no pattern tells from others: with letters that aren't seen, or with a heap of
/// marks.
fn is_beyond_patterns(request: &Value) -> bool {
    // Whether a message may be empty depends on what is attached.
    let attached = request["attachments"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    if request["body"]
        .as_str()
        .is_some_and(|body| body.trim().is_empty())
        && !attached
    {
        return true;
    }
    ["name", "displayName"].iter().any(|field| {
        let name = request[*field].as_str().unwrap_or_default();
        let name = name.trim();
        !text::visible_only(name) || name.contains('\u{2800}') || text::piles_marks(name)
    })
}

/// Values of every kind: those at the bounds, those that break a rule by a hair, and others that nobody thought of.
fn values(field: &str) -> Vec<Value> {
    let mut values = vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(0.5),
        json!(SEQ_MAX),
        json!(SEQ_MAX + 1),
        json!(u64::MAX),
        json!([]),
        json!([null]),
        json!(["x"]),
        json!(["x", "y"]),
        json!(["x", "y", "z"]),
        json!(["no id"]),
        json!({}),
    ];
    for max in [MENTIONS_MAX, ROOM_INITIAL_MEMBERS_MAX] {
        values.extend([max, max + 1].map(|count| json!(vec!["x"; count])));
    }
    for max in [HISTORY_MAX, EVENTS_MAX, SEARCH_MAX, PAGE_MAX] {
        values.extend([json!(max), json!(max + 1)]);
    }
    let lengths = [
        USERNAME_MIN - 1,
        USERNAME_MAX,
        PASSWORD_MIN - 1,
        PASSWORD_MAX,
        TOKEN_MAX,
        DISPLAY_NAME_MAX,
        EMAIL_MAX,
        AVATAR_URL_MAX,
        ROOM_NAME_MAX,
        MESSAGE_BODY_MAX,
        CLIENT_ID_MAX,
        SEARCH_QUERY_MAX,
    ];
    for length in lengths {
        values.extend([length, length + 1].map(|length| json!("x".repeat(length))));
    }
    let texts = [
        "",
        " ",
        "x",
        "x y",
        " x ",
        "x\n",
        "\nx",
        "x\ny",
        "\t",
        "\u{85}",
        "\u{85}x",
        "x\u{85}y",
        "\u{7f}",
        "x\0",
        "\0",
        "\u{80}x",
        "\u{a0}",
        "\u{3000}x",
        "public",
        "direct",
        "private",
        "member",
        "owner",
        "@",
        "x@",
        "@x",
        "x@y",
        "x@y@z",
        "x y@z",
        " x@y\n",
        "x@y\u{9f}",
        "\u{200b}",
        "\u{202e}x",
        "x\u{2069}",
        "\u{301}",
        "x\u{2028}y",
        "x@\u{200b}y",
        "★",
        "http://",
        "https://x",
        "http://x y",
        " https://x ",
        "ftp://x",
        "https://x\u{1}",
        "//x",
        "👍",
        "👩‍👩‍👧‍👦",
        "x,y",
    ];
    values.extend(texts.map(|text| json!(text)));
    // The same for every run, and other ones for every field.
    let mut runner = TestRunner::deterministic();
    // Beyond the basic plane what is a letter depends on the version of Unicode.
    let letter = proptest::char::range('\0', '\u{d7ff}');
    let made_up = proptest::collection::vec(letter, 0..12);
    let made_up = made_up.prop_map(|letters| letters.into_iter().collect::<String>());
    for _ in 0..field.len() {
        drop(made_up.new_tree(&mut runner));
    }
    values.extend((0..MADE_UP).map(|_| json!(made_up.new_tree(&mut runner).unwrap().current())));
    values
}

#[test]
fn what_the_documents_say_of_a_body_the_checks_do() {
    let document = openapi();
    macro_rules! agree {
        ($($type:ident: $($request:tt),+;)*) => {$(
            let of_type = contract::<$type>(&document, stringify!($type));
            $(of_type.agrees_around(&json!($request));)+
        )*};
    }
    agree! {
        RegisterRequest: { "username": "ana", "password": "a password", "displayName": "Ana", "email": "ana@example.org" };
        LoginRequest: { "username": "ana", "password": "a password" };
        GuestRequest: { "displayName": "Ana" };
        RefreshRequest: { "refreshToken": "x" };
        PasswordChange: { "currentPassword": "a password", "newPassword": "another one" };
        SetAvatar: { "uploadId": "u" };
        UpdateMe: { "displayName": "Ana", "avatarUrl": "https://example.org/a", "email": "ana@example.org", "currentPassword": "a password" };
        CreateRoom: { "name": "Tea", "kind": "public", "members": ["x"] }, { "kind": "direct", "members": ["x"] };
        UpdateRoom: { "name": "Tea" };
        PutMember: { "role": "owner" };
        PostMessage: { "body": "hola", "clientId": "c", "replyTo": 1, "mentions": ["x"] };
    }
}

#[test]
fn what_the_documents_say_of_an_event_the_checks_do() {
    let document = asyncapi();
    macro_rules! agree {
        ($($type:ident: $request:tt;)*) => {$(
            let of_type = contract::<$type>(&document, stringify!($type));
            of_type.agrees_around(&json!($request));
        )*};
    }
    agree! {
        CreateRoom: { "name": "Tea", "kind": "private" };
        JoinRoom: { "roomId": "r", "since": 1, "epoch": "e" };
        LeaveRoom: { "roomId": "r" };
        SendMessage: { "roomId": "r", "body": "hola", "clientId": "c", "replyTo": 1, "mentions": ["x"] };
        EditMessage: { "roomId": "r", "seq": 1, "body": "hola" };
        DeleteMessage: { "roomId": "r", "seq": 1 };
        HistoryRequest: { "roomId": "r", "before": 1, "after": 1, "limit": 1 };
        EventsRequest: { "roomId": "r", "after": 1, "limit": 1 };
        SearchRequest: { "roomId": "r", "query": "x", "before": 1, "limit": 1 };
        SetTyping: { "roomId": "r", "on": true };
        SetRead: { "roomId": "r", "seq": 1 };
        GetPresence: { "roomId": "r" };
    }
}

#[test]
fn what_the_documents_say_of_a_query_the_checks_do() {
    let document = openapi();
    type Accepts = fn(&str) -> bool;
    let reads: [(&str, Accepts); 7] = [
        ("/api/v1/me/rooms", |query| {
            read_query::<ListMyRooms>(query).is_ok()
        }),
        ("/api/v1/me/blocks", |query| {
            read_query::<ListBlocks>(query).is_ok()
        }),
        ("/api/v1/rooms", |query| {
            read_query::<ListRooms>(query).is_ok()
        }),
        ("/api/v1/rooms/{roomId}/members", |query| {
            read_query::<ListMembers>(query).is_ok()
        }),
        ("/api/v1/rooms/{roomId}/messages", |query| {
            read_query::<HistoryQuery>(query).is_ok()
        }),
        ("/api/v1/rooms/{roomId}/events", |query| {
            read_query::<EventsQuery>(query).is_ok()
        }),
        ("/api/v1/rooms/{roomId}/search", |query| {
            read_query::<SearchQuery>(query).is_ok()
        }),
    ];
    for (path, accepts) in reads {
        let parameters = document["paths"][path]["get"]["parameters"].as_array();
        for (index, parameter) in parameters.unwrap().iter().enumerate() {
            if parameter["in"] != "query" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            let escaped = path
                .replace('/', "~1")
                .replace('{', "%7B")
                .replace('}', "%7D");
            let pointer = format!("/paths/{escaped}/get/parameters/{index}/schema");
            let validator = Validator::new(&document, &pointer);
            for value in values(name) {
                let text = match &value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    _ => continue,
                };
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair(name, &text);
                if path.ends_with("search") && name != "query" {
                    query.append_pair("query", "x");
                }
                let query = query.finish();
                // In a URL a number and its digits are one.
                let number = text.parse::<u64>().ok().map(|number| json!(number));
                let allowed = validator.is_valid(&json!(text))
                    || number.is_some_and(|number| validator.is_valid(&number));
                let accepted = accepts(&query);
                let lenient = accepted && validator.is_valid(&json!(text.trim()));
                assert!(
                    allowed == accepted || lenient,
                    "{path}?{query}: a schema says {allowed}, the server {accepted}"
                );
            }
        }
    }
}
