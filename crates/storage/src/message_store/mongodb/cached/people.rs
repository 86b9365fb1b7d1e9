//! Users as others see them.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::bson::{DateTime, doc};
use protocol::{Sender, UserId};
use serde::Deserialize;

use super::super::database::Database;
use super::super::documents::DELETED;
use super::super::failure::Outcome;
use super::super::query::all;
use super::super::values::texts;
use super::cache::{Cache, Invalidations, Subject};
use crate::StoreError;

/// Users in memory at most.
const CAPACITY: usize = 100_000;

/// A user as others see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub display_name: Arc<str>,
    pub guest: bool,
    pub deleted: bool,
}

/// Looks up names, up to ten seconds old where the bus is down. Cloning shares it.
#[derive(Clone)]
pub struct People {
    database: Database,
    cache: Arc<Cache<UserId, Person>>,
}

impl People {
    pub fn new(database: &Database, invalidations: &Arc<Invalidations>) -> Self {
        Self {
            database: database.clone(),
            cache: Arc::new(Cache::new(CAPACITY, invalidations)),
        }
    }

    /// Users as the senders of what they wrote, in the order of `ids`; deleted and unknown ones are called "deleted".
    pub async fn senders(&self, ids: &[UserId]) -> Outcome<Vec<Sender>> {
        let people = self.by_id(ids).await?;
        let sender = |id: &UserId| {
            let person = people.get(id);
            Sender {
                id: id.clone(),
                display_name: person
                    .map_or(DELETED, |person| &person.display_name)
                    .to_owned(),
                guest: person.is_some_and(|person| person.guest),
            }
        };
        Ok(ids.iter().map(sender).collect())
    }

    /// Users by their ids, deleted ones included. Those who never existed are left out.
    async fn by_id(&self, ids: &[UserId]) -> Outcome<HashMap<UserId, Person>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Found {
            #[serde(rename = "_id")]
            id: UserId,
            display_name: String,
            guest: bool,
            deleted_at: Option<DateTime>,
        }
        let mut people = HashMap::with_capacity(ids.len());
        let mut missing = HashMap::new();
        for id in ids {
            if let Some(person) = self.cache.get(id) {
                people.insert(id.clone(), person);
            } else {
                let user = || Subject::User(id);
                let stamp = self.cache.stamp([user(), user(), user()]);
                missing.insert(id.clone(), stamp);
            }
        }
        if missing.is_empty() {
            return Ok(people);
        }
        let users = &self.database.collections().await?.users;
        let users = users.clone_with_type::<Found>();
        let find = users
            .find(doc! { "_id": { "$in": texts(missing.keys()) } })
            .projection(doc! { "displayName": 1, "guest": 1, "deletedAt": 1 });
        for user in all(find).await? {
            let person = Person {
                display_name: user.display_name.into(),
                guest: user.guest,
                deleted: user.deleted_at.is_some(),
            };
            if let Some(stamp) = missing.remove(&user.id) {
                self.cache.put(user.id.clone(), person.clone(), stamp);
            }
            people.insert(user.id, person);
        }
        Ok(people)
    }

    /// `NotFound` unless there is such a user.
    pub async fn require(&self, id: &UserId) -> Outcome<()> {
        let people = self.by_id(std::slice::from_ref(id)).await?;
        match people.get(id) {
            Some(person) if !person.deleted => Ok(()),
            _ => Err(StoreError::NotFound.into()),
        }
    }

    /// `NotFound` if the viewer is a user who doesn't exist.
    pub async fn require_viewer(&self, viewer: Option<&UserId>) -> Outcome<()> {
        match viewer {
            Some(viewer) => self.require(viewer).await,
            None => Ok(()),
        }
    }
}
