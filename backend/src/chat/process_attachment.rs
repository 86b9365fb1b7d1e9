//! What became of an attachment of a message: an entry of the room's log, which nobody asked for.

use std::sync::Arc;

use protocol::{RoomId, UserId};
use storage::{Appended, Change, NewEntry, StoreError, StoredAttachment};

use super::{Chat, send_message::publish};

/// Records it and tells the room; if it was recorded before, nothing happens. `sender` is the message's, who may have left.
///
/// # Errors
/// `NotFound` if there is no such message, `Conflict` if it is deleted or was sent with what became of the attachment, `Unavailable` if it
/// isn't known whether it is recorded.
pub async fn record(
    chat: &Arc<Chat>,
    sender: &UserId,
    room_id: RoomId,
    of: u64,
    attachment: StoredAttachment,
) -> Result<(), StoreError> {
    let entry = NewEntry {
        room_id,
        actor: sender.clone(),
        change: Change::Process {
            of,
            attachment: Box::new(attachment),
        },
    };
    let unavailable = |why| StoreError::Unavailable(Arc::new(std::io::Error::other(why)));
    let Some(permit) = chat.publish_queues.reserve(&entry.room_id, entry.bytes()) else {
        return Err(unavailable("too much waits to be published"));
    };
    let (done, recorded) = tokio::sync::oneshot::channel();
    let (chat_done, sender) = (chat.clone(), sender.clone());
    chat.store
        .append(entry, move |result: Result<Appended, StoreError>| {
            permit.run(move || {
                let outcome = result.map(|appended| {
                    if appended.recorded {
                        publish(&chat_done, &sender, appended);
                    }
                });
                // Whoever waited may have been given up; it is recorded all the same.
                drop(done.send(outcome));
            });
        });
    recorded
        .await
        .map_err(|_| unavailable("the server is stopping"))?
}
