//! The API for people: one page, written from the same documents that programs read. It runs no script.

use base64::{Engine, prelude::BASE64_STANDARD};
use protocol::{CLIENT_EVENTS, Credential, ROUTES, Route, SERVER_EVENTS};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::asset::Asset;

const STYLE: &str = include_str!("reference.css");

/// The page.
pub fn page() -> Asset {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let html = html(&protocol::openapi(), &protocol::asyncapi());
    Asset::new("text/html; charset=utf-8", html).with_policy(&policy)
}

fn html(openapi: &Value, asyncapi: &Value) -> String {
    let routes: String = ROUTES
        .iter()
        .map(|route| operation(route, openapi))
        .collect();
    let sent: String = CLIENT_EVENTS
        .iter()
        .map(|row| {
            let ack = message(asyncapi, &format!("{}.ack", row.name));
            event(
                row.name,
                row.summary,
                message(asyncapi, row.name),
                Some(ack),
            )
        })
        .collect();
    let received: String = SERVER_EVENTS
        .iter()
        .map(|row| event(row.name, row.summary, message(asyncapi, row.name), None))
        .collect();
    let schemas = schemas(openapi, asyncapi);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tertulia API</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head><body>\
         <header><h1>Tertulia API</h1><p>For programs: <a href=\"/api/openapi.json\">OpenAPI</a> of the routes, \
         <a href=\"/api/asyncapi.json\">AsyncAPI</a> of the events.</p><nav><a href=\"#routes\">Routes</a> \
         <a href=\"#client-events\">Client events</a> <a href=\"#server-events\">Server events</a> \
         <a href=\"#types\">Types</a></nav></header><main>\
         <h2 id=\"routes\">Routes</h2>{routes}\
         <h2 id=\"client-events\">Client events</h2><p>{CLIENT_EVENTS_INTRODUCTION}</p>{sent}\
         <h2 id=\"server-events\">Server events</h2>{received}\
         <h2 id=\"types\">Types</h2>{schemas}</main></body></html>\n"
    )
}

const CLIENT_EVENTS_INTRODUCTION: &str = "Sent over Socket.IO to the namespace <code>/</code>, which is connected \
    with <code>auth: { token }</code>. Every ack is <code>{ ok: true, … }</code> or <code>{ ok: false, error }</code>.";

fn operation(route: &Route, openapi: &Value) -> String {
    let method = route.method.as_str();
    let operation = &openapi["paths"][route.path][method.to_ascii_lowercase()];
    let mut rows = Vec::new();
    for parameter in members(&operation["parameters"]) {
        let place = parameter["in"].as_str().unwrap_or_default();
        rows.push(field(
            &format!("{} <small>{place}</small>", text(&parameter["name"])),
            parameter["required"] == true,
            &parameter["schema"],
            &parameter["description"],
        ));
    }
    let body = &operation["requestBody"];
    if !body.is_null() {
        let schema = &body["content"]["application/json"]["schema"];
        rows.push(field(
            "<small>body</small>",
            body["required"] == true,
            schema,
            &Value::Null,
        ));
    }
    let (mut answers, mut refusals) = (Vec::new(), Vec::new());
    for (status, answer) in entries(&operation["responses"]) {
        match answer["$ref"]
            .as_str()
            .and_then(|reference| reference.rsplit('/').next())
        {
            Some(code) => refusals.push(format!("{status}&nbsp;<code>{code}</code>")),
            None => answers.push(format!("{status} {}", content(answer))),
        }
    }
    let token = match route.needs {
        Credential::Nothing => "",
        Credential::AccessToken => " <small>access token</small>",
        Credential::ApiKey => " <small>API key</small>",
    };
    article(
        route.operation,
        &format!("<code>{method} {}</code>{token}", escaped(route.path)),
        route.summary,
        &rows,
        &[
            ("Answers", answers.join(", ")),
            ("Refusals", refusals.join(", ")),
        ],
    )
}

fn content(answer: &Value) -> String {
    entries(&answer["content"])
        .map(|(media, content)| match media.as_str() {
            "application/json" => type_of(&content["schema"]),
            other => escaped(other),
        })
        .collect::<Vec<_>>()
        .join(" or ")
}

fn message<'a>(asyncapi: &'a Value, name: &str) -> &'a Value {
    &asyncapi["channels"]["chat"]["messages"][name]["payload"]
}

fn event(name: &str, summary: &str, payload: &Value, ack: Option<&Value>) -> String {
    let mut rows = vec![field("<small>payload</small>", true, payload, &Value::Null)];
    let mut refusals = String::new();
    if let Some(ack) = ack {
        rows.push(field(
            "<small>ack</small>",
            true,
            &ack["oneOf"][0]["allOf"][1],
            &Value::Null,
        ));
        let codes =
            &ack["oneOf"][1]["properties"]["error"]["allOf"][1]["properties"]["code"]["enum"];
        refusals = members(codes)
            .map(|code| format!("<code>{}</code>", text(code)))
            .collect::<Vec<_>>()
            .join(", ");
    }
    article(
        name,
        &format!("<code>{}</code>", escaped(name)),
        summary,
        &rows,
        &[("Refusals", refusals)],
    )
}

fn article(
    id: &str,
    title: &str,
    summary: &str,
    rows: &[String],
    notes: &[(&str, String)],
) -> String {
    let table = if rows.is_empty() {
        String::new()
    } else {
        format!("<table>{}</table>", rows.concat())
    };
    let notes: String = notes
        .iter()
        .filter(|(_, note)| !note.is_empty())
        .map(|(name, note)| format!("<p><small>{name}</small> {note}</p>"))
        .collect();
    let id = escaped(id);
    format!(
        "<article id=\"{id}\"><h3>{title}</h3><p>{}</p>{table}{notes}</article>",
        prose(summary)
    )
}

