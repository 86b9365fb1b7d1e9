//! The subscriptions that callers asked for, and the state of each.
//!
//! A request has a serial, and every `SSUBSCRIBE` carries the serials it was sent for: an answer to an older request of the same
//! name, unsubscribed in between, doesn't count for a newer one. A subscription that was live and isn't any more is
//! `lost` until it is confirmed again, and then reported as interrupted; so is one whose caller has stopped waiting for the confirmation.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::RedisError;
use crate::resp::Kind;
use crate::slots::slot;
use crate::subscriber::connection::{Asked, Names};
use crate::subscriber::request::Confirmation;

/// How many `MOVED`s are followed at once; then at the next tick, in case two servers redirect to each other.
const MAX_HOPS: u8 = 3;

#[derive(Default)]
pub(super) struct Registry {
    shard: HashMap<Arc<str>, Subscription>,
    patterns: HashMap<Arc<str>, Subscription>,
    last_serial: u64,
    /// To be sent now.
    pub(super) to_send: Vec<Pending>,
    /// To be sent when a connection opens or the layout changes.
    stranded: Vec<Pending>,
    /// To be sent at the next tick.
    later: Vec<Pending>,
    /// To be sent at leisure: the server refuses them.
    refused: Vec<Pending>,
    /// To be unsubscribed, and on which connection.
    pub(super) leaving: Vec<Leaving>,
    /// Live again after they were lost; to be reported.
    pub(super) interrupted: Vec<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    serial: u64,
}

pub(super) struct Leaving {
    pub(super) connection: u64,
    pub(super) kind: Kind,
    pub(super) slot: u16,
    pub(super) name: Arc<str>,
}

struct Subscription {
    slot: u16,
    serial: u64,
    state: State,
    lost: bool,
    /// It waits for a master that is away.
    is_away: bool,
    hops: u8,
    waiting: Vec<Confirmation>,
}

/// The number is that of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unsent,
    Sent(u64),
    Live(u64),
}

impl Registry {
    fn of(&mut self, kind: Kind) -> &mut HashMap<Arc<str>, Subscription> {
        match kind {
            Kind::Shard => &mut self.shard,
            Kind::Pattern => &mut self.patterns,
        }
    }

    /// The name of a subscription, as its messages carry it.
    pub(super) fn name(&self, kind: Kind, name: &[u8]) -> Option<&Arc<str>> {
        let name = std::str::from_utf8(name).ok()?;
        let subscriptions = match kind {
            Kind::Shard => &self.shard,
            Kind::Pattern => &self.patterns,
        };
        subscriptions.get_key_value(name).map(|(name, _)| name)
    }

