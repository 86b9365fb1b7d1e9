//! Accounts. How they are deleted is in `deletion.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use protocol::{Role, Secret, Timestamp, UserId};

use super::super::{
    Credentials, ExternalSignedIn, ExternalUser, NewUser, Page, ProfileChange, StoredUser,
    changed_meanwhile,
};
use super::cached::Invalidations;
use super::claims::claim;
use super::collections::Collections;
use super::database::Database;
use super::documents::{ExternalDocument, GuestDocument, UserDocument, existing_user};
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::name_index::holding;
use super::query::{SEARCH_TIME, all};
use super::transaction::{in_transaction, to_the_end};
use super::values::{texts, time};
use crate::StoreError;

/// Makes, finds and changes accounts. Cloning shares it.
#[derive(Clone)]
pub struct Users {
    database: Database,
    invalidations: Arc<Invalidations>,
}

impl Users {
    pub fn new(database: &Database, invalidations: &Arc<Invalidations>) -> Self {
        Self {
            database: database.clone(),
            invalidations: Arc::clone(invalidations),
        }
    }

    pub async fn create_user(
        &self,
        user: NewUser,
        now: Timestamp,
    ) -> Result<StoredUser, StoreError> {
        let stored = StoredUser::registered(&user, now);
        self.make_user(stored, Some(user.password_hash)).await
    }

    pub async fn make_user(
        &self,
        user: StoredUser,
        password_hash: Option<Secret>,
    ) -> Result<StoredUser, StoreError> {
        let store = self.clone();
        to_the_end(async move {
            store
                .insert_user(&UserDocument::new(&user, password_hash))
                .await?;
            Ok(user)
        })
        .await
    }

    pub async fn sign_in_external(
        &self,
        user: ExternalUser,
        now: Timestamp,
    ) -> Result<ExternalSignedIn, StoreError> {
        let store = self.clone();
        to_the_end(async move {
            let id = user.id.clone();
            let signed_in = store.make_or_change_external(user, now).await;
            store.invalidations.user(&id);
            signed_in
        })
        .await
    }

    async fn make_or_change_external(
        &self,
        user: ExternalUser,
        now: Timestamp,
    ) -> Outcome<ExternalSignedIn> {
        let collections = self.database.collections().await?;
        let by_id = doc! { "_id": user.id.as_str() };
        if bounded(collections.users.find_one(by_id.clone()))
            .await?
            .is_none()
        {
            let new = StoredUser::external(&user, now);
            match self.insert_user(&UserDocument::new(&new, None)).await {
                // Another instance was faster.
                Err(Failure::Mongodb(error)) if is_duplicate(&error) => {}
                made => {
                    return made.map(|()| ExternalSignedIn {
                        user: new,
                        shown: true,
                    });
                }
            }
        }
        in_transaction!(&self.database, async |session| {
            let mut document = find_user(collections, &user.id, session).await?;
            let known = document.clone().stored();
            let external = known.external.ok_or(StoreError::NotFound)?;
            if !user.changes(&known) {
                return Ok(ExternalSignedIn {
                    user: known,
                    shown: false,
                });
            }
            document.external = Some(ExternalDocument {
                claims_at: time(user.issued_at),
                valid_from: time(external.valid_from),
            });
            if let Some(display_name) = &user.display_name {
                document.display_name.clone_from(display_name);
            }
            document.role = user.role.unwrap_or(document.role);
            let users = &collections.users;
            bounded(
                users
                    .replace_one(by_id.clone(), &document)
                    .session(&mut *session),
            )
            .await?;
            let people = &collections.people;
            bounded(
                people
                    .replace_one(by_id.clone(), document.named())
                    .session(&mut *session),
            )
            .await?;
            let user = document.stored();
            let shown = user.display_name != known.display_name || user.role != known.role;
            Ok(ExternalSignedIn { user, shown })
        })
    }

