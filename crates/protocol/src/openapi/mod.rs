//! The OpenAPI 3.1 document, generated from the table of routes.

mod routes;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::error::{ErrorCode, Problem};
use crate::schema::{SchemaOf, Schemas, schema_of};

pub use routes::ROUTES;

/// How a route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the methods of HTTP")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// The method as HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What the routes are about, in the order of the document: the first part of the path under
/// `/api/v1`, or the server itself.
const TAGS: [(&str, &str); 13] = [
    ("auth", "Signing in, refreshing tokens and signing out."),
    ("me", "Your own user, rooms and blocks."),
    ("users", "Other users."),
    ("sessions", "Your sessions, one for each sign-in."),
    ("rooms", "Rooms, their members and messages."),
    ("notifications", "What happened while you looked elsewhere."),
    ("uploads", "Files and images to attach to messages."),
    ("devices", "Devices that are reached by push."),
    ("push", "The key for push."),
    ("mail", "Emails about notifications."),
    ("publish", "Events from other programs."),
    ("admin", "Administration, for users with the role `admin`."),
    ("server", "The server itself."),
];

/// One route: all that the document says of it.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// How it is asked.
    pub method: Method,
    /// The whole path, with parameters as `{roomId}`.
    pub path: &'static str,
    /// A unique name for generated clients.
    pub operation: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What it needs in the header `Authorization`.
    pub needs: Credential,
    /// Whether it takes the header `Idempotency-Key`.
    pub idempotency_key: bool,
    /// A type whose fields are the parameters of the query.
    pub query: Option<SchemaOf>,
    /// The body of the request.
    pub body: Option<SchemaOf>,
    /// What it answers, by HTTP status, when nothing is wrong.
    pub answers: &'static [(u16, Content)],
    /// Why it may be refused, beside what follows from the rest of the row.
    refusals: &'static [ErrorCode],
}

/// What has to stand behind `Bearer` in the header `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Nothing,
    /// An access token.
    AccessToken,
    /// An access token of a user who has the role `admin` now.
    Administrator,
    /// The key that programs of the same house have.
    ApiKey,
}

impl Credential {
    /// Its name among the document's security schemes.
    pub const fn scheme(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::AccessToken | Self::Administrator => Some("accessToken"),
            Self::ApiKey => Some("apiKey"),
        }
    }
}

/// The body of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// `application/json`.
    Json(SchemaOf),
    /// `application/x-ndjson`: a JSON value of this schema on each line.
    JsonLines(SchemaOf),
    /// Bytes of any type.
    Bytes,
    /// `text/html`.
    Page,
    /// No body.
    Empty,
}

impl Route {
    /// What it is about.
    fn tag(&self) -> &'static str {
        let resource = self
            .path
            .strip_prefix("/api/v1/")
            .and_then(|rest| rest.split('/').next());
        resource.unwrap_or("server")
    }

    /// Names of the parameters in the path, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Every code that the route may be refused with, in the order of the HTTP status.
    pub fn errors(&self) -> Vec<ErrorCode> {
        let api = self.path.starts_with("/api/v1/");
        ErrorCode::ALL
            .into_iter()
            .filter(|code| match code {
                ErrorCode::Invalid => self.body.is_some() || self.query.is_some(),
                // An id that can't be one is as good as one that isn't there.
                ErrorCode::NotFound => self.path.contains('{') || self.refusals.contains(code),
                ErrorCode::Unauthenticated => {
                    self.needs != Credential::Nothing || self.refusals.contains(code)
                }
                ErrorCode::Forbidden => {
                    self.needs == Credential::Administrator || self.refusals.contains(code)
                }
                ErrorCode::TooLarge => self.body.is_some(),
                ErrorCode::RateLimited | ErrorCode::Internal | ErrorCode::Unavailable => api,
                _ => self.refusals.contains(code),
            })
            .collect()
    }
}

/// The document that `/api/openapi.json` answers with.
pub fn openapi() -> Value {
    let mut schemas = Schemas::new(SchemaSettings::draft2020_12());
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            let method = route.method.as_str().to_ascii_lowercase();
            path.insert(method, operation(route, &mut schemas));
        }
    }
    let responses = error_responses(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tertulia",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Real-time chat: the HTTP API.",
            "description": "Live events go over Socket.IO. They are described at \
                [/api/docs/events](/api/docs/events) and, for generators, in \
                [/api/asyncapi.json](/api/asyncapi.json).",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The `accessToken` from signing in or refreshing.",
                },
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The server's `PUBLISH_API_KEY`, for your own backend programs.",
                },
            },
            "responses": responses,
            "schemas": schemas.into_definitions(),
        },
    })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    for (status, content) in route.answers {
        responses.insert(status.to_string(), answer(*status, content, schemas));
    }
    for code in route.errors() {
        let reference = json!({ "$ref": format!("#/components/responses/{code}") });
        responses.insert(code.http_status().to_string(), reference);
    }
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.tag()],
        "security": route.needs.scheme().map_or(json!([]), |scheme| json!([{ scheme: [] }])),
        "responses": responses,
    });
    let parameters = parameters(route, schemas);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = route.body {
        operation["requestBody"] = request_body(body, schemas);
    }
    operation
}

