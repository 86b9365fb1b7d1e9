//! Reading the bodies of requests, within bounds of bytes and time.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;

use crate::byte_budget::{ByteBudget, HeldBytes};

/// How a request's body is to be read. [`serve`](crate::serve) puts it into the request's extensions.
///
/// All bodies that are being read have a bound together, and each has to be there in time. One that is given up ends its
/// TCP connection behind the answer: what is left of it would have to be read before the next request.
#[derive(Clone)]
pub struct BodyReader {
    budget: Arc<ByteBudget>,
    address: IpAddr,
    time: Duration,
    /// One wasn't read to its end.
    given_up: Arc<AtomicBool>,
}

/// Why a body isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than it may be.
    #[error("the body is too large")]
    TooLarge,
    /// It didn't come in time.
    #[error("the body came too slowly")]
    TooSlow,
    /// Too much of other bodies is being read.
    #[error("too many bodies are being read")]
    NoRoom,
    /// It doesn't come to its end.
    #[error("the body ends too early")]
    CutOff,
}

impl BodyReader {
    pub(crate) fn new(budget: Arc<ByteBudget>, address: IpAddr, time: Duration) -> Self {
        Self {
            budget,
            address,
            time,
            given_up: Arc::default(),
        }
    }

    /// All of a body of at most `max` bytes.
    ///
    /// # Errors
    /// If it isn't there in time, in full, and within the bounds.
    pub async fn read<B: Body + Unpin>(&self, body: B, max: usize) -> Result<Bytes, BodyError> {
        let mut held = HeldBytes::none(self.budget.clone(), self.address);
        let reading = read(body, max, |bytes| held.set(bytes));
        let read = match tokio::time::timeout(self.time, reading).await {
            Ok(read) => read,
            Err(_) => Err(BodyError::TooSlow),
        };
        if read.is_err() {
            self.given_up.store(true, Relaxed);
        }
        read
    }

    pub(crate) fn gave_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }
}

/// All of a body of at most `max` bytes, as long as `hold` allows what is there of it.
pub(crate) async fn read<B: Body + Unpin>(
    mut body: B,
    max: usize,
    mut hold: impl FnMut(usize) -> bool,
) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::CutOff)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.remaining() > max - bytes.len() {
            return Err(BodyError::TooLarge);
        }
        bytes.put(data);
        if !hold(bytes.len()) {
            return Err(BodyError::NoRoom);
        }
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, net::Ipv4Addr};

    use futures_util::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn reader(max: usize) -> BodyReader {
        let address = Ipv4Addr::LOCALHOST.into();
        let time = Duration::from_millis(20);
        BodyReader::new(Arc::new(ByteBudget::new(max)), address, time)
    }

    #[tokio::test]
    async fn a_body_has_a_bound_said_or_not() {
        let reader = reader(1 << 20);
        let whole = |length: usize| Full::new(Bytes::from(vec![b' '; length]));
        assert_eq!(reader.read(whole(1_000), 1_000).await.unwrap().len(), 1_000);
        assert!(!reader.gave_up());
        let read = reader.read(whole(1_001), 1_000).await;
        assert_eq!(read, Err(BodyError::TooLarge));
        assert!(reader.gave_up());
        let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b' '; 100])));
        let pieces = StreamBody::new(stream::iter((0..11).map(|_| piece())));
        assert_eq!(reader.read(pieces, 1_000).await, Err(BodyError::TooLarge));
        let cut = StreamBody::new(stream::iter([Err::<Frame<Bytes>, _>("gone")]));
        assert_eq!(reader.read(cut, 1_000).await, Err(BodyError::CutOff));
    }

    #[tokio::test]
    async fn what_doesnt_come_is_given_up_and_given_back() {
        let reader = reader(256 * 1024);
        let slow = || {
            let piece = Frame::data(Bytes::from(vec![b' '; 60_000]));
            let pieces = stream::iter([Ok::<_, Infallible>(piece)]).chain(stream::pending());
            StreamBody::new(pieces)
        };
        let (one, other) = tokio::join!(reader.read(slow(), 100_000), reader.read(slow(), 100_000));
        assert_eq!(one, Err(BodyError::TooSlow));
        assert_eq!(other, Err(BodyError::NoRoom));
        assert!(reader.gave_up());
        assert_eq!(reader.budget.held(), 0);
    }
}