    pub async fn end_external_tokens(
        &self,
        id: &UserId,
        valid_from: Timestamp,
    ) -> Result<(), StoreError> {
        let (store, mut user) = (self.clone(), existing_user(id));
        user.insert("external", doc! { "$exists": true });
        to_the_end(async move {
            let users = &store.database.collections().await?.users;
            let raise = doc! { "$max": { "external.validFrom": time(valid_from) } };
            match bounded(users.update_one(user, raise)).await?.matched_count {
                0 => Err(StoreError::NotFound.into()),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn insert_user(&self, user: &UserDocument) -> Outcome<()> {
        let collections = self.database.collections().await?;
        in_transaction!(&self.database, async |session| {
            claim(&collections.usernames, &user.username, &user.id, session).await?;
            bounded(collections.users.insert_one(user).session(&mut *session)).await?;
            let people = &collections.people;
            bounded(people.insert_one(user.named()).session(&mut *session)).await?;
            if user.guest {
                let guest = GuestDocument {
                    id: user.id.clone(),
                    created_at: user.created_at,
                };
                bounded(collections.guests.insert_one(guest).session(&mut *session)).await?;
            }
            Ok(())
        })
    }

    pub async fn user(&self, id: &UserId) -> Result<StoredUser, StoreError> {
        Ok(self.user_document(id).await?.stored())
    }

    async fn user_document(&self, id: &UserId) -> Outcome<UserDocument> {
        let users = &self.database.collections().await?.users;
        let found = bounded(users.find_one(existing_user(id))).await?;
        found.ok_or_else(|| StoreError::NotFound.into())
    }

    pub async fn users(&self, ids: &[UserId]) -> Result<Vec<StoredUser>, StoreError> {
        Ok(self.users_by_id(texts(ids)).await?.into_values().collect())
    }

    /// Those of these users who exist.
    pub async fn users_by_id(&self, ids: Vec<&str>) -> Outcome<HashMap<UserId, StoredUser>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let users = &self.database.collections().await?.users;
        let filter = doc! { "_id": { "$in": ids }, "deletedAt": null };
        let found = all(users.find(filter)).await?.into_iter();
        Ok(found.map(|user| (user.id.clone(), user.stored())).collect())
    }

    /// The ids of those who have these usernames.
    pub async fn user_ids_of(&self, usernames: &[String]) -> Outcome<Vec<UserId>> {
        if usernames.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = usernames.iter().map(|name| name.to_lowercase()).collect();
        let claims = &self.database.collections().await?.usernames;
        let found = all(claims.find(doc! { "_id": { "$in": names } })).await?;
        Ok(found.into_iter().map(|claim| claim.user_id).collect())
    }

    pub async fn credentials(&self, username: &str) -> Result<Option<Credentials>, StoreError> {
        Ok(self.find_credentials(username).await?)
    }

    async fn find_credentials(&self, username: &str) -> Outcome<Option<Credentials>> {
        let collections = self.database.collections().await?;
        let name = doc! { "_id": username.to_lowercase() };
        let Some(claim) = bounded(collections.usernames.find_one(name)).await? else {
            return Ok(None);
        };
        let user = bounded(collections.users.find_one(existing_user(&claim.user_id))).await?;
        Ok(user.map(UserDocument::credentials))
    }

    pub async fn credentials_of(&self, id: &UserId) -> Result<Credentials, StoreError> {
        Ok(self.user_document(id).await?.credentials())
    }

    pub async fn find_users(
        &self,
        query: &str,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Page<StoredUser>, StoreError> {
        let people = &self.database.collections().await?.people;
        let find = people
            .find(holding(query, after.map(UserId::as_str)))
            .sort(doc! { "_id": 1 })
            .limit(i64::from(limit) + 1)
            .max_time(SEARCH_TIME);
        let page = Page::cut(all(find).await?, limit);
        let ids = page.items.iter().map(|named| named.id.as_str()).collect();
        let mut users: Vec<_> = self.users_by_id(ids).await?.into_values().collect();
        users.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(Page {
            items: users,
            has_more: page.has_more,
        })
    }

    pub async fn update_user(
        &self,
        id: &UserId,
        change: ProfileChange,
    ) -> Result<StoredUser, StoreError> {
        let (store, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let changed = store.change_profile(&id, &change).await;
            store.invalidations.user(&id);
            changed
        })
        .await
    }

    async fn change_profile(&self, id: &UserId, change: &ProfileChange) -> Outcome<StoredUser> {
        let collections = self.database.collections().await?;
        in_transaction!(&self.database, async |session| {
            let mut user = find_user(collections, id, session).await?;
            if let Some(display_name) = &change.display_name {
                user.display_name.clone_from(display_name);
            }
            if let Some(avatar_url) = &change.avatar_url {
                user.avatar_url.clone_from(avatar_url);
            }
            if let Some(email) = &change.email {
                user.email.clone_from(email);
            }
            let by_id = doc! { "_id": id.as_str() };
            let users = &collections.users;
            bounded(
                users
                    .replace_one(by_id.clone(), &user)
                    .session(&mut *session),
            )
            .await?;
            let people = &collections.people;
            bounded(
                people
                    .replace_one(by_id, user.named())
                    .session(&mut *session),
            )
            .await?;
            Ok(user.stored())
        })
    }

    pub async fn set_password(
        &self,
        id: &UserId,
        sign_in_version: u64,
        hash: Secret,
    ) -> Result<u64, StoreError> {
        let (store, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let users = &store.database.collections().await?.users;
            let version = i64::try_from(sign_in_version).unwrap_or(i64::MAX);
            let mut as_read = existing_user(&id);
            as_read.insert("signInVersion", known_version(version));
            let next = version.saturating_add(1);
            let set = doc! { "$set": { "passwordHash": hash.expose(), "signInVersion": next } };
            if bounded(users.update_one(as_read, set)).await?.matched_count > 0 {
                return Ok(next.unsigned_abs());
            }
            store.user_document(&id).await?;
            Err(changed_meanwhile().into())
        })
        .await
    }

    pub async fn set_user_role(&self, id: &UserId, role: Role) -> Result<(), StoreError> {
        let role = mongodb::bson::serialize_to_bson(&role).map_err(Failure::unserializable)?;
        self.set(id, doc! { "role": role }).await
    }

    async fn set(&self, id: &UserId, fields: Document) -> Result<(), StoreError> {
        let (store, user) = (self.clone(), existing_user(id));
        to_the_end(async move {
            let users = &store.database.collections().await?.users;
            let update = users.update_one(user, doc! { "$set": fields });
            match bounded(update).await?.matched_count {
                0 => Err(StoreError::NotFound.into()),
                _ => Ok(()),
            }
        })
        .await
    }
}

/// Selects a version, which is absent from accounts that were made before there were versions.
fn known_version(version: i64) -> Bson {
    match version {
        0 => Bson::Document(doc! { "$in": [0i64, Bson::Null] }),
        version => Bson::Int64(version),
    }
}

/// `NotFound` if there is no such user.
pub async fn find_user(
    collections: &Collections,
    id: &UserId,
    session: &mut ClientSession,
) -> Outcome<UserDocument> {
    let find = collections
        .users
        .find_one(existing_user(id))
        .session(session);
    bounded(find)
        .await?
        .ok_or_else(|| StoreError::NotFound.into())
}
