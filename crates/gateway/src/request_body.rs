//! Reading the bodies of requests, within bounds of bytes and time.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::byte_budget::{ByteBudget, HeldBytes};

/// How a request's body is to be read. [`serve`](crate::serve) puts it into the request's extensions.
///
/// All bodies that are being read have a bound together, and each has to be there in time, and to come at a least rate: who
/// sends byte by byte holds its place for a moment only. One that is given up ends its
/// TCP connection behind the answer: what is left of it would have to be read before the next request.
#[derive(Clone)]
pub struct BodyReader {
    budget: Arc<ByteBudget>,
    address: IpAddr,
    times: BodyTimes,
    /// One wasn't read to its end.
    given_up: Arc<AtomicBool>,
}

/// How fast a body has to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyTimes {
    /// Until it is there.
    pub(crate) whole: Duration,
    /// Before it has to have come at the least rate.
    pub(crate) grace: Duration,
    /// Bytes a second, at least.
    pub(crate) rate: usize,
}

impl BodyTimes {
    /// How long after its beginning a body of which so many bytes are there is waited for.
    fn patience(&self, bytes: usize) -> Duration {
        let rate = self.rate.max(1) as u64;
        let millis = (bytes as u64).saturating_mul(1_000) / rate;
        let at_rate = self.grace.saturating_add(Duration::from_millis(millis));
        at_rate.min(self.whole)
    }
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
    pub(crate) fn new(budget: Arc<ByteBudget>, address: IpAddr, times: BodyTimes) -> Self {
        Self {
            budget,
            address,
            times,
            given_up: Arc::default(),
        }
    }

    /// All of a body of at most `max` bytes.
    ///
    /// # Errors
    /// If it isn't there in time, in full, and within the bounds.
    pub async fn read<B: Body + Unpin>(&self, body: B, max: usize) -> Result<Bytes, BodyError> {
        let mut held = HeldBytes::none(self.budget.clone(), self.address);
        let there = AtomicUsize::new(0);
        let reading = read(body, max, |bytes| {
            there.store(bytes, Relaxed);
            held.set(bytes)
        });
        let read = self.in_time(reading, &there).await;
        if read.is_err() {
            self.given_up.store(true, Relaxed);
        }
        read
    }

    /// Waits as long as enough is there.
    async fn in_time(
        &self,
        reading: impl Future<Output = Result<Bytes, BodyError>>,
        there: &AtomicUsize,
    ) -> Result<Bytes, BodyError> {
        let begun = Instant::now();
        let mut reading = std::pin::pin!(reading);
        loop {
            let patience = self.times.patience(there.load(Relaxed));
            match tokio::time::timeout_at(begun + patience, reading.as_mut()).await {
                Ok(read) => return read,
                // More may have come meanwhile.
                Err(_) if self.times.patience(there.load(Relaxed)) > patience => {}
                Err(_) => return Err(BodyError::TooSlow),
            }
        }
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
        let times = BodyTimes {
            whole: Duration::from_secs(20),
            grace: Duration::from_secs(5),
            rate: 1_000,
        };
        BodyReader::new(Arc::new(ByteBudget::new(max)), address, times)
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

    #[tokio::test(start_paused = true)]
    async fn a_body_comes_at_a_least_rate() {
        let reader = reader(1 << 20);
        // So many times a hundred bytes in so many seconds.
        let dripping = |count: u32, seconds: u64| {
            let each = Duration::from_secs(seconds) / count;
            let drops = stream::iter(0..count).then(move |_| async move {
                tokio::time::sleep(each).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b' '; 100])))
            });
            StreamBody::new(Box::pin(drops))
        };
        let begun = Instant::now();
        let read = reader.read(dripping(100, 100), 100_000).await;
        assert_eq!(read, Err(BodyError::TooSlow));
        assert!(begun.elapsed() < Duration::from_secs(6));
        let read = reader.read(dripping(60, 10), 100_000).await;
        assert_eq!(read.map(|bytes| bytes.len()), Ok(6_000));
        let begun = Instant::now();
        let read = reader.read(dripping(900, 30), 100_000).await;
        assert_eq!(read, Err(BodyError::TooSlow));
        assert_eq!(begun.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
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
