//! The generated documents: complete, sound in themselves, and about nothing else.

use std::collections::{BTreeMap, BTreeSet};

use protocol::*;
use serde_json::{Value, json};

/// Every value of the document, with the references among them.
fn references(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![document];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.insert(reference.clone());
                }
                left.extend(fields.values());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn references_resolve_and_every_schema_is_referred_to() {
    for document in [openapi(), asyncapi()] {
        let references = references(&document);
        assert!(references.len() > 40);
        for reference in &references {
            let pointer = reference.strip_prefix('#');
            assert!(
                pointer.is_some_and(|at| document.pointer(at).is_some()),
                "{reference}"
            );
        }
        for name in names(&document["components"]["schemas"]) {
            assert!(
                references.contains(&format!("#/components/schemas/{name}")),
                "{name}"
            );
        }
    }
}

#[test]
fn a_type_has_the_same_fields_in_both_documents() {
    let (http, live) = (openapi(), asyncapi());
    let (http, live) = (
        &http["components"]["schemas"],
        &live["components"]["schemas"],
    );
    let shared: Vec<_> = names(http).intersection(&names(live)).cloned().collect();
    for expected in ["Message", "Room", "RoomEvent", "CreateRoom", "ErrorCode"] {
        assert!(shared.iter().any(|name| name == expected), "{expected}");
    }
    for name in shared {
        assert_eq!(http[&name]["required"], live[&name]["required"], "{name}");
        assert_eq!(
            names(&http[&name]["properties"]),
            names(&live[&name]["properties"]),
            "{name}"
        );
    }
}

fn names(object: &Value) -> BTreeSet<String> {
    object
        .as_object()
        .map(|object| object.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn every_route_is_documented() {
    let document = openapi();
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            documented.insert((method.to_ascii_uppercase(), path.clone()));
        }
    }
    let table: BTreeSet<_> = ROUTES
        .iter()
        .map(|route| (route.method.as_str().to_owned(), route.path.to_owned()))
        .collect();
    assert_eq!(documented, table);
    assert_eq!(table.len(), ROUTES.len());

    let mut operations = BTreeSet::new();
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        assert!(operations.insert(operation["operationId"].as_str().unwrap().to_owned()));
        assert!(
            !operation["summary"].as_str().unwrap().is_empty(),
            "{}",
            route.path
        );
        let tags: Vec<_> = document["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| &tag["name"])
            .collect();
        assert!(tags.contains(&&operation["tags"][0]), "{}", route.path);

        let parameters = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let of = |place: &str| parameters.iter().filter(|each| each["in"] == place).count();
        assert_eq!(
            of("path"),
            route.path.matches('{').count(),
            "{}",
            route.path
        );
        assert_eq!(of("query") > 0, route.query.is_some(), "{}", route.path);
        assert_eq!(of("header") > 0, route.idempotency_key, "{}", route.path);
        assert!(
            parameters.iter().all(|each| each["schema"].is_object()),
            "{}",
            route.path
        );

        assert_eq!(
            operation["requestBody"].is_object(),
            route.body.is_some(),
            "{}",
            route.path
        );
        let wanted = route.needs.scheme().map(|scheme| json!({ scheme: [] }));
        let security = operation["security"].as_array().unwrap();
        assert_eq!(security.first(), wanted.as_ref(), "{}", route.path);
        let answers = route.answers.len() + route.errors().len();
        assert_eq!(
            operation["responses"].as_object().unwrap().len(),
            answers,
            "{}",
            route.path
        );
    }
}

#[test]
fn errors_are_problems_of_their_status() {
    let document = openapi();
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        for code in route.errors() {
            let reference = &operation["responses"][code.http_status().to_string()]["$ref"];
            assert_eq!(reference, &json!(format!("#/components/responses/{code}")));
            let response = &document["components"]["responses"][code.as_str()];
            let content = &response["content"]["application/problem+json"]["schema"];
            assert_eq!(content, &json!({ "$ref": "#/components/schemas/Problem" }));
            assert_eq!(
                response["headers"]["Retry-After"].is_object(),
                code.retryable()
            );
        }
    }
    let errors = |path: &str| {
        let route = ROUTES.iter().find(|route| route.path == path).unwrap();
        route
            .errors()
            .iter()
            .map(|code| code.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        errors("/api/v1/auth/login"),
        "invalid unauthenticated too_large rate_limited internal unavailable"
    );
    assert_eq!(
        errors("/api/v1/rooms/{roomId}"),
        "unauthenticated not_found rate_limited internal unavailable"
    );
    assert_eq!(errors("/health/live"), "");
}

