//! Renews the pieces of names that an earlier version of the program made, in the background: until then these names are
//! found as that version found them. The words of messages are renewed where they are written (see `log/word_index.rs`).

use std::collections::HashMap;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::{Collection, bson};
use serde::Deserialize;

use super::database::{Database, WeakDatabase};
use super::failure::{Outcome, bounded};
use super::name_index::{Named, outdated};
use super::query::all;

/// Names that are renewed in one step.
const STEP: i64 = 500;

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: String,
}

/// Waits for the first use of the database and renews what is there, until nothing is left or the store is gone.
pub async fn run(mut database: WeakDatabase) {
    if !database.reached().await {
        return;
    }
    while let Some(database) = database.upgrade() {
        match step(&database).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(failure) => {
                drop(database);
                tracing::debug!(?failure, "names can't be renewed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Renews some; true if there may be more.
pub async fn step(database: &Database) -> Outcome<bool> {
    let collections = database.collections().await?;
    let people = outdated_ids(&collections.people).await?;
    let users = all(collections.users.find(existing(&people))).await?;
    let users = users.into_iter().map(|user| (user.id.to_string(), user));
    let mut users: HashMap<_, _> = users.collect();
    for id in &people {
        let named = users.remove(id).map(|user| user.named());
        renew(&collections.people, id, named).await?;
    }
    let public = outdated_ids(&collections.public_rooms).await?;
    let rooms = all(collections.rooms.find(existing(&public))).await?;
    let rooms = rooms.into_iter().map(|room| (room.id.to_string(), room));
    let mut rooms: HashMap<_, _> = rooms.collect();
    for id in &public {
        let named = rooms.remove(id).and_then(|room| room.named());
        renew(&collections.public_rooms, id, named).await?;
    }
    Ok(!people.is_empty() || !public.is_empty())
}

async fn outdated_ids(names: &Collection<Named>) -> Outcome<Vec<String>> {
    let names = names.clone_with_type::<Id>();
    let find = names
        .find(outdated())
        .limit(STEP)
        .projection(doc! { "_id": 1 });
    Ok(all(find).await?.into_iter().map(|Id { id }| id).collect())
}

fn existing(ids: &[String]) -> Document {
    let ids: Vec<bson::Bson> = ids.iter().map(bson::Bson::from).collect();
    doc! { "_id": { "$in": ids }, "deletedAt": null }
}

/// Replaces the names of one, unless these have changed meanwhile; who doesn't exist needs none.
async fn renew(names: &Collection<Named>, id: &str, named: Option<Named>) -> Outcome<()> {
    let mut filter = outdated();
    filter.insert("_id", id);
    match named {
        Some(named) => bounded(names.replace_one(filter, named)).await.map(drop),
        None => bounded(names.delete_one(filter)).await.map(drop),
    }
}
