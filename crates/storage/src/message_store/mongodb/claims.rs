//! Usernames that are taken.
//!
//! A name is claimed by a document of which it is the key, in the transaction that makes the account: both are there or
//! neither, whatever happens in between, and no claim is ever left without its account.

use mongodb::bson::doc;
use mongodb::{ClientSession, Collection};
use protocol::UserId;

use super::documents::ClaimDocument;
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use crate::StoreError;

/// Takes a name for a user; `Conflict` naming `username` if it is another's, or this user's already.
pub async fn claim(
    claims: &Collection<ClaimDocument>,
    name: &str,
    user: &UserId,
    session: &mut ClientSession,
) -> Outcome<()> {
    let claim = ClaimDocument {
        name: name.to_lowercase(),
        user_id: user.clone(),
    };
    match bounded(claims.insert_one(claim).session(session)).await {
        Err(Failure::Mongodb(error)) if is_duplicate(&error) => {
            Err(StoreError::conflict("username", "is taken").into())
        }
        result => result.map(drop),
    }
}

/// Gives a name back, if it is this user's.
pub async fn release(
    claims: &Collection<ClaimDocument>,
    name: &str,
    user: &UserId,
    session: &mut ClientSession,
) -> Outcome<()> {
    let filter = doc! { "_id": name.to_lowercase(), "userId": user.as_str() };
    bounded(claims.delete_one(filter).session(session))
        .await
        .map(drop)
}
