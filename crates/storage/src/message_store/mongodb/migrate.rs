//! Makes the collections and indexes that are missing, and shards what is to be sharded where there is a router. Any
//! number of instances may do so at once: what is there already stays.

use futures_util::future::try_join_all;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::{Database, IndexModel};

use super::collections::{ALL, Specification};
use super::failure::{Failure, Outcome, bounded};

/// What is to become of a cluster that this user may not shard.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unauthorized {
    /// It works as it is, on one shard; the operator is told.
    Warn,
    /// It is why the operator asked.
    Fail,
}

pub async fn run(database: &Database, unauthorized: Unauthorized) -> Outcome<()> {
    try_join_all(ALL.iter().map(|it| make(database, it))).await?;
    drop_emails(database, unauthorized).await?;
    let hello = bounded(database.run_command(doc! { "hello": 1 })).await?;
    if hello.get_str("msg").ok() != Some("isdbgrid") {
        return Ok(());
    }
    // A collection that has documents already must have the index of its shard key first.
    for specification in &ALL {
        if let Some(field) = specification.shard_key {
            let hashed = IndexModel::builder().keys(doc! { field: "hashed" }).build();
            let collection = database.collection::<Document>(specification.name);
            bounded(collection.create_index(hashed)).await?;
        }
    }
    let admin = database.client().database("admin");
    for command in sharding(database.name()) {
        match bounded(admin.run_command(command)).await {
            Err(Failure::Mongodb(error))
                if unauthorized == Unauthorized::Warn && is_code(&error, UNAUTHORIZED) =>
            {
                tracing::warn!(
                    "this user may not shard the collections; `tertulia migrate` as one who may does it"
                );
                return Ok(());
            }
            done => done.map(drop)?,
        }
    }
    Ok(())
}

const UNAUTHORIZED: i32 = 13;
const NAMESPACE_EXISTS: i32 = 48;

fn is_code(error: &Error, code: i32) -> bool {
    matches!(&*error.kind, ErrorKind::Command(command) if command.code == code)
}

async fn make(database: &Database, specification: &Specification) -> Outcome<()> {
    let indexes = (specification.indexes)();
    if !indexes.is_empty() {
        // Makes the collection too.
        let collection = database.collection::<Document>(specification.name);
        return bounded(collection.create_indexes(indexes)).await.map(drop);
    }
    match bounded(database.create_collection(specification.name)).await {
        Err(Failure::Mongodb(error)) if is_code(&error, NAMESPACE_EXISTS) => Ok(()),
        made => made,
    }
}

/// Addresses were taken before they were proved to be anybody's: these claims kept them from others, and told of them.
async fn drop_emails(database: &Database, unauthorized: Unauthorized) -> Outcome<()> {
    match bounded(database.collection::<Document>("emails").drop()).await {
        Err(Failure::Mongodb(error))
            if unauthorized == Unauthorized::Warn && is_code(&error, UNAUTHORIZED) =>
        {
            tracing::warn!(
                "this user may not drop the collection `emails`, which isn't used any more"
            );
            Ok(())
        }
        dropped => dropped,
    }
}

/// The commands that shard the collections of a database, for a router. Given again they change nothing.
fn sharding(database: &str) -> Vec<Document> {
    let mut commands = vec![doc! { "enableSharding": database }];
    for specification in &ALL {
        if let Some(field) = specification.shard_key {
            commands.push(doc! {
                "shardCollection": format!("{database}.{}", specification.name),
                "key": { field: "hashed" },
            });
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_told_to_shard_by_one_hashed_field() {
        let commands = sharding("tertulia");
        assert_eq!(commands[0], doc! { "enableSharding": "tertulia" });
        let keys: Vec<(&str, &Document)> = commands[1..]
            .iter()
            .map(|command| {
                let name = command.get_str("shardCollection").unwrap();
                (name, command.get_document("key").unwrap())
            })
            .collect();
        let id = doc! { "_id": "hashed" };
        let room = doc! { "roomId": "hashed" };
        let user = doc! { "userId": "hashed" };
        let wanted = [
            ("tertulia.users", &id),
            ("tertulia.blocks", &id),
            ("tertulia.rooms", &id),
            ("tertulia.members", &room),
            ("tertulia.memberships", &user),
            ("tertulia.room_log", &room),
            ("tertulia.reactions", &room),
            ("tertulia.word_blocks", &room),
        ];
        assert_eq!(keys, wanted);
    }

    #[test]
    fn a_unique_index_of_a_sharded_collection_begins_with_the_shard_key() {
        for specification in &ALL {
            let Some(field) = specification.shard_key else {
                continue;
            };
            for index in (specification.indexes)() {
                let is_unique = index.options.and_then(|options| options.unique);
                let first = index.keys.keys().next().map(String::as_str);
                assert!(
                    is_unique != Some(true) || first == Some(field),
                    "{}",
                    specification.name
                );
            }
        }
    }
}