    pub(super) fn subscribe(&mut self, kind: Kind, name: Arc<str>, done: Confirmation) {
        match self.of(kind).get_mut(&name) {
            // Who doesn't wait any more needn't know: it is live.
            Some(Subscription {
                state: State::Live(_),
                ..
            }) => drop(done.send(Ok(()))),
            Some(Subscription { is_away: true, .. }) => drop(done.send(Err(away()))),
            Some(subscription) => {
                // Those who gave up don't add up while Redis is away.
                if subscription.waiting.len().is_power_of_two() {
                    subscription.waiting.retain(|waiting| !waiting.is_closed());
                }
                subscription.waiting.push(done);
            }
            None => {
                self.last_serial += 1;
                let serial = self.last_serial;
                let subscription = Subscription {
                    slot: slot(name.as_bytes()),
                    serial,
                    state: State::Unsent,
                    lost: false,
                    is_away: false,
                    hops: 0,
                    waiting: vec![done],
                };
                self.of(kind).insert(Arc::clone(&name), subscription);
                self.to_send.push(Pending { kind, name, serial });
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, kind: Kind, name: Arc<str>) {
        if let Some(subscription) = self.of(kind).remove(&name)
            && let State::Sent(connection) | State::Live(connection) = subscription.state
        {
            self.leaving.push(Leaving {
                connection,
                kind,
                slot: subscription.slot,
                name,
            });
        }
    }

    /// The slot of a pending that is still to be sent.
    pub(super) fn slot_of(&self, pending: &Pending) -> Option<u16> {
        let subscriptions = match pending.kind {
            Kind::Shard => &self.shard,
            Kind::Pattern => &self.patterns,
        };
        let subscription = subscriptions.get(&pending.name)?;
        (subscription.serial == pending.serial && subscription.state == State::Unsent)
            .then_some(subscription.slot)
    }

    /// A connection opened or the layout changed; or not, and what waits for it is tried where it would go now.
    pub(super) fn servers_changed(&mut self, for_the_better: bool) {
        if for_the_better {
            self.to_send.append(&mut self.stranded);
        } else {
            self.later.append(&mut self.stranded);
        }
    }

    pub(super) fn tick(&mut self, refused_too: bool) {
        self.to_send.append(&mut self.later);
        if refused_too {
            self.to_send.append(&mut self.refused);
        }
    }

    /// Keeps a pending until something changes; callers needn't wait for it if its master is away.
    pub(super) fn strand(&mut self, pending: Pending, is_away: bool) {
        if let Some(subscription) = self.of(pending.kind).get_mut(&pending.name) {
            subscription.is_away = is_away;
            if is_away {
                for waiting in subscription.waiting.drain(..) {
                    drop(waiting.send(Err(away())));
                }
            }
        }
        self.stranded.push(pending);
        // Wishes that were taken back don't add up while Redis is away.
        if self.stranded.len() > 2 * (self.shard.len() + self.patterns.len()) + 1024 {
            let mut stranded = std::mem::take(&mut self.stranded);
            stranded.retain(|pending| self.slot_of(pending).is_some());
            self.stranded = stranded;
        }
    }

    /// A pending is sent; the name and serial go into what was asked.
    pub(super) fn sent(&mut self, pending: Pending, connection: u64) -> (Arc<str>, u64) {
        if let Some(subscription) = self.of(pending.kind).get_mut(&pending.name) {
            subscription.state = State::Sent(connection);
            subscription.is_away = false;
        }
        (pending.name, pending.serial)
    }

    /// The server confirmed a subscription: the first that was asked for, or it is out of step.
    pub(super) fn confirmed(
        &mut self,
        kind: Kind,
        name: &[u8],
        connection: u64,
        asked: &mut VecDeque<Asked>,
    ) -> Result<(), String> {
        let (name, serial) = match asked.front_mut() {
            Some(Asked::Subscribe {
                kind: asked_kind,
                names,
                ..
            }) if *asked_kind == kind => {
                let first = names.pop_front();
                if names.is_empty() {
                    asked.pop_front();
                }
                first.filter(|(first, _)| first.as_bytes() == name)
            }
            _ => None,
        }
        .ok_or("an unexpected confirmation")?;
        let Some(subscription) = self.of(kind).get_mut(&name) else {
            return Ok(());
        };
        if subscription.serial != serial || subscription.state != State::Sent(connection) {
            return Ok(());
        }
        subscription.state = State::Live(connection);
        subscription.hops = 0;
        let lost = std::mem::take(&mut subscription.lost);
        let mut reported = false;
        for waiting in subscription.waiting.drain(..) {
            reported |= waiting.send(Ok(())).is_ok();
        }
        if lost || !reported {
            self.interrupted.push(name);
        }
        Ok(())
    }

    /// The server ended a subscription of its own accord: the slot isn't its any more. The same server is asked again, since
    /// it knows best who has the slot and says so.
    pub(super) fn ended(&mut self, kind: Kind, name: &[u8], connection: u64) {
        let Some(name) = self.name(kind, name).cloned() else {
            return;
        };
        if let Some(subscription) = self.of(kind).get_mut(&name)
            // Else another connection has it already, and this was the end of an old one.
            && subscription.state == State::Live(connection)
        {
            subscription.lose();
            let serial = subscription.serial;
            self.to_send.push(Pending { kind, name, serial });
        }
    }

    /// The server sent subscriptions elsewhere, or couldn't take them now.
    pub(super) fn postponed(&mut self, kind: Kind, names: Names, moved: bool) {
        for (name, serial) in names {
            let Some(subscription) = self
                .of(kind)
                .get_mut(&name)
                .filter(|found| found.serial == serial)
            else {
                continue;
            };
            subscription.state = State::Unsent;
            subscription.hops = subscription.hops.saturating_add(1);
            let at_once = moved && subscription.hops <= MAX_HOPS;
            if subscription.hops > MAX_HOPS {
                subscription.hops = 0;
            }
            let pending = Pending { kind, name, serial };
            if at_once {
                self.to_send.push(pending)
            } else {
                self.later.push(pending)
            }
        }
    }

    /// The server refused subscriptions.
    pub(super) fn refuse(&mut self, kind: Kind, names: Names, error: &RedisError) {
        for (name, serial) in names {
            let Some(subscription) = self
                .of(kind)
                .get_mut(&name)
                .filter(|found| found.serial == serial)
            else {
                continue;
            };
            subscription.state = State::Unsent;
            subscription.lost = true;
            for waiting in subscription.waiting.drain(..) {
                drop(waiting.send(Err(error.clone())));
            }
            self.refused.push(Pending { kind, name, serial });
        }
    }

    /// Subscribes anew whatever is on a connection that isn't any more.
    pub(super) fn connection_closed(&mut self, connection: u64) {
        self.lose_where(|_, subscription| subscription.state.connection() == Some(connection));
        self.leaving
            .retain(|leaving| leaving.connection != connection);
    }

    /// Subscribes anew the patterns of a connection that is about to be closed.
    pub(super) fn patterns_leave(&mut self, connection: u64) {
        self.lose_where(|kind, subscription| {
            kind == Kind::Pattern && subscription.state.connection() == Some(connection)
        });
    }

    /// Subscribes anew the live channels that aren't on the connection of their slot's master; the old subscriptions go
    /// on until their server ends them, so that nothing is missed that is still published there.
    pub(super) fn follow(&mut self, master_of: impl Fn(u16) -> Option<u64>) {
        self.lose_where(|kind, subscription| match subscription.state {
            State::Live(connection) => {
                kind == Kind::Shard && master_of(subscription.slot) != Some(connection)
            }
            _ => false,
        });
    }

    fn lose_where(&mut self, lost: impl Fn(Kind, &Subscription) -> bool) {
        for (kind, subscriptions) in [
            (Kind::Shard, &mut self.shard),
            (Kind::Pattern, &mut self.patterns),
        ] {
            for (name, subscription) in subscriptions {
                if lost(kind, subscription) {
                    subscription.lose();
                    self.to_send.push(Pending {
                        kind,
                        name: Arc::clone(name),
                        serial: subscription.serial,
                    });
                }
            }
        }
    }
}

fn away() -> RedisError {
    RedisError::Unavailable("its master is away".to_owned())
}

impl Subscription {
    fn lose(&mut self) {
        self.lost |= matches!(self.state, State::Live(_));
        self.state = State::Unsent;
    }
}

impl State {
    fn connection(self) -> Option<u64> {
        match self {
            Self::Unsent => None,
            Self::Sent(connection) | Self::Live(connection) => Some(connection),
        }
    }
}

#[cfg(test)]
mod tests;
