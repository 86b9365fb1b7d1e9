//! `image:upload`: an image in an event.

use gateway::{Handled, Socket};
use protocol::{ImageAck, Invalid, UploadImage};

use super::{Asked, ChatSession, read, refuse, reply};
use crate::{media, wire::frame};

/// Storing an image may take longer than anything else, so the connection's next event doesn't wait for it.
pub(super) fn upload(session: &ChatSession, socket: Socket, asked: Asked) -> Handled {
    let request = read::<UploadImage>(&asked);
    let attachments = asked.event.attachments();
    let ack = asked.into_answer();
    let checked = request.and_then(|request| {
        let data = attachments.get(request.data.num).cloned();
        let data = data.ok_or_else(|| Invalid::new("data", "expected binary data"))?;
        Ok((session.app.media()?.clone(), request, data))
    });
    let (media, request, data) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            refuse(ack, error);
            return None;
        }
    };
    let actor = session.actor.clone();
    tokio::spawn(async move {
        let accepted = media::upload_image(&media, &actor, request, data).await;
        let message_id = accepted.as_ref().ok().map(|image| image.message_id.clone());
        reply(ack, accepted);
        if let Some(message_id) = message_id
            && let Some(frame) = frame(&ImageAck { message_id })
        {
            socket.send(&frame);
        }
    });
    None
}
