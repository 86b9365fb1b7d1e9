//! Whether an operation names the value of its collection's shard key. One that doesn't works on a replica set, and on
//! a sharded cluster asks every shard, or fails: the tests watch for it where there is no router to tell.

use mongodb::bson::{Bson, Document};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;

use super::collections::{ALL, Specification};

/// Names the operations that aren't targeted.
pub fn watch(untargeted: impl Fn(String) + Send + Sync + 'static) -> EventHandler<CommandEvent> {
    EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event
            && !is_targeted(&started.command)
        {
            untargeted(started.command.to_string());
        }
    })
}

/// True if one shard, or those of a list of values, can serve this command.
fn is_targeted(command: &Document) -> bool {
    let Some((name, Bson::String(collection))) = command.iter().next() else {
        return true;
    };
    if joins(command) {
        return false;
    }
    let is_it = |it: &&Specification| it.name == collection;
    let Some(key) = ALL.iter().find(is_it).and_then(|it| it.shard_key) else {
        return true;
    };
    let all = |list: &str, part: &str| {
        let parts = command.get_array(list).into_iter().flatten();
        parts
            .map(|it| it.as_document().and_then(|it| it.get_document(part).ok()))
            .all(|filter| filter.is_some_and(|filter| names(filter, key)))
    };
    let filter = |field: &str| command.get_document(field).is_ok_and(|it| names(it, key));
    match name.as_str() {
        "find" => filter("filter"),
        "count" | "distinct" | "findAndModify" => filter("query"),
        "update" => all("updates", "q"),
        "delete" => all("deletes", "q"),
        "aggregate" => {
            let first = command.get_array("pipeline").ok().and_then(|it| it.first());
            first
                .and_then(Bson::as_document)
                .and_then(|stage| stage.get_document("$match").ok())
                .is_some_and(|filter| names(filter, key))
        }
        // Documents that are inserted say where they belong, and a cursor where it is. Making indexes concerns all.
        "insert" | "getMore" | "killCursors" | "create" | "createIndexes" | "listIndexes" => true,
        // What isn't known here isn't used.
        _ => false,
    }
}

/// True if a filter wants this field equal to a value or one of a list of values.
fn names(filter: &Document, key: &str) -> bool {
    let by_field = match filter.get(key) {
        None => false,
        Some(Bson::Document(wanted)) => match wanted.keys().next() {
            Some(operator) if operator.starts_with('$') => {
                wanted.contains_key("$eq") || wanted.contains_key("$in")
            }
            _ => true,
        },
        Some(Bson::RegularExpression(_)) => false,
        Some(_) => true,
    };
    by_field
        || filter.get_array("$and").is_ok_and(|parts| {
            let mut parts = parts.iter().filter_map(Bson::as_document);
            parts.any(|part| names(part, key))
        })
        || filter.get_array("$or").is_ok_and(|parts| {
            let mut parts = parts.iter().map(Bson::as_document);
            parts.all(|part| part.is_some_and(|part| names(part, key)))
        })
}

/// True if an aggregation reads a second collection.
fn joins(command: &Document) -> bool {
    let stages = command.get_array("pipeline").into_iter().flatten();
    stages.filter_map(Bson::as_document).any(|stage| {
        ["$lookup", "$graphLookup", "$unionWith"]
            .iter()
            .any(|join| stage.contains_key(*join))
    })
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn operations_with_the_value_of_the_shard_key_are_targeted() {
        for command in [
            doc! { "find": "users", "filter": { "_id": "u" } },
            doc! { "find": "users", "filter": { "_id": { "$in": ["u", "v"] } } },
            doc! { "find": "room_log", "filter": { "roomId": "r", "_id": { "$gt": 1 } } },
            doc! { "find": "members", "filter": { "$and": [{ "roomId": "r" }, { "userId": "u" }] } },
            doc! { "find": "members", "filter": { "$or": [
                { "roomId": "r", "userId": "u" }, { "roomId": "s", "userId": "u" },
            ] } },
            doc! { "findAndModify": "members", "query": { "roomId": { "$eq": "r" } } },
            doc! { "update": "rooms", "updates": [{ "q": { "_id": "r" }, "u": {} }] },
            doc! { "delete": "memberships", "deletes": [{ "q": { "userId": "u" }, "limit": 1 }] },
            doc! { "aggregate": "members", "pipeline": [{ "$match": { "roomId": "r" } }] },
            doc! { "distinct": "members", "key": "userId", "query": { "roomId": "r" } },
            doc! { "insert": "users", "documents": [{ "_id": "u" }] },
            // Not sharded.
            doc! { "find": "people", "filter": { "pieces": "abc" } },
            doc! { "ping": 1 },
            doc! { "commitTransaction": 1 },
        ] {
            assert!(is_targeted(&command), "{command}");
        }
    }

    #[test]
    fn operations_without_it_are_not() {
        for command in [
            doc! { "find": "users", "filter": { "username": "ann" } },
            doc! { "find": "users" },
            doc! { "find": "users", "filter": { "_id": { "$gt": "u" } } },
            doc! { "find": "members", "filter": { "userId": "u" } },
            doc! { "find": "members", "filter": { "$or": [{ "roomId": "r" }, { "userId": "u" }] } },
            doc! { "count": "members", "query": {} },
            doc! { "findAndModify": "members", "query": { "userId": "u" } },
            doc! { "update": "rooms", "updates": [
                { "q": { "_id": "r" }, "u": {} }, { "q": { "name": "n" }, "u": {} },
            ] },
            doc! { "delete": "memberships", "deletes": [{ "q": { "roomId": "r" }, "limit": 0 }] },
            doc! { "aggregate": "members", "pipeline": [{ "$group": { "_id": "$roomId" } }] },
            doc! { "aggregate": "members", "pipeline": [
                { "$match": { "roomId": "r" } },
                { "$lookup": { "from": "users" } },
            ] },
            doc! { "aggregate": "people", "pipeline": [{ "$lookup": { "from": "users" } }] },
            doc! { "mapReduce": "members" },
        ] {
            assert!(!is_targeted(&command), "{command}");
        }
    }
}
