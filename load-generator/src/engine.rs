//! Many clients of a server, or of a few of them, on one thread and one epoll.
//!
//! The engine must never be what a measurement measures: a turn is one `epoll_wait` and one `recv` for each readable
//! socket, into one shared buffer. It can poll instead of sleeping, because waking a sleeping receiver is work that the
//! kernel charges to the sending server.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    io::Errno,
};

use crate::{
    client::{Client, Event, Target},
    error::{Doing, Error, Result},
};

/// Clients come from this many loopback addresses, so that ephemeral ports never run out.
const SOURCE_ADDRESSES: usize = 64;
/// What epoll gives back for the source that is no client.
const WATCHED: u64 = u64::MAX;
const EVENTS_PER_TURN: usize = 1024;
const READ_BUFFER: usize = 256 << 10;

/// The number of a client in its engine, from 0 in the order of opening.
pub type ClientId = usize;

/// What a turn does while nothing is ready.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    /// Returns at once: the thread keeps its core busy.
    Poll,
    /// Sleeps until something is ready, at most this long.
    Sleep(Duration),
}

/// All clients of one server, or of the instances of one.
pub struct Engine {
    epoll: OwnedFd,
    targets: Vec<Target>,
    /// The place among the targets of that of each client.
    place: fn(ClientId) -> usize,
    clients: Vec<Slot>,
    ready: Vec<epoll::Event>,
    buffer: Box<[u8]>,
    busy: Duration,
}

struct Slot {
    client: Client,
    /// Whether epoll also watches for room to write.
    watches_write: bool,
}

impl Engine {
    /// An engine without clients yet.
    ///
    /// # Errors
    /// [`Error::Io`] when the system has no epoll to give.
    pub fn new(server: SocketAddrV4) -> Result<Self> {
        Self::over(&[server], |_| 0)
    }

    /// The same for clients of several servers; `place` says of which one each is.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn over(servers: &[SocketAddrV4], place: fn(ClientId) -> usize) -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)
                .doing(|| "creating an epoll".into())?,
            targets: servers.iter().copied().map(Target::new).collect(),
            place,
            clients: Vec::new(),
            ready: Vec::with_capacity(EVENTS_PER_TURN),
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            busy: Duration::ZERO,
        })
    }

    /// How many clients were opened.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// The time spent in turns that had something to do: beside the elapsed time it says whether the clients, rather
    /// than the server, were the limit.
    pub fn busy(&self) -> Duration {
        self.busy
    }

    /// Opens one more client; [`Event::Connected`] follows in a later turn.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn open(&mut self, connect_frame: Rc<[u8]>) -> Result<ClientId> {
        let id = self.clients.len();
        let target = &self.targets[(self.place)(id)];
        let client = Client::open(target, source_address(id), connect_frame)?;
        let watches_write = client.has_unsent();
        epoll::add(
            &self.epoll,
            &client,
            epoll::EventData::new_u64(id as u64),
            interest(watches_write),
        )
        .doing(|| "adding a client to epoll".into())?;
        self.clients.push(Slot {
            client,
            watches_write,
        });
        Ok(id)
    }

    /// Sends a ready frame on a client's connection.
    ///
    /// # Errors
    /// [`Error::Client`] when the connection is gone.
    pub fn send(&mut self, id: ClientId, frame: &[u8]) -> Result<()> {
        let slot = &mut self.clients[id];
        slot.client
            .send(frame)
            .and_then(|()| slot.watch(&self.epoll, id))
            .map_err(|error| of_client(id, error))
    }

    /// Makes turns end when `source` can be read, which stays the caller's to do.
    ///
    /// # Errors
    /// [`Error::Io`] when epoll refuses it.
    pub fn watch(&mut self, source: impl AsFd) -> Result<()> {
        let data = epoll::EventData::new_u64(WATCHED);
        epoll::add(&self.epoll, source, data, epoll::EventFlags::IN)
            .doing(|| "watching for orders".into())
    }

    /// Handles what is ready and returns whether what is watched can be read.
    ///
    /// # Errors
    /// [`Error::Client`] for the first client that failed; the engine is of no use afterwards.
    pub fn turn(&mut self, wait: Wait, mut on: impl FnMut(ClientId, Event<'_>)) -> Result<bool> {
        let timeout = match wait {
            Wait::Poll => Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            Wait::Sleep(time) => Timespec {
                tv_sec: time.as_secs() as i64,
                tv_nsec: i64::from(time.subsec_nanos()),
            },
        };
        self.ready.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing(|| "waiting for clients".into()),
        }
        if self.ready.is_empty() {
            return Ok(false);
        }
        let begun = Instant::now();
        let mut readable = false;
        for event in &self.ready {
            let data = event.data;
            if data.u64() == WATCHED {
                readable = true;
                continue;
            }
            let id = data.u64() as ClientId;
            let flags = event.flags;
            let slot = &mut self.clients[id];
            slot.handle(flags, &mut self.buffer, &mut |event| on(id, event))
                .and_then(|()| slot.watch(&self.epoll, id))
                .map_err(|error| of_client(id, error))?;
        }
        self.busy += begun.elapsed();
        Ok(readable)
    }

    /// Keeps the connections alive for `time`, asleep while nothing comes.
    ///
    /// # Errors
    /// As [`Engine::turn`].
    pub fn idle(&mut self, time: Duration, mut on: impl FnMut(ClientId, Event<'_>)) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(Wait::Sleep(left), &mut on)?;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for slot in &self.clients {
            if let Err(error) = slot.client.reset_on_close() {
                eprintln!("a connection ends without a reset: {error}");
            }
        }
    }
}

impl Slot {
    fn handle(
        &mut self,
        flags: epoll::EventFlags,
        buffer: &mut [u8],
        on: &mut impl FnMut(Event<'_>),
    ) -> Result<()> {
        if flags.contains(epoll::EventFlags::OUT) {
            self.client.flush()?;
        }
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
        {
            self.client.receive(buffer, on)?;
        }
        Ok(())
    }

    /// Makes epoll watch for room to write while, and only while, bytes wait for it.
    fn watch(&mut self, epoll: &OwnedFd, id: ClientId) -> Result<()> {
        let needs = self.client.has_unsent();
        if needs != self.watches_write {
            epoll::modify(
                epoll,
                &self.client,
                epoll::EventData::new_u64(id as u64),
                interest(needs),
            )
            .doing(|| "changing a client in epoll".into())?;
            self.watches_write = needs;
        }
        Ok(())
    }
}

fn interest(write: bool) -> epoll::EventFlags {
    if write {
        epoll::EventFlags::IN | epoll::EventFlags::OUT
    } else {
        epoll::EventFlags::IN
    }
}

fn of_client(client: ClientId, error: Error) -> Error {
    Error::Client {
        client,
        source: Box::new(error),
    }
}

/// The loopback address that a client (or a request made for one) comes from.
pub fn source_address(id: ClientId) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, 1 + (id % SOURCE_ADDRESSES) as u8)
}

/// The end of the time that a step may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline this far from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// # Errors
    /// [`Error::Deadline`], with what was being done, once the time is over.
    pub fn check(self, doing: impl FnOnce() -> String) -> Result<()> {
        if Instant::now() < self.0 {
            Ok(())
        } else {
            Err(Error::Deadline(format!("too slow: {}", doing())))
        }
    }
}
