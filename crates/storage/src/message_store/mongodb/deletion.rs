//! Deleting accounts. A deleted one keeps its document, without anything that identifies its user, because messages refer to
//! it.

use std::sync::Arc;

use mongodb::bson::doc;
use protocol::{Role, Timestamp, UserId};

use super::super::Departure;
use super::cached::Invalidations;
use super::claims::release;
use super::database::Database;
use super::documents::{DELETED, PurgeDocument, UserDocument};
use super::failure::{Outcome, bounded};
use super::membership_changes::MembershipChanges;
use super::transaction::{in_transaction, to_the_end};
use super::users::find_user;
use super::values::time;
use crate::StoreError;

/// Deletes accounts. Cloning shares it.
#[derive(Clone)]
pub struct Deletion {
    pub database: Database,
    pub memberships: MembershipChanges,
    pub invalidations: Arc<Invalidations>,
}

impl Deletion {
    pub async fn delete_user(
        &self,
        id: &UserId,
        now: Timestamp,
    ) -> Result<Vec<Departure>, StoreError> {
        let (store, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let deleted = store.anonymise(&id, now).await;
            store.invalidations.user(&id);
            deleted?;
            // Nobody is the user from here on. What remains if this ends early is purged.
            store.memberships.leave_all(&id).await
        })
        .await
    }

    async fn anonymise(&self, id: &UserId, now: Timestamp) -> Outcome<()> {
        let collections = self.database.collections().await?;
        let by_id = || doc! { "_id": id.as_str() };
        in_transaction!(&self.database, async |session| {
            let user = find_user(collections, id, session).await?;
            release(&collections.usernames, &user.username, id, session).await?;
            bounded(
                collections
                    .people
                    .delete_one(by_id())
                    .session(&mut *session),
            )
            .await?;
            bounded(
                collections
                    .guests
                    .delete_one(by_id())
                    .session(&mut *session),
            )
            .await?;
            bounded(
                collections
                    .blocks
                    .delete_one(by_id())
                    .session(&mut *session),
            )
            .await?;
            let nobody = UserDocument {
                username: DELETED.to_owned(),
                display_name: DELETED.to_owned(),
                email: None,
                avatar_url: None,
                role: Role::User,
                password_hash: None,
                deleted_at: Some(time(now)),
                ..user
            };
            let users = &collections.users;
            bounded(users.replace_one(by_id(), nobody).session(&mut *session)).await?;
            let purge = PurgeDocument::of_user(id);
            let insert = collections.purges.insert_one(purge).session(session);
            bounded(insert).await.map(drop)
        })
    }
}
