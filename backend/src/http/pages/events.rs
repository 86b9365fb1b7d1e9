//! The live events, for people: one page, written from the same document that programs read.

use protocol::{CLIENT_EVENTS, NOTIFICATION_EVENTS, NOTIFICATION_REQUESTS, SERVER_EVENTS};
use serde_json::{Map, Value};

use super::{asset::Asset, page};
use crate::html::escaped;

/// The page.
pub fn page() -> Asset {
    page::page("Tertulia events", &html(&protocol::asyncapi()))
}

fn html(asyncapi: &Value) -> String {
    let sent: String = CLIENT_EVENTS
        .iter()
        .map(|row| {
            let ack = message(asyncapi, "chat", &format!("{}.ack", row.name));
            event(
                row.name,
                row.summary,
                message(asyncapi, "chat", row.name),
                Some(ack),
            )
        })
        .collect();
    let received: String = SERVER_EVENTS
        .iter()
        .map(|row| {
            event(
                row.name,
                row.summary,
                message(asyncapi, "chat", row.name),
                None,
            )
        })
        .collect();
    let asked: String = NOTIFICATION_REQUESTS
        .iter()
        .map(|row| {
            let name = protocol::notification_message(row.name);
            let ack = message(asyncapi, "notifications", &format!("{name}.ack"));
            let payload = message(asyncapi, "notifications", &name);
            event(&name, row.summary, payload, Some(ack))
        })
        .collect();
    let notified: String = NOTIFICATION_EVENTS
        .iter()
        .map(|row| {
            let payload = message(asyncapi, "notifications", row.name);
            event(row.name, row.summary, payload, None)
        })
        .collect();
    let schemas = schemas(asyncapi);
    format!(
        "<header><h1>Tertulia events</h1><p>The routes are at <a href=\"/api/docs\">/api/docs</a>. For programs: \
         <a href=\"/api/asyncapi.json\">AsyncAPI</a> of the events, <a href=\"/api/openapi.json\">OpenAPI</a> of the \
         routes.</p><nav><a href=\"#client-events\">Client events</a> <a href=\"#server-events\">Server events</a> \
         <a href=\"#notifications\">Notifications</a> \
         <a href=\"#types\">Types</a></nav></header><main>\
         <h2 id=\"client-events\">Client events</h2><p>{CLIENT_EVENTS_INTRODUCTION}</p>{sent}\
         <h2 id=\"server-events\">Server events</h2>{received}\
         <h2 id=\"notifications\">Notifications</h2><p>What clients send in the namespace <code>/notifications</code>.</p>{asked}\
         <p>What the server sends there.</p>{notified}\
         <h2 id=\"types\">Types</h2>{schemas}</main>"
    )
}

const CLIENT_EVENTS_INTRODUCTION: &str = "Sent over Socket.IO to the namespace <code>/</code>, which is connected \
    with <code>auth: { token }</code>. Every ack is <code>{ ok: true, … }</code> or <code>{ ok: false, error }</code>.";

fn message<'a>(asyncapi: &'a Value, channel: &str, name: &str) -> &'a Value {
    &asyncapi["channels"][channel]["messages"][name]["payload"]
}

/// One that has the name of another has an id of its own.
fn event(id: &str, summary: &str, payload: &Value, ack: Option<&Value>) -> String {
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
    let name = id.strip_suffix(".request").unwrap_or(id);
    article(
        id,
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

fn schemas(asyncapi: &Value) -> String {
    entries(&asyncapi["components"]["schemas"])
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_event_is_on_the_page() {
        let page = html(&protocol::asyncapi());
        for name in CLIENT_EVENTS
            .iter()
            .map(|row| row.name)
            .chain(SERVER_EVENTS.iter().map(|row| row.name))
            .chain(NOTIFICATION_EVENTS.iter().map(|row| row.name))
        {
            assert!(page.contains(&format!("<h3><code>{name}</code>")), "{name}");
        }
    }

    #[test]
    fn every_link_leads_somewhere_and_nothing_is_there_twice() {
        let page = html(&protocol::asyncapi());
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
