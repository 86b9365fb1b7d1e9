//! A queue for an expensive resource of which few can be used at a time: networks take turns, however many wait from one.
//!
//! What must stay true: a ticket is given at once or not at all. When the queue is full, the network with most tickets loses
//! one to a network with fewer, so that no crowd from one network keeps others out. A permit that ends goes to the next
//! waiter together with its resource, which is dropped as soon as nobody waits for it.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::limits::network::Network;

/// The queue. `T` is the resource that comes with a permit.
pub struct FairQueue<T> {
    /// Permits at a time.
    permits: usize,
    /// Tickets and permits together.
    capacity: usize,
    state: Mutex<State<T>>,
}

/// The queue is full, or the ticket was lost to another network.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// A position in the queue, until it is dropped.
pub struct Ticket<T> {
    queue: Arc<FairQueue<T>>,
    network: Network,
    id: u64,
    lost: oneshot::Receiver<()>,
}

/// The right to use a resource, until it is dropped.
pub struct Permit<T> {
    queue: Arc<FairQueue<T>>,
    /// Absent only while the permit is handed over.
    resource: Option<T>,
}

struct State<T> {
    running: usize,
    waiting: usize,
    next_id: u64,
    /// In the order of their coming. None is empty.
    networks: HashMap<Network, VecDeque<Waiter<T>>>,
    /// Networks with waiters for a permit, the next one first, and some that had waiters.
    order: VecDeque<Network>,
}

struct Waiter<T> {
    id: u64,
    /// Dropped with the waiter, which tells the holder of the ticket that it is lost.
    _lost: oneshot::Sender<()>,
    /// Present once its holder waits for a permit.
    permit: Option<oneshot::Sender<Permit<T>>>,
}