/// Names, payloads and acks of the contract, written out.
#[test]
fn every_event_is_documented() {
    let document = asyncapi();
    let client = [
        "image:upload",
        "message:delete",
        "message:edit",
        "message:history",
        "message:react",
        "message:search",
        "message:send",
        "presence:get",
        "read:set",
        "room:create",
        "room:events",
        "room:join",
        "room:leave",
        "typing:set",
    ];
    let server = [
        "image:ack",
        "image:failed",
        "image:ready",
        "message:deleted",
        "message:edited",
        "message:new",
        "message:reacted",
        "presence:changed",
        "presence:count",
        "read:changed",
        "resync",
        "room:member",
        "room:resumed",
        "room:unread",
        "room:updated",
        "room:void",
        "server:draining",
        "session:revoked",
        "typing:changed",
    ];
    let table: BTreeSet<_> = CLIENT_EVENTS.iter().map(|event| event.name).collect();
    assert_eq!(table, BTreeSet::from(client));
    let table: BTreeSet<_> = SERVER_EVENTS.iter().map(|event| event.name).collect();
    assert_eq!(table, BTreeSet::from(server));

    let mut actions = BTreeMap::from([("connect", "receive"), ("connect_error", "send")]);
    actions.extend(client.map(|name| (name, "receive")));
    actions.extend(server.map(|name| (name, "send")));
    let operations = document["operations"].as_object().unwrap();
    let chat = |operation: &&Value| operation["channel"]["$ref"] == "#/channels/chat";
    assert_eq!(operations.values().filter(chat).count(), actions.len());
    let notifications: BTreeSet<_> = NOTIFICATION_EVENTS.iter().map(|event| event.name).collect();
    assert_eq!(
        notifications,
        BTreeSet::from(["cache:invalidated", "notification:new", "notification:read"])
    );
    for name in notifications {
        assert_eq!(operations[name]["action"], "send");
        let messages = &document["channels"]["notifications"]["messages"];
        assert!(messages[name]["payload"].is_object(), "{name}");
    }
    let messages = &document["channels"]["chat"]["messages"];
    for (name, action) in actions {
        let operation = &operations[name];
        assert_eq!(operation["action"], action, "{name}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
        assert_eq!(messages[name]["name"], name);
        assert!(messages[name]["payload"].is_object(), "{name}");
        let replies = client.contains(&name);
        assert_eq!(operation["reply"].is_object(), replies, "{name}");
        assert_eq!(
            messages[format!("{name}.ack")]["payload"].is_object(),
            replies,
            "{name}"
        );
    }
    assert_eq!(document["channels"]["chat"]["address"], "/");
}

#[test]
fn names_are_tied_to_types() {
    assert_eq!(SendMessage::NAME, "message:send");
    assert_eq!(Message::NAME, "message:new");
    let row = CLIENT_EVENTS
        .iter()
        .find(|event| event.name == SendMessage::NAME)
        .unwrap();
    let mut generator = schemars::SchemaGenerator::default();
    assert_eq!(
        (row.payload)(&mut generator),
        generator.subschema_for::<SendMessage>()
    );
    assert_eq!(
        (row.ack)(&mut generator),
        generator.subschema_for::<MessageSent>()
    );
}

#[test]
fn nothing_of_what_is_not_served() {
    for document in [openapi(), asyncapi()] {
        let text = document.to_string().to_lowercase();
        for absent in ["/orders", "product"] {
            assert!(!text.contains(absent), "{absent}");
        }
    }
}

/// A bound that is checked is a bound that is documented.
#[test]
fn bounds_are_documented() {
    let document = openapi();
    let schemas = &document["components"]["schemas"];
    let body = &schemas["PostMessage"]["properties"]["body"];
    assert_eq!(body["maxLength"], limits::MESSAGE_BODY_MAX);
    let username = &schemas["RegisterRequest"]["properties"]["username"];
    assert_eq!(
        (&username["minLength"], &username["maxLength"]),
        (&json!(3), &json!(32))
    );
    assert_eq!(username["pattern"], "^[A-Za-z0-9_.-]+$");
    assert_eq!(
        schemas["CreateRoom"]["properties"]["members"]["maxItems"],
        100
    );
    assert_eq!(schemas["RoomId"]["maxLength"], limits::ID_MAX);
    let password = &schemas["RegisterRequest"]["properties"]["password"];
    assert_eq!(
        (&password["minLength"], &password["maxLength"]),
        (&json!(8), &json!(128))
    );
}

/// The server sends `null` only where it means something; what a client may leave out it may send as `null`.
#[test]
fn null_is_documented_where_it_is_sent() {
    let (http, live) = (openapi(), asyncapi());
    let asked = asked();
    let nullable = |document: &Value| -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                let is_nullable = property.to_string().contains("\"null\"");
                if asked.contains(name) {
                    let required = schema["required"].as_array();
                    let may_be_absent = required.is_none_or(|it| !it.contains(&json!(field)));
                    assert_eq!(is_nullable, may_be_absent, "{name}.{field}");
                } else if is_nullable {
                    found.insert(format!("{name}.{field}"));
                }
            }
        }
        found
    };
    assert_eq!(nullable(&http), BTreeSet::new());
    assert_eq!(
        nullable(&live),
        BTreeSet::from(["RoomMemberChanged.role".to_owned()])
    );
    let absent = openapi().to_string().contains("\"default\":null");
    assert!(!absent);
}

/// The schemas of what a client sends.
fn asked() -> BTreeSet<String> {
    let (http, live) = (openapi(), asyncapi());
    let name = |schema: &Value| {
        schema["$ref"]
            .as_str()?
            .rsplit('/')
            .next()
            .map(str::to_owned)
    };
    let bodies = ROUTES.iter().filter_map(|route| {
        let operation = &http["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        name(&operation["requestBody"]["content"]["application/json"]["schema"])
    });
    let events = CLIENT_EVENTS
        .iter()
        .filter_map(|event| name(&live["channels"]["chat"]["messages"][event.name]["payload"]));
    let connecting = ["ConnectAuth", "ResumePoint"].map(str::to_owned);
    bodies.chain(events).chain(connecting).collect()
}

#[test]
fn message_fields_are_those_of_a_message() {
    let document = openapi();
    let fields = names(&document["components"]["schemas"]["Message"]["properties"]);
    assert_eq!(fields, MessageFields::ALL.map(str::to_owned).into());
}
