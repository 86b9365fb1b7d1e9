//! Running queries: how their results are collected and bounded.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use mongodb::action::Find;
use mongodb::bson::Document;
use mongodb::{ClientSession, Collection, Cursor, SessionCursor};
use serde::de::DeserializeOwned;

use super::super::Space;
use super::failure::{Outcome, bounded};

/// How long the server may take for a search, by messages or by names. Nearly all are done in a hundredth of that.
pub const SEARCH_TIME: Duration = Duration::from_secs(2);

/// All documents of a query, whose number must be bounded by the query itself.
pub async fn all<T: DeserializeOwned + Send + Sync>(
    find: impl IntoFuture<Output = mongodb::error::Result<Cursor<T>>>,
) -> Outcome<Vec<T>> {
    bounded(async { find.await?.try_collect().await }).await
}

/// Documents in one batch of [`first`]: a page that is full by its bytes leaves no more than these unread.
const READ_AHEAD: u32 = 100;

/// The first documents of a query: one more than a page holds, if there are so many.
pub async fn first<T: DeserializeOwned + Send + Sync>(
    find: Find<'_, T>,
    limit: u32,
    bytes: impl Fn(&T) -> usize,
) -> Outcome<Vec<T>> {
    let read = async {
        let mut cursor = find
            .limit(i64::from(limit) + 1)
            .batch_size(READ_AHEAD)
            .await?;
        let (mut found, mut space) = (Vec::new(), Space::new(limit));
        while let Some(document) = cursor.try_next().await? {
            let fits = space.takes(bytes(&document));
            found.push(document);
            if !fits {
                break;
            }
        }
        Ok(found)
    };
    bounded(read).await
}

/// As [`all`], in a transaction.
pub async fn all_in<T: DeserializeOwned + Send + Sync>(
    collection: &Collection<T>,
    filter: Document,
    session: &mut ClientSession,
) -> Outcome<Vec<T>> {
    // Boxed as `Send`: the compiler can't infer that of the driver's own future.
    let find: BoxFuture<'_, mongodb::error::Result<SessionCursor<T>>> =
        Box::pin(collection.find(filter).session(&mut *session).into_future());
    let mut cursor = bounded(find).await?;
    let mut found = Vec::new();
    while bounded(cursor.advance(session)).await? {
        found.push(cursor.deserialize_current()?);
    }
    Ok(found)
}