/// Every named type once; those that both documents have are the same.
fn schemas(openapi: &Value, asyncapi: &Value) -> String {
    let mut named = Map::new();
    for document in [openapi, asyncapi] {
        named.extend(
            entries(&document["components"]["schemas"])
                .map(|(name, schema)| (name.clone(), schema.clone())),
        );
    }
    named
        .iter()
        .map(|(name, schema)| {
            let required =
                |field: &str| members(&schema["required"]).any(|required| required == field);
            let mut rows: Vec<_> = entries(&schema["properties"])
                .map(|(name, of)| field(&escaped(name), required(name), of, &of["description"]))
                .collect();
            if rows.is_empty() {
                rows.push(field("", true, schema, &Value::Null));
            }
            let summary = schema["description"].as_str().unwrap_or_default();
            article(&format!("type-{name}"), &escaped(name), summary, &rows, &[])
        })
        .collect()
}

/// A row of a table; `name` is HTML already.
fn field(name: &str, required: bool, schema: &Value, description: &Value) -> String {
    let optional = if required {
        ""
    } else {
        " <small>optional</small>"
    };
    let description = prose(description.as_str().unwrap_or_default());
    format!(
        "<tr><th>{name}{optional}</th><td>{}{}</td><td>{description}</td></tr>",
        type_of(schema),
        bounds(schema)
    )
}

/// What a schema takes, in words.
fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escaped(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    if let Some(constant) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&constant.to_string()));
    }
    for (key, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")] {
        if schema.get(key).is_some() {
            let mut parts: Vec<_> = members(&schema[key]).map(type_of).collect();
            parts.extend(schema.get("properties").map(object));
            return parts.join(between);
        }
    }
    if schema
        .get("properties")
        .is_some_and(|properties| properties != &Value::Object(Map::new()))
    {
        return object(&schema["properties"]);
    }
    match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        kind if kind == "array" => format!("list of {}", type_of(&schema["items"])),
        kind if kind == "object" => {
            let values = entries(&schema["patternProperties"])
                .map(|(_, of)| of)
                .next();
            match values.unwrap_or(&schema["additionalProperties"]) {
                of @ Value::Object(_) => format!("map to {}", type_of(of)),
                _ => "object".to_owned(),
            }
        }
        Value::Null => "anything".to_owned(),
        kind => text(kind),
    }
}

fn object(properties: &Value) -> String {
    let fields: Vec<_> = entries(properties)
        .map(|(name, of)| format!("{}: {}", escaped(name), type_of(of)))
        .collect();
    format!("{{ {} }}", fields.join(", "))
}

/// How long or large a value may be.
fn bounds(schema: &Value) -> String {
    let mut bounds = String::new();
    for (min, max, unit) in [
        ("minLength", "maxLength", " characters"),
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        // A minimum alone is only what the number's type has anyway.
        if let Some(max) = schema[max].as_u64() {
            let min = schema[min].as_u64().unwrap_or(0);
            bounds.push_str(&format!(", {min} to {max}{unit}"));
        }
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        bounds.push_str(&format!(", <code>{}</code>", escaped(pattern)));
    }
    bounds
}

fn members(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

/// Text with `code` in it.
fn prose(text: &str) -> String {
    let parts = text
        .split('`')
        .enumerate()
        .map(|(place, part)| match place % 2 {
            0 => escaped(part),
            _ => format!("<code>{}</code>", escaped(part)),
        });
    parts.collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    fn whole() -> String {
        html(&protocol::openapi(), &protocol::asyncapi())
    }

    #[test]
    fn every_route_and_event_is_on_the_page() {
        let page = whole();
        for route in ROUTES {
            assert!(
                page.contains(&format!(
                    "<code>{} {}</code>",
                    route.method.as_str(),
                    route.path
                )),
                "{}",
                route.path
            );
        }
        for name in CLIENT_EVENTS
            .iter()
            .map(|row| row.name)
            .chain(SERVER_EVENTS.iter().map(|row| row.name))
        {
            assert!(page.contains(&format!("<h3><code>{name}</code>")), "{name}");
        }
    }

    #[test]
    fn every_link_leads_somewhere_and_nothing_is_there_twice() {
        let page = whole();
        let ids: Vec<_> = page
            .split("id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let unique: HashSet<_> = ids.iter().copied().collect();
        assert_eq!(unique.len(), ids.len());
        let links: Vec<_> = page
            .split("href=\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(links.len() > 100);
        for link in links {
            assert!(unique.contains(link), "{link}");
        }
    }

    #[test]
    fn schemas_read_as_words() {
        for (schema, words) in [
            (json!({ "type": "string" }), "string"),
            (json!({ "type": ["string", "null"] }), "string or null"),
            (
                json!({ "type": "array", "items": { "$ref": "#/x/Y" } }),
                "list of <a href=\"#type-Y\">Y</a>",
            ),
            (
                json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
                "map to integer",
            ),
            (json!({ "type": "object", "properties": {} }), "object"),
            (
                json!({ "oneOf": [{ "const": "a" }, { "const": "<" }] }),
                "<code>&quot;a&quot;</code> or <code>&quot;&lt;&quot;</code>",
            ),
            (
                json!({ "allOf": [{ "$ref": "#/x/Y" }], "properties": { "z": { "type": "string" } } }),
                "<a href=\"#type-Y\">Y</a> with { z: string }",
            ),
        ] {
            assert_eq!(type_of(&schema), words);
        }
        assert_eq!(
            bounds(&json!({ "minLength": 1, "maxLength": 64 })),
            ", 1 to 64 characters"
        );
        assert_eq!(prose("a `b<c` d"), "a <code>b&lt;c</code> d");
    }
}
