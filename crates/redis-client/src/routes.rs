//! Routing: which connection a command goes to, and what happens when its answer is a redirection. A command is sent again only if the server said that it didn't run it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::layout::Layout;
use crate::link::Access;
use crate::node::{Node, Reply};
use crate::routing::{Verdict, judge, slot_of};
use crate::stats::count;
use crate::topology::Discovered;
use crate::url::Host;
use crate::{Command, RedisError, Stats};

/// How often a command that a server didn't run is sent again: a slot that is being moved needs two or three tries.
const TRIES: u32 = 10;

/// Sends commands to the master that has their slot.
pub(crate) struct Routes {
    access: Access,
    must_be_master: bool,
    stats: Arc<Stats>,
    refresh: Arc<Notify>,
    map: watch::Sender<Arc<Map>>,
}

#[derive(Default, Clone)]
struct Map {
    layout: Option<Arc<Layout>>,
    /// One for each master of the layout, in its order.
    nodes: Vec<Arc<Node>>,
    /// Servers that a redirection named and that aren't masters in the layout.
    redirect_nodes: HashMap<Host, Arc<Node>>,
    /// Slots that have moved since the layout was looked up, from redirections.
    moved: HashMap<u16, Arc<Node>>,
    failure: Option<String>,
}

impl Map {
    fn node_at(&self, host: &Host) -> Option<&Arc<Node>> {
        self.nodes
            .iter()
            .find(|node| node.host == *host)
            .or_else(|| self.redirect_nodes.get(host))
    }
}