impl<T> FairQueue<T> {
    /// A queue for `permits` at a time and `waiting` tickets.
    pub fn new(permits: usize, waiting: usize) -> Self {
        Self {
            permits,
            capacity: permits + waiting,
            state: Mutex::new(State {
                running: 0,
                waiting: 0,
                next_id: 0,
                networks: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// Joins the queue.
    ///
    /// # Errors
    /// If the queue is full and no network has two more tickets than this one.
    pub fn ticket(self: &Arc<Self>, network: Network) -> Result<Ticket<T>, Full> {
        let mut state = self.state.lock();
        if state.running + state.waiting >= self.capacity {
            state.make_room(network)?;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.waiting += 1;
        let (_lost, lost) = oneshot::channel();
        let waiter = Waiter {
            id,
            _lost,
            permit: None,
        };
        state.networks.entry(network).or_default().push_back(waiter);
        Ok(Ticket {
            queue: Arc::clone(self),
            network,
            id,
            lost,
        })
    }
}

impl<T> State<T> {
    /// Takes the newest ticket of the network that has most.
    fn make_room(&mut self, newcomer: Network) -> Result<(), Full> {
        let own = self.networks.get(&newcomer).map_or(0, VecDeque::len);
        let longest = self
            .networks
            .iter()
            .max_by_key(|(_, waiters)| waiters.len());
        match longest {
            Some((network, waiters)) if waiters.len() > own + 1 => {
                let (network, last) = (*network, waiters.back().map(|waiter| waiter.id));
                last.and_then(|id| self.remove(network, |waiter| waiter.id == id));
                Ok(())
            }
            _ => Err(Full),
        }
    }

    /// Removes the first waiter of a network that is `wanted`.
    fn remove(
        &mut self,
        network: Network,
        wanted: impl FnMut(&Waiter<T>) -> bool,
    ) -> Option<Waiter<T>> {
        let Entry::Occupied(mut waiters) = self.networks.entry(network) else {
            return None;
        };
        let at = waiters.get().iter().position(wanted)?;
        let waiter = waiters.get_mut().remove(at);
        if waiters.get().is_empty() {
            waiters.remove();
        }
        self.waiting -= 1;
        waiter
    }

    /// Removes the waiter that gets the next permit.
    fn next(&mut self) -> Option<oneshot::Sender<Permit<T>>> {
        loop {
            let network = self.order.pop_front()?;
            let waits = |waiter: &Waiter<T>| waiter.permit.is_some();
            let next = self.remove(network, waits);
            if let Some(waiters) = self.networks.get(&network)
                && waiters.iter().any(waits)
            {
                self.order.push_back(network);
            }
            if let Some(next) = next {
                return next.permit;
            }
        }
    }
}

impl<T: Default> Ticket<T> {
    /// Waits for a permit.
    ///
    /// # Errors
    /// If the ticket is lost before.
    pub async fn permit(self) -> Result<Permit<T>, Full> {
        let permit = {
            let mut state = self.queue.state.lock();
            if state.running < self.queue.permits {
                let id = self.id;
                state
                    .remove(self.network, |waiter| waiter.id == id)
                    .ok_or(Full)?;
                state.running += 1;
                return Ok(Permit {
                    queue: Arc::clone(&self.queue),
                    resource: Some(T::default()),
                });
            }
            let waiters = state.networks.get_mut(&self.network);
            let waiter =
                waiters.and_then(|waiters| waiters.iter_mut().find(|waiter| waiter.id == self.id));
            let (sender, permit) = oneshot::channel();
            waiter.ok_or(Full)?.permit = Some(sender);
            if !state.order.contains(&self.network) {
                state.order.push_back(self.network);
            }
            permit
        };
        permit.await.map_err(|_| Full)
    }
}

impl<T> Ticket<T> {
    /// Waits for work that has to be done before the permit is asked for.
    ///
    /// # Errors
    /// If the ticket is lost before that is done.
    pub async fn hold<F: Future>(&mut self, work: F) -> Result<F::Output, Full> {
        tokio::select! {
            biased;
            _ = &mut self.lost => Err(Full),
            done = work => Ok(done),
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        let id = self.id;
        let mut state = self.queue.state.lock();
        let waiter = state.remove(self.network, |waiter| waiter.id == id);
        drop(state);
        // A permit that was on its way is handed on, which takes the lock.
        drop(waiter);
    }
}

impl<T> Permit<T> {
    /// What to work with.
    pub fn resource(&mut self) -> &mut T
    where
        T: Default,
    {
        self.resource.get_or_insert_default()
    }
}

impl<T> Drop for Permit<T> {
    fn drop(&mut self) {
        while let Some(resource) = self.resource.take() {
            let next = {
                let mut state = self.queue.state.lock();
                let next = state.next();
                if next.is_none() {
                    state.running -= 1;
                }
                next
            };
            let Some(next) = next else { return };
            let permit = Permit {
                queue: Arc::clone(&self.queue),
                resource: Some(resource),
            };
            // Who has stopped waiting gives it back.
            if let Err(mut permit) = next.send(permit) {
                self.resource = permit.resource.take();
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
    type Waiting = BoxFuture<'static, Result<Permit<Used>, Full>>;

    fn network(host: u8) -> Network {
        Network::from(IpAddr::from([192, 0, 2, host]))
    }

    fn queue(permits: usize, waiting: usize) -> Arc<FairQueue<Used>> {
        Arc::new(FairQueue::new(permits, waiting))
    }

    async fn waiting(queue: &Arc<FairQueue<Used>>, host: u8) -> Waiting {
        let ticket = queue.ticket(network(host)).unwrap();
        let mut permit: Waiting = Box::pin(ticket.permit());
        assert!(poll!(&mut permit).is_pending());
        permit
    }

    #[tokio::test]
    async fn networks_take_turns() {
        let queue = queue(1, 8);
        let mut permit = queue.ticket(network(1)).unwrap().permit().await.unwrap();
        let mut waiting_for = Vec::new();
        for host in [1, 1, 1, 2, 3, 2] {
            waiting_for.push((host, waiting(&queue, host).await));
        }
        let mut order = Vec::new();
        while !waiting_for.is_empty() {
            *permit.resource() += 1;
            drop(permit);
            let mut next = None;
            for (at, (_, waiting)) in waiting_for.iter_mut().enumerate() {
                if let Poll::Ready(permit) = poll!(waiting) {
                    next = Some((at, permit.unwrap()));
                    break;
                }
            }
            let (at, now) = next.expect("somebody has a permit");
            order.push(waiting_for.remove(at).0);
            permit = now;
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 1]);
        // All worked with the same.
        assert_eq!(*permit.resource(), 6);
        drop(permit);
        let mut permit = queue.ticket(network(1)).unwrap().permit().await.unwrap();
        assert_eq!(*permit.resource(), 0, "it was let go of");
    }

    #[tokio::test]
    async fn a_crowd_of_one_network_makes_room_for_others() {
        let queue = queue(1, 3);
        let permit = queue.ticket(network(1)).unwrap().permit().await.unwrap();
        let first = waiting(&queue, 1).await;
        let second = waiting(&queue, 1).await;
        let mut third = queue.ticket(network(1)).unwrap();
        assert!(queue.ticket(network(1)).is_err());
        // The last of the crowd loses its ticket, even before it waits for a permit.
        let other = queue.ticket(network(2)).unwrap();
        let lost = third.hold(std::future::pending::<()>()).await;
        assert_eq!(lost, Err(Full));
        assert_eq!(third.permit().await.err(), Some(Full));
        // One ticket against two isn't a crowd.
        assert!(queue.ticket(network(2)).is_err());
        let another = queue.ticket(network(3)).unwrap();
        assert_eq!(second.await.err(), Some(Full));
        assert!(queue.ticket(network(4)).is_err());
        drop((permit, first));
        drop((other, another));
        let capacity: Vec<_> = (0..4).map(|_| queue.ticket(network(1)).unwrap()).collect();
        assert!(queue.ticket(network(1)).is_err());
        drop(capacity);
        assert!(queue.state.lock().networks.is_empty());
    }

    #[tokio::test]
    async fn who_stops_waiting_gives_the_turn_to_the_next() {
        let queue = queue(1, 4);
        let permit = queue.ticket(network(1)).unwrap().permit().await.unwrap();
        let gone = waiting(&queue, 1).await;
        let granted = waiting(&queue, 2).await;
        let last = waiting(&queue, 3).await;
        drop(gone);
        drop(permit);
        // It was on its way to this one.
        drop(granted);
        drop(last.await.unwrap());
        let state = queue.state.lock();
        assert_eq!((state.running, state.waiting), (0, 0));
    }
}
