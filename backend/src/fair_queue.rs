//! A queue for something dear, of which a few can be done at a time: networks take turns, however many wait from one.
//!
//! What must stay true: a place is taken at once or not at all; when all are taken, the network that has most gives one
//! up for one that has fewer, so that nobody is kept out by another network's crowd. A turn that is over goes to the next
//! one with what it worked with, which is let go of as soon as nobody waits for it.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::network::Network;

/// The queue. `T` is what whoever has a turn works with.
pub struct FairQueue<T> {
    /// Turns at a time.
    turns: usize,
    /// Places, those whose turn it is included.
    places: usize,
    state: Mutex<State<T>>,
}

/// There is no place, or it was given up for another network.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// A place in the queue; dropping it gives it up.
pub struct Place<T> {
    queue: Arc<FairQueue<T>>,
    network: Network,
    id: u64,
    lost: oneshot::Receiver<()>,
}

/// A turn; dropping it ends it.
pub struct Turn<T> {
    queue: Arc<FairQueue<T>>,
    /// Absent only while the turn is handed over.
    tool: Option<T>,
}

struct State<T> {
    running: usize,
    seated: usize,
    next_id: u64,
    /// In the order of their coming. None is empty.
    networks: HashMap<Network, VecDeque<Seat<T>>>,
    /// Networks with somebody who waits for a turn, the next one first; and some that had.
    order: VecDeque<Network>,
}

struct Seat<T> {
    id: u64,
    /// Dropped with the seat, by which its holder learns that it is lost.
    _lost: oneshot::Sender<()>,
    /// Of one who waits for a turn.
    turn: Option<oneshot::Sender<Turn<T>>>,
}

