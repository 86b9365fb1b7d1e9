//! A fleet with its clients, in rooms that reach over its instances.

use std::rc::Rc;

use super::{
    instances::{Instances, Kind},
    publication::{PUBLISHERS, SUBSCRIBERS, room_of},
    stack::Stack,
};
use crate::{
    bench::chat::{
        accounts::{self, Account},
        check_ok,
        sends::{self, instance_in_turn},
    },
    connect,
    engine::{ClientId, Deadline, Engine},
    error::{Error, Result},
    fan_out::Rooms,
    packet,
};

/// Clients that send durable messages, half of them on A and half on B, each another user.
pub const SENDERS: usize = 200;
const STEP_TIME: std::time::Duration = std::time::Duration::from_secs(180);

/// A fleet with publishers on A and subscribers on B.
pub struct Party {
    /// What it is a fleet of.
    pub kind: Kind,
    /// Its processes.
    pub instances: Instances,
    /// The publishers and the subscribers.
    pub engine: Engine,
    /// The names of the rooms of each size.
    pub rooms: Vec<(Rooms, Vec<String>)>,
    /// Of Tertulia, its users: the first is registered and owns the rooms, the others are guests.
    accounts: Vec<Account>,
}

impl Party {
    /// Starts a fleet and lets its clients join their rooms of each of `sizes`.
    ///
    /// # Errors
    /// As [`Instances::start`], and what the clients meet.
    pub fn start(kind: Kind, stack: &Stack, name: &str, sizes: &[Rooms]) -> Result<Self> {
        let mut instances = Instances::start(kind, stack, name)?;
        match Self::fill(kind, &instances, sizes) {
            Ok((engine, rooms, accounts)) => Ok(Self {
                kind,
                instances,
                engine,
                rooms,
                accounts,
            }),
            Err(error) => Err(instances.explain(error)),
        }
    }

    #[expect(
        clippy::type_complexity,
        reason = "the parts of a party, named where they are put together"
    )]
    fn fill(
        kind: Kind,
        instances: &Instances,
        sizes: &[Rooms],
    ) -> Result<(Engine, Vec<(Rooms, Vec<String>)>, Vec<Account>)> {
        let server = instances.servers[0].address;
        let mut accounts = Vec::new();
        if kind == Kind::Tertulia {
            accounts.push(accounts::register(server, 0)?);
            for number in 1..SENDERS {
                accounts.push(accounts::guest(server, number)?);
            }
        }
        let mut rooms = Vec::new();
        for &size in sizes {
            let name = |room| format!("of {} {room}", size.size);
            let names = (0..size.count).map(|room| match accounts.first() {
                Some(owner) => accounts::create_room(server, 0, owner, &name(room)),
                None => Ok(name(room)),
            });
            rooms.push((size, names.collect::<Result<Vec<_>>>()?));
        }

        let addresses = [server, instances.servers[1].address];
        let mut engine = Engine::over(&addresses, |client| usize::from(client >= PUBLISHERS))?;
        let deadline = Deadline::after(STEP_TIME);
        let anybody: Rc<[u8]> = packet::connect_frame(None).into();
        connect::open(&mut engine, PUBLISHERS + SUBSCRIBERS, deadline, |client| {
            let own = accounts.get(user_of(client));
            own.map_or_else(|| Rc::clone(&anybody), Account::connect_frame)
        })?;
        for (size, names) in &rooms {
            let members = (0..engine.len()).filter(|&client| room_of(*size, client).is_some());
            let members: Vec<_> = members.collect();
            join(&mut engine, kind, members, deadline, |client| {
                room_of(*size, client).map_or("", |room| &names[room])
            })?;
        }
        Ok((engine, rooms, accounts))
    }

    /// Lets senders, on A and B in turn, join new rooms of [`sends::ROOM`], and returns them with the rooms.
    ///
    /// # Errors
    /// What the clients meet.
    pub fn senders(&mut self) -> Result<(Engine, Vec<String>)> {
        let servers = &self.instances.servers;
        let (a, b) = (servers[0].address, servers[1].address);
        let Some(owner) = self.accounts.first() else {
            return Err(Error::Usage("only Tertulia keeps messages".into()));
        };
        let names = (0..SENDERS / sends::ROOM)
            .map(|room| accounts::create_room(a, 0, owner, &format!("sends {room}")))
            .collect::<Result<Vec<_>>>()?;
        let mut engine = Engine::over(&[a, b], instance_in_turn)?;
        let deadline = Deadline::after(STEP_TIME);
        connect::open(&mut engine, SENDERS, deadline, |client| {
            self.accounts[client].connect_frame()
        })?;
        join(
            &mut engine,
            self.kind,
            (0..SENDERS).collect(),
            deadline,
            |client| &names[client / sends::ROOM],
        )?;
        Ok((engine, names))
    }
}

/// Publishers are other users than subscribers, and the members of a small room are all different.
fn user_of(client: ClientId) -> usize {
    if client < PUBLISHERS {
        client
    } else {
        PUBLISHERS + client % (SENDERS - PUBLISHERS)
    }
}

fn join<'a>(
    engine: &mut Engine,
    kind: Kind,
    clients: Vec<ClientId>,
    deadline: Deadline,
    room_of: impl Fn(ClientId) -> &'a str,
) -> Result<()> {
    let ask = |client, ack| {
        let room = serde_json::json!(room_of(client)).to_string();
        match kind {
            Kind::Tertulia => {
                let request = format!("{{\"roomId\":{room}}}");
                packet::event_frame("room:join", &[&request], Some(ack))
            }
            Kind::NodePlain | Kind::NodeSharded => packet::event_frame("join", &[&room], Some(ack)),
        }
    };
    connect::ask_each(engine, clients, deadline, ask, |_, answer| match kind {
        Kind::Tertulia => check_ok(answer),
        Kind::NodePlain | Kind::NodeSharded => Ok(()),
    })
}