fn answer(status: u16, content: &Content, schemas: &mut Schemas) -> Value {
    let description = match status {
        201 => "Created.",
        202 => "Accepted.",
        204 => "Done.",
        503 => "Not healthy.",
        _ => "OK.",
    };
    match content {
        Content::Json(schema) => json!({
            "description": description,
            "content": { "application/json": { "schema": schema(&mut schemas.answers) } },
        }),
        Content::JsonLines(schema) => json!({
            "description": description,
            "content": { "application/x-ndjson": { "schema": schema(&mut schemas.answers) } },
        }),
        Content::Bytes => json!({
            "description": description,
            "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } },
        }),
        Content::Page => json!({
            "description": description,
            "content": { "text/html": { "schema": { "type": "string" } } },
        }),
        Content::Empty => json!({ "description": description }),
    }
}

fn parameters(route: &Route, schemas: &mut Schemas) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in route.path_parameters() {
        parameters.push(json!({
            "name": name,
            "in": "path",
            "required": true,
            "schema": routes::path_parameter(name).map(|schema| schema(&mut schemas.requests)),
        }));
    }
    if let Some(query) = route.query {
        parameters.extend(query_parameters(query, schemas));
    }
    if route.idempotency_key {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The `clientId` of the message. Send the same value with every retry.",
            "schema": { "type": "string", "minLength": 1, "maxLength": crate::limits::CLIENT_ID_MAX, "pattern": crate::bounds::HEADER_PATTERN },
        }));
    }
    parameters
}

/// The fields of a type as parameters. The type itself is used nowhere else, so its definition is
/// taken out again.
fn query_parameters(query: SchemaOf, schemas: &mut Schemas) -> Vec<Value> {
    let reference = query(&mut schemas.requests);
    let definition =
        schema_name(&reference).and_then(|name| schemas.requests.definitions_mut().remove(name));
    let Some(mut definition) = definition else {
        return Vec::new();
    };
    let required = definition["required"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let Value::Object(fields) = definition["properties"].take() else {
        return Vec::new();
    };
    let mut parameters = Vec::new();
    for (name, mut schema) in fields {
        let mut parameter = json!({
            "required": required.contains(&json!(name)),
            "name": name,
            "in": "query",
        });
        if let Some(description) = schema
            .as_object_mut()
            .and_then(|schema| schema.remove("description"))
        {
            parameter["description"] = description;
        }
        parameter["schema"] = schema;
        parameters.push(parameter);
    }
    parameters
}

/// A request whose fields may all be absent may be absent itself.
fn request_body(body: SchemaOf, schemas: &mut Schemas) -> Value {
    let reference = body(&mut schemas.requests);
    let definition =
        schema_name(&reference).and_then(|name| schemas.requests.definitions().get(name));
    let required = definition.is_some_and(|definition| definition.get("required").is_some());
    json!({
        "required": required,
        "content": { "application/json": { "schema": reference } },
    })
}

fn schema_name(reference: &Schema) -> Option<&str> {
    reference.get("$ref")?.as_str()?.rsplit('/').next()
}

fn error_responses(schemas: &mut Schemas) -> Map<String, Value> {
    let schema = schema_of::<Problem>(&mut schemas.answers);
    let seconds = |description| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } });
    let mut responses = Map::new();
    for code in ErrorCode::ALL {
        let mut response = json!({
            "description": code.meaning(),
            "content": { "application/problem+json": { "schema": schema } },
        });
        if code.retryable() {
            response["headers"] = json!({
                "Retry-After": seconds("Seconds to wait before retrying."),
            });
        }
        if code == ErrorCode::RateLimited {
            response["headers"]["RateLimit-Limit"] = seconds("Requests allowed in a window.");
            response["headers"]["RateLimit-Remaining"] =
                seconds("Requests left in the current window.");
            response["headers"]["RateLimit-Reset"] = seconds("Seconds until the window ends.");
        }
        responses.insert(code.as_str().to_owned(), response);
    }
    responses
}