impl<T> FairQueue<T> {
    /// So many `turns` at a time, and so many who wait for one.
    pub fn new(turns: usize, waiting: usize) -> Self {
        Self {
            turns,
            places: turns + waiting,
            state: Mutex::new(State {
                running: 0,
                seated: 0,
                next_id: 0,
                networks: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// If all are taken, and no network has two more than this one.
    pub fn place(self: &Arc<Self>, network: Network) -> Result<Place<T>, Full> {
        let mut state = self.state.lock();
        if state.running + state.seated >= self.places {
            state.make_room(network)?;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.seated += 1;
        let (_lost, lost) = oneshot::channel();
        let seat = Seat {
            id,
            _lost,
            turn: None,
        };
        state.networks.entry(network).or_default().push_back(seat);
        Ok(Place {
            queue: Arc::clone(self),
            network,
            id,
            lost,
        })
    }
}

impl<T> State<T> {
    /// Takes a place from the network that has most, from the one of it who came last.
    fn make_room(&mut self, newcomer: Network) -> Result<(), Full> {
        let own = self.networks.get(&newcomer).map_or(0, VecDeque::len);
        let longest = self.networks.iter().max_by_key(|(_, seats)| seats.len());
        match longest {
            Some((network, seats)) if seats.len() > own + 1 => {
                let (network, last) = (*network, seats.back().map(|seat| seat.id));
                last.and_then(|id| self.remove(network, |seat| seat.id == id));
                Ok(())
            }
            _ => Err(Full),
        }
    }

    /// The first seat of a network that is `wanted`, which isn't one any more.
    fn remove(
        &mut self,
        network: Network,
        wanted: impl FnMut(&Seat<T>) -> bool,
    ) -> Option<Seat<T>> {
        let Entry::Occupied(mut seats) = self.networks.entry(network) else {
            return None;
        };
        let at = seats.get().iter().position(wanted)?;
        let seat = seats.get_mut().remove(at);
        if seats.get().is_empty() {
            seats.remove();
        }
        self.seated -= 1;
        seat
    }

    /// Who has the next turn; their seat is free.
    fn next(&mut self) -> Option<oneshot::Sender<Turn<T>>> {
        loop {
            let network = self.order.pop_front()?;
            let waits = |seat: &Seat<T>| seat.turn.is_some();
            let next = self.remove(network, waits);
            if let Some(seats) = self.networks.get(&network)
                && seats.iter().any(waits)
            {
                self.order.push_back(network);
            }
            if let Some(next) = next {
                return next.turn;
            }
        }
    }
}

impl<T: Default> Place<T> {
    /// Waits for one's turn.
    ///
    /// # Errors
    /// If the place is lost before.
    pub async fn turn(self) -> Result<Turn<T>, Full> {
        let turn = {
            let mut state = self.queue.state.lock();
            if state.running < self.queue.turns {
                let id = self.id;
                state
                    .remove(self.network, |seat| seat.id == id)
                    .ok_or(Full)?;
                state.running += 1;
                return Ok(Turn {
                    queue: Arc::clone(&self.queue),
                    tool: Some(T::default()),
                });
            }
            let seats = state.networks.get_mut(&self.network);
            let seat = seats.and_then(|seats| seats.iter_mut().find(|seat| seat.id == self.id));
            let (sender, turn) = oneshot::channel();
            seat.ok_or(Full)?.turn = Some(sender);
            if !state.order.contains(&self.network) {
                state.order.push_back(self.network);
            }
            turn
        };
        turn.await.map_err(|_| Full)
    }
}

impl<T> Place<T> {
    /// Waits for what has to be done before one's turn.
    ///
    /// # Errors
    /// If the place is lost before that is done.
    pub async fn hold<F: Future>(&mut self, work: F) -> Result<F::Output, Full> {
        tokio::select! {
            biased;
            _ = &mut self.lost => Err(Full),
            done = work => Ok(done),
        }
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let id = self.id;
        let mut state = self.queue.state.lock();
        let seat = state.remove(self.network, |seat| seat.id == id);
        drop(state);
        // A turn that was on its way is handed on, for which the queue mustn't be locked.
        drop(seat);
    }
}

impl<T> Turn<T> {
    /// What to work with.
    pub fn tool(&mut self) -> &mut T
    where
        T: Default,
    {
        self.tool.get_or_insert_default()
    }
}

impl<T> Drop for Turn<T> {
    fn drop(&mut self) {
        while let Some(tool) = self.tool.take() {
            let next = {
                let mut state = self.queue.state.lock();
                let next = state.next();
                if next.is_none() {
                    state.running -= 1;
                }
                next
            };
            let Some(next) = next else { return };
            let turn = Turn {
                queue: Arc::clone(&self.queue),
                tool: Some(tool),
            };
            // Who has stopped waiting gives it back.
            if let Err(mut turn) = next.send(turn) {
                self.tool = turn.tool.take();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, task::Poll};

    use futures_util::{future::BoxFuture, poll};

    use super::*;

    /// How often the same was worked with.
    type Used = u32;
    type Waiting = BoxFuture<'static, Result<Turn<Used>, Full>>;

    fn network(host: u8) -> Network {
        Network::from(IpAddr::from([192, 0, 2, host]))
    }

    fn queue(turns: usize, waiting: usize) -> Arc<FairQueue<Used>> {
        Arc::new(FairQueue::new(turns, waiting))
    }

    async fn waiting(queue: &Arc<FairQueue<Used>>, host: u8) -> Waiting {
        let place = queue.place(network(host)).unwrap();
        let mut turn: Waiting = Box::pin(place.turn());
        assert!(poll!(&mut turn).is_pending());
        turn
    }

    #[tokio::test]
    async fn networks_take_turns() {
        let queue = queue(1, 8);
        let mut turn = queue.place(network(1)).unwrap().turn().await.unwrap();
        let mut waiting_for = Vec::new();
        for host in [1, 1, 1, 2, 3, 2] {
            waiting_for.push((host, waiting(&queue, host).await));
        }
        let mut order = Vec::new();
        while !waiting_for.is_empty() {
            *turn.tool() += 1;
            drop(turn);
            let mut next = None;
            for (at, (_, waiting)) in waiting_for.iter_mut().enumerate() {
                if let Poll::Ready(turn) = poll!(waiting) {
                    next = Some((at, turn.unwrap()));
                    break;
                }
            }
            let (at, now) = next.expect("somebody has a turn");
            order.push(waiting_for.remove(at).0);
            turn = now;
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 1]);
        // All worked with the same.
        assert_eq!(*turn.tool(), 6);
        drop(turn);
        let mut turn = queue.place(network(1)).unwrap().turn().await.unwrap();
        assert_eq!(*turn.tool(), 0, "it was let go of");
    }

    #[tokio::test]
    async fn a_crowd_of_one_network_makes_room_for_others() {
        let queue = queue(1, 3);
        let turn = queue.place(network(1)).unwrap().turn().await.unwrap();
        let first = waiting(&queue, 1).await;
        let second = waiting(&queue, 1).await;
        let mut third = queue.place(network(1)).unwrap();
        assert!(queue.place(network(1)).is_err());
        // The last of the crowd loses its place, even before it waits for a turn.
        let other = queue.place(network(2)).unwrap();
        let lost = third.hold(std::future::pending::<()>()).await;
        assert_eq!(lost, Err(Full));
        assert_eq!(third.turn().await.err(), Some(Full));
        // One place against two isn't a crowd.
        assert!(queue.place(network(2)).is_err());
        let another = queue.place(network(3)).unwrap();
        assert_eq!(second.await.err(), Some(Full));
        assert!(queue.place(network(4)).is_err());
        drop((turn, first));
        drop((other, another));
        let places: Vec<_> = (0..4).map(|_| queue.place(network(1)).unwrap()).collect();
        assert!(queue.place(network(1)).is_err());
        drop(places);
        assert!(queue.state.lock().networks.is_empty());
    }

    #[tokio::test]
    async fn who_stops_waiting_gives_the_turn_to_the_next() {
        let queue = queue(1, 4);
        let turn = queue.place(network(1)).unwrap().turn().await.unwrap();
        let gone = waiting(&queue, 1).await;
        let granted = waiting(&queue, 2).await;
        let last = waiting(&queue, 3).await;
        drop(gone);
        drop(turn);
        // It was on its way to this one.
        drop(granted);
        drop(last.await.unwrap());
        let state = queue.state.lock();
        assert_eq!((state.running, state.seated), (0, 0));
    }
}
