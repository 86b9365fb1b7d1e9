//! Users who came without registering.

use mongodb::bson::doc;
use protocol::{Timestamp, UserId};

use super::super::StoredUser;
use super::database::Database;
use super::failure::{Outcome, bounded};
use super::query::all;
use super::users::Users;
use super::values::time;
use crate::StoreError;

/// Makes and lists guests.
pub struct Guests {
    pub database: Database,
    pub users: Users,
}

impl Guests {
    pub async fn create_guest(
        &self,
        display_name: String,
        now: Timestamp,
    ) -> Result<StoredUser, StoreError> {
        let stored = StoredUser::guest(display_name, now);
        self.users.make_user(stored, None).await
    }

    pub async fn guests(
        &self,
        created_before: Timestamp,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        Ok(self.list_guests(created_before, after, limit).await?)
    }

    async fn list_guests(
        &self,
        created_before: Timestamp,
        after: Option<&UserId>,
        limit: u32,
    ) -> Outcome<Vec<UserId>> {
        // To the server a limit of 0 is none.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let collections = self.database.collections().await?;
        let mut filter = doc! { "createdAt": { "$lt": time(created_before) } };
        if let Some(after) = after {
            // A deleted one still says when it came.
            let after = bounded(collections.users.find_one(doc! { "_id": after.as_str() })).await?;
            let after = after.ok_or_else(|| StoreError::invalid("after", "no such user"))?;
            let (id, at) = (after.id.as_str(), after.created_at);
            let behind = [
                doc! { "createdAt": { "$gt": at } },
                doc! { "createdAt": at, "_id": { "$gt": id } },
            ];
            filter.insert("$or", behind.to_vec());
        }
        let find = collections
            .guests
            .find(filter)
            .sort(doc! { "createdAt": 1, "_id": 1 })
            .limit(i64::from(limit));
        Ok(all(find).await?.into_iter().map(|guest| guest.id).collect())
    }
}