impl Routes {
    pub(crate) fn new(access: Access, must_be_master: bool, refresh: Arc<Notify>) -> Self {
        Self {
            access,
            must_be_master,
            stats: Arc::default(),
            refresh,
            map: watch::Sender::new(Arc::default()),
        }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn is_connected(&self) -> bool {
        let map = self.map.borrow();
        map.layout
            .as_ref()
            .is_some_and(|layout| layout.is_complete())
            && map.nodes.iter().all(|node| node.is_connected())
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.map
            .borrow()
            .layout
            .as_ref()
            .is_some_and(|layout| layout.is_cluster())
    }

    pub(crate) async fn masters(&self) -> Result<Vec<Arc<Node>>, RedisError> {
        Ok(self.map().await?.nodes.clone())
    }

    /// Follows the layout.
    pub(crate) async fn keep(self: Arc<Self>, mut discovered: watch::Receiver<Discovered>) {
        while discovered.changed().await.is_ok() {
            let now = discovered.borrow_and_update().clone();
            self.map.send_modify(|map| {
                let old = Arc::clone(map);
                let new = Arc::make_mut(map);
                new.failure = now.failure;
                if let Some(layout) = now.layout
                    && new.layout.as_ref() != Some(&layout)
                {
                    let node = |host: &Host| {
                        old.node_at(host)
                            .cloned()
                            .unwrap_or_else(|| self.connect(host.clone()))
                    };
                    new.nodes = layout.masters.iter().map(node).collect();
                    new.redirect_nodes.clear();
                    new.moved.clear();
                    new.layout = Some(layout);
                }
            });
        }
    }

    fn connect(&self, host: Host) -> Arc<Node> {
        Arc::new(Node::new(
            host,
            self.access.clone(),
            self.must_be_master,
            Arc::clone(&self.stats),
            Arc::clone(&self.refresh),
        ))
    }

    /// The map, once the first look-up has succeeded or failed.
    async fn map(&self) -> Result<Arc<Map>, RedisError> {
        let map = Arc::clone(&self.map.borrow());
        if map.layout.is_some() {
            return Ok(map);
        }
        let mut changes = self.map.subscribe();
        let map = changes
            .wait_for(|map| map.layout.is_some() || map.failure.is_some())
            .await;
        let map = map
            .map_err(|_| RedisError::Unavailable("the client was closed".to_owned()))?
            .clone();
        match &map.failure {
            Some(reason) if map.layout.is_none() => Err(RedisError::Unavailable(reason.clone())),
            _ => Ok(map),
        }
    }

    async fn node_for(&self, slot: Option<u16>) -> Result<Arc<Node>, RedisError> {
        let map = self.map().await?;
        let node = match slot {
            Some(slot) => map.moved.get(&slot).or_else(|| {
                let index = map
                    .layout
                    .as_ref()
                    .and_then(|layout| layout.master_of(slot))?;
                map.nodes.get(index)
            }),
            // Spread over them, for those that count `PING`s or publish classically.
            None if map.nodes.is_empty() => None,
            None => {
                let start = rand::random_range(0..map.nodes.len());
                let mut nodes = map.nodes[start..].iter().chain(&map.nodes[..start]);
                nodes
                    .find(|node| node.is_connected())
                    .or(map.nodes.get(start))
            }
        };
        node.cloned()
            .ok_or_else(|| RedisError::Unavailable("no master has the slot".to_owned()))
    }

    /// The node that a redirection named; it has `slot` from now on, if given.
    fn node_elsewhere(&self, host: Host, slot: Option<u16>) -> Arc<Node> {
        let mut found = None;
        self.map.send_modify(|map| {
            let node = map
                .node_at(&host)
                .cloned()
                .unwrap_or_else(|| self.connect(host.clone()));
            let map = Arc::make_mut(map);
            if !map.nodes.iter().any(|known| known.host == host) {
                map.redirect_nodes.insert(host.clone(), Arc::clone(&node));
            }
            if let Some(slot) = slot {
                map.moved.insert(slot, Arc::clone(&node));
            }
            found = Some(node);
        });
        found.unwrap_or_else(|| self.connect(host))
    }

    /// Runs one command, which `write` appends; with `true`, a script is given as a whole.
    pub(crate) async fn perform(
        &self,
        slot: Option<u16>,
        write: &(impl Fn(&mut Vec<u8>, bool) + Sync),
    ) -> Result<Value, RedisError> {
        let started = Instant::now();
        let _waiting = self.stats.wait(1);
        let result = self.perform_unobserved(slot, write).await;
        self.observe(started, &result);
        result
    }

    fn observe(&self, started: Instant, result: &Result<Value, RedisError>) {
        self.access.options.latency.record(started.elapsed());
        if let Err(error) = result {
            self.stats.count_failure(error);
        }
    }

    async fn perform_unobserved(
        &self,
        slot: Option<u16>,
        write: &(impl Fn(&mut Vec<u8>, bool) + Sync),
    ) -> Result<Value, RedisError> {
        let mut next = Retry::default();
        loop {
            let node = match next.node.take() {
                Some(node) => node,
                None => self.node_for(slot).await?,
            };
            let reply = node.send(next.asking, |out| write(out, next.whole))?;
            let verdict = judge(reply.value().await?, &node.host);
            if let Some(result) = self.consider(verdict, slot, &mut next) {
                return result;
            }
            if let Some(pause) = next.pause() {
                sleep(pause).await;
            }
        }
    }

    /// Runs one command on every master. There is no trying elsewhere.
    pub(crate) async fn perform_on_masters(
        &self,
        command: &Command,
    ) -> Result<Vec<Value>, RedisError> {
        let started = Instant::now();
        let masters = self.masters().await?;
        let _waiting = self.stats.wait(masters.len());
        let replies: Vec<Result<Reply, RedisError>> = masters
            .iter()
            .map(|node| node.send(false, |out| command.write(out, true)))
            .collect();
        let mut values = Vec::with_capacity(replies.len());
        for (reply, node) in replies.into_iter().zip(&masters) {
            let result = match reply {
                Ok(reply) => reply.value().await,
                Err(error) => Err(error),
            };
            let result = result.and_then(|value| judge(value, &node.host).or_error());
            self.observe(started, &result);
            values.push(result?);
        }
        Ok(values)
    }

    /// Runs many at once, in rounds: all that are to go to one node are sent together, and those whose answer is to try
    /// again make the next round.
    pub(crate) async fn perform_all(&self, commands: &[Command]) -> Vec<Result<Value, RedisError>> {
        let started = Instant::now();
        let _waiting = self.stats.wait(commands.len());
        let mut results: Vec<Result<Value, RedisError>> = Vec::with_capacity(commands.len());
        results.resize(
            commands.len(),
            Err(RedisError::Unavailable("it wasn't sent".to_owned())),
        );
        let mut round: Vec<Item> = commands.iter().enumerate().map(Item::new).collect();
        while !round.is_empty() {
            if let Some(pause) = round.iter().filter_map(|item| item.next.pause()).max() {
                sleep(pause).await;
            }
            let mut batches: Vec<(Arc<Node>, Vec<Item>)> = Vec::new();
            for mut item in round.drain(..) {
                let node = match item.next.node.take() {
                    Some(node) => Ok(node),
                    None => self.node_for(item.slot).await,
                };
                match node {
                    Ok(node) => match batches
                        .iter_mut()
                        .find(|(other, _)| Arc::ptr_eq(other, &node))
                    {
                        Some((_, items)) => items.push(item),
                        None => batches.push((node, vec![item])),
                    },
                    Err(error) => {
                        results[item.index] = Err(error);
                        self.observe(started, &results[item.index]);
                    }
                }
            }
            let replies: Vec<_> = batches
                .iter()
                .map(|(node, items)| send_batch(node, commands, items))
                .collect();
            for ((node, items), replies) in batches.into_iter().zip(replies) {
                for (mut item, reply) in items.into_iter().zip(replies) {
                    let value = match reply {
                        Ok(reply) => reply.value().await,
                        Err(error) => Err(error),
                    };
                    let result = match value {
                        Ok(value) => {
                            self.consider(judge(value, &node.host), item.slot, &mut item.next)
                        }
                        Err(error) => Some(Err(error)),
                    };
                    match result {
                        Some(result) => {
                            self.observe(started, &result);
                            results[item.index] = result;
                        }
                        None => round.push(item),
                    }
                }
            }
        }
        results
    }

    /// The caller's result, or how to try again.
    fn consider(
        &self,
        verdict: Verdict,
        slot: Option<u16>,
        next: &mut Retry,
    ) -> Option<Result<Value, RedisError>> {
        next.asking = false;
        next.tries += 1;
        match verdict {
            Verdict::Moved(_) | Verdict::Ask(_) | Verdict::Later(_) | Verdict::NoScript(_)
                if next.tries >= TRIES =>
            {
                return Some(Err(RedisError::Unavailable(
                    "its slot is being moved".to_owned(),
                )));
            }
            Verdict::Moved(host) => {
                count(&self.stats.moved);
                self.refresh.notify_one();
                next.node = Some(self.node_elsewhere(host, slot));
            }
            Verdict::Ask(host) => {
                count(&self.stats.moved);
                next.node = Some(self.node_elsewhere(host, None));
                next.asking = true;
            }
            Verdict::Later(_) => next.later += 1,
            Verdict::NoScript(_) if !next.whole => next.whole = true,
            Verdict::Away(error) => {
                self.refresh.notify_one();
                return Some(Err(error));
            }
            Verdict::Answer(value) => return Some(Ok(value)),
            Verdict::NoScript(error) | Verdict::Failed(error) => return Some(Err(error)),
        }
        None
    }
}

/// How a command is tried again.
#[derive(Default)]
struct Retry {
    node: Option<Arc<Node>>,
    asking: bool,
    whole: bool,
    tries: u32,
    later: u32,
}

impl Retry {
    /// None at first; then longer, while keys are being moved or servers redirect in circles.
    fn pause(&self) -> Option<Duration> {
        match self.later.max(self.tries.saturating_sub(3)) {
            0 => None,
            times => Some(Duration::from_millis(5 << times.min(6))),
        }
    }
}

/// One of many commands.
struct Item {
    index: usize,
    slot: Option<u16>,
    next: Retry,
}

impl Item {
    fn new((index, command): (usize, &Command)) -> Self {
        Self {
            index,
            slot: slot_of(&command.cmd),
            next: Retry::default(),
        }
    }
}

fn send_batch(node: &Node, commands: &[Command], items: &[Item]) -> Vec<Result<Reply, RedisError>> {
    let mut batch = match node.batch() {
        Ok(batch) => batch,
        Err(error) => return items.iter().map(|_| Err(error.clone())).collect(),
    };
    let replies = items
        .iter()
        .map(|item| {
            batch.push(item.next.asking, |out| {
                commands[item.index].write(out, item.next.whole)
            })
        })
        .collect();
    batch.send();
    replies
}
