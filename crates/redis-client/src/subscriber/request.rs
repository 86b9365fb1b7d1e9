//! What callers ask the subscriber's session to do.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::RedisError;
use crate::resp::Kind;

/// What the subscriber's owner asks of its session.
pub(crate) enum Request {
    Subscribe {
        kind: Kind,
        name: Arc<str>,
        done: Confirmation,
    },
    Unsubscribe {
        kind: Kind,
        name: Arc<str>,
    },
}

/// Told when a subscription is confirmed or refused.
pub(crate) type Confirmation = oneshot::Sender<Result<(), RedisError>>;
