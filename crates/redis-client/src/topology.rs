//! Which servers to talk to: the one server, the master that Sentinel names, or the masters of a Cluster with their slots.
//!
//! Looked up in the background over a connection of its own, every few seconds and whenever someone found that the layout
//! was wrong. A server that hangs delays nothing: the others are asked beside it. Without any answer the last layout stays.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, Value, cmd};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::backoff::{backoff, jittered};
use crate::link::{Access, Link};
use crate::slots::SLOTS;
use crate::task::Task;
use crate::url::{Host, Kind, RedisUrl};

/// How often the layout is looked up anyway: finds changes that no connection noticed, such as added masters.
const PERIOD: Duration = Duration::from_secs(5);
/// When a refresh is requested it is looked up at once, then at intervals that double from this up to a second while requests go on.
const SHORTEST_GAP: Duration = Duration::from_millis(50);
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// When the next server is asked beside one that hasn't answered.
const STAGGER: Duration = Duration::from_millis(150);

/// Which master has which slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) masters: Vec<Host>,
    /// For each slot an index into `masters`, or `NO_MASTER`. Empty where the only master has everything.
    slots: Vec<u16>,
    /// Every server that knows the layout, replicas included.
    known: Vec<Host>,
}

const NO_MASTER: u16 = u16::MAX;

impl Layout {
    fn single(master: Host) -> Self {
        Self {
            masters: vec![master],
            slots: Vec::new(),
            known: Vec::new(),
        }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The index of the slot's master.
    pub(crate) fn master_of(&self, slot: u16) -> Option<usize> {
        if self.slots.is_empty() {
            return Some(0);
        }
        self.slots
            .get(usize::from(slot))
            .map(|&index| usize::from(index))
            .filter(|&index| index < self.masters.len())
    }

    /// Whether every slot has a master.
    pub(crate) fn is_complete(&self) -> bool {
        !self.slots.contains(&NO_MASTER)
    }
}

/// What is known so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Discovered {
    pub(crate) layout: Option<Arc<Layout>>,
    /// Why the last look-up failed.
    pub(crate) failure: Option<String>,
}

/// Keeps looking up the layout behind one address. Dropping it ends that.
pub(crate) struct Topology {
    discovered: watch::Receiver<Discovered>,
    refresh: Arc<Notify>,
    _task: Task,
}

impl Topology {
    pub(crate) fn new(url: RedisUrl, access: Access) -> Self {
        let (sender, discovered) = watch::channel(Discovered::default());
        let refresh = Arc::new(Notify::new());
        let discovery = Discovery {
            url,
            access,
            control: None,
        };
        let task = Task::spawn(discovery.run(sender, Arc::clone(&refresh)));
        Self {
            discovered,
            refresh,
            _task: task,
        }
    }

    pub(crate) fn discovered(&self) -> watch::Receiver<Discovered> {
        self.discovered.clone()
    }

    /// To be notified when the layout turned out wrong, or a master away.
    pub(crate) fn refresh(&self) -> Arc<Notify> {
        Arc::clone(&self.refresh)
    }
}

struct Discovery {
    url: RedisUrl,
    access: Access,
    /// The connection that answered last.
    control: Option<Link>,
}

impl Discovery {
    async fn run(mut self, sender: watch::Sender<Discovered>, refresh: Arc<Notify>) {
        let mut failures = 0;
        let mut gap = SHORTEST_GAP;
        let mut asked = false;
        loop {
            let started = Instant::now();
            let last = sender.borrow().layout.clone();
            match self.look_up(last.as_deref()).await {
                Ok(layout) => {
                    failures = 0;
                    if last.as_deref() != Some(&layout) {
                        info!(
                            redis = self.access.options.name,
                            masters = layout.masters.len(),
                            "the layout of Redis"
                        );
                        sender.send_replace(Discovered {
                            layout: Some(Arc::new(layout)),
                            failure: None,
                        });
                    } else {
                        sender.send_if_modified(|discovered| discovered.failure.take().is_some());
                        if asked {
                            // The layout is said to be wrong, but the server we asked sees no change: ask another one next time.
                            self.control = None;
                        }
                    }
                }
                Err(reason) => {
                    failures += 1;
                    if failures == 1 {
                        warn!(redis = self.access.options.name, address = %self.url, %reason, "the layout of Redis can't be looked up");
                    } else {
                        debug!(redis = self.access.options.name, %reason, failures, "the layout of Redis can't be looked up");
                    }
                    sender.send_modify(|discovered| discovered.failure = Some(reason));
                }
            }
            let layout = sender.borrow().layout.clone();
            let pause = async {
                if failures > 0 {
                    sleep(backoff(failures)).await;
                } else if self.url.kind == Kind::Server
                    && layout.is_some_and(|layout| !layout.is_cluster())
                {
                    pending::<()>().await;
                } else {
                    sleep(jittered(PERIOD)).await;
                }
            };
            asked = tokio::select! {
                () = refresh.notified() => true,
                () = pause => false,
            };
            if asked {
                gap = if started.elapsed() > 2 * LONGEST_GAP {
                    SHORTEST_GAP
                } else {
                    (gap * 2).min(LONGEST_GAP)
                };
                tokio::time::sleep_until(started + gap).await;
            }
        }
    }

    async fn look_up(&mut self, last: Option<&Layout>) -> Result<Layout, String> {
        if let Some(mut link) = self.control.take()
            && let Ok(Ok(answer)) = timeout(STAGGER, ask(&self.url.kind, &mut link)).await
            && answer.healthy
        {
            self.control = Some(link);
            return Ok(answer.layout);
        }
        let mut hosts = self.url.hosts.clone();
        for host in last.into_iter().flat_map(|layout| &layout.known) {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        let mut unhealthy = None;
        let mut failure = String::new();
        let mut attempts = JoinSet::new();
        loop {
            if !hosts.is_empty() {
                let host = hosts.swap_remove(rand::random_range(0..hosts.len()));
                attempts.spawn(connect_and_ask(
                    host,
                    self.url.kind.clone(),
                    self.access.clone(),
                ));
            }
            tokio::select! {
                Some(attempt) = attempts.join_next() => match attempt {
                    Ok(Ok((link, answer))) if answer.healthy => {
                        self.control = link;
                        return Ok(answer.layout);
                    }
                    Ok(Ok((_, answer))) => unhealthy = Some(answer.layout),
                    Ok(Err(reason)) => failure = reason,
                    Err(error) => failure = error.to_string(),
                },
                () = sleep(STAGGER), if !hosts.is_empty() => {}
            }
            if hosts.is_empty() && attempts.is_empty() {
                return unhealthy.ok_or(failure);
            }
        }
    }
}

struct Answer {
    layout: Layout,
    /// Whether the server is a full member of its Cluster; one that is cut off knows an old layout only.
    healthy: bool,
}

/// The connection is given back if it is worth keeping.
async fn connect_and_ask(
    host: Host,
    kind: Kind,
    mut access: Access,
) -> Result<(Option<Link>, Answer), String> {
    if let Kind::Sentinel { login, .. } = &kind {
        if login.is_some() {
            access.login = login.clone();
        }
        access.database = 0;
    }
    let mut link = match Link::open(&host, &access).await {
        // Without a log-in of their own the Sentinels are tried with that of the servers; they may need none.
        Err(reason)
            if reason.contains("WRONGPASS")
                && matches!(kind, Kind::Sentinel { login: None, .. }) =>
        {
            access.login = None;
            Link::open(&host, &access).await?
        }
        opened => opened?,
    };
    if kind == Kind::Server && link.greeting.mode != "cluster" {
        return Ok((
            None,
            Answer {
                layout: Layout::single(host),
                healthy: true,
            },
        ));
    }
    match timeout(access.options.connect_timeout, ask(&kind, &mut link)).await {
        Ok(Ok(answer)) => Ok((Some(link), answer)),
        Ok(Err(reason)) => Err(format!("{host}: {reason}")),
        Err(_) => Err(format!(
            "{host}: no answer within {:?}",
            access.options.connect_timeout
        )),
    }
}

async fn ask(kind: &Kind, link: &mut Link) -> Result<Answer, String> {
    if let Kind::Sentinel { master, .. } = kind {
        let value = link
            .request(cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master))
            .await?;
        let address: Option<(String, u16)> =
            Option::from_redis_value(value).map_err(|error| error.to_string())?;
        let Some((name, port)) = address else {
            return Err(format!("this Sentinel knows no master `{master}`"));
        };
        return Ok(Answer {
            layout: Layout::single(Host { name, port }),
            healthy: true,
        });
    }
    if link.greeting.mode != "cluster" {
        return Err(
            "the address lists several hosts, and this one isn't a node of a Cluster".to_owned(),
        );
    }
    let slots = link.request(cmd("CLUSTER").arg("SLOTS")).await?;
    let layout = parse_slots(&slots, &link.host).ok_or("malformed CLUSTER SLOTS")?;
    let info = String::from_redis_value(link.request(cmd("CLUSTER").arg("INFO")).await?)
        .unwrap_or_default();
    let healthy = !info.contains("cluster_state:fail");
    Ok(Answer { layout, healthy })
}

/// The answer to `CLUSTER SLOTS`: ranges with first, last, master and replicas; a server is a host, a port and more.
fn parse_slots(value: &Value, asked: &Host) -> Option<Layout> {
    let mut layout = Layout {
        masters: Vec::new(),
        slots: vec![NO_MASTER; usize::from(SLOTS)],
        known: Vec::new(),
    };
    for range in array(value)? {
        let [first, last, servers @ ..] = array(range)? else {
            return None;
        };
        let (first, last) = (
            u16::from_redis_value_ref(first).ok()?,
            u16::from_redis_value_ref(last).ok()?,
        );
        let mut hosts = servers
            .iter()
            .filter_map(|server| parse_server(server, asked));
        let Some(master) = hosts.next() else {
            continue;
        };
        let index = layout
            .masters
            .iter()
            .position(|host| *host == master)
            .unwrap_or_else(|| {
                layout.masters.push(master.clone());
                layout.masters.len() - 1
            });
        layout
            .slots
            .get_mut(usize::from(first)..=usize::from(last))?
            .fill(u16::try_from(index).ok()?);
        for host in [master].into_iter().chain(hosts) {
            if !layout.known.contains(&host) {
                layout.known.push(host);
            }
        }
    }
    // In one order, whichever server answered.
    let mut order: Vec<usize> = (0..layout.masters.len()).collect();
    order.sort_by(|&a, &b| layout.masters[a].cmp(&layout.masters[b]));
    let mut positions = vec![0; order.len()];
    for (position, &index) in order.iter().enumerate() {
        positions[index] = u16::try_from(position).ok()?;
    }
    for index in layout.slots.iter_mut().filter(|index| **index != NO_MASTER) {
        *index = positions[usize::from(*index)];
    }
    layout.masters.sort();
    layout.known.sort();
    Some(layout)
}

/// A server without a name is the one that was asked.
fn parse_server(value: &Value, asked: &Host) -> Option<Host> {
    let [name, port, ..] = array(value)? else {
        return None;
    };
    let name: Option<String> = Option::from_redis_value_ref(name).ok()?;
    let name = name
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| asked.name.clone());
    let port = u16::from_redis_value_ref(port).ok()?;
    (name != "?" && port != 0).then_some(Host { name, port })
}

fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host {
            name: name.to_owned(),
            port,
        }
    }

    #[test]
    fn slots_are_read_whoever_tells_them() {
        let server = |name: &str, port: u16| format!("*3\r\n{name}:{port}\r\n$2\r\nid\r\n");
        let named = |name: &str, port| server(&format!("${}\r\n{name}\r\n", name.len()), port);
        let range = |first: u16, last: u16, servers: &[String]| {
            format!(
                "*{}\r\n:{first}\r\n:{last}\r\n{}",
                servers.len() + 2,
                servers.concat()
            )
        };
        let parse = |ranges: &[String]| {
            let text = format!("*{}\r\n{}", ranges.len(), ranges.concat());
            parse_slots(
                &redis::parse_redis_value(text.as_bytes()).unwrap(),
                &host("asked", 1),
            )
        };
        let b = [
            range(100, 199, &[named("b", 7001)]),
            range(300, 300, &[named("b", 7001), named("c", 7002)]),
        ];
        // Without a name it is the one that was asked; "?" means unknown.
        let mine = range(0, 99, &[server("$-1\r\n", 7000)]);
        let unknown = range(200, 299, &[named("?", 7003)]);
        let layout = parse(&[mine.clone(), b[0].clone(), b[1].clone(), unknown]).unwrap();
        assert_eq!(layout.masters, [host("asked", 7000), host("b", 7001)]);
        assert_eq!(
            layout.known,
            [host("asked", 7000), host("b", 7001), host("c", 7002)]
        );
        let masters =
            [0, 99, 100, 199, 200, 299, 300, 301, 16383].map(|slot| layout.master_of(slot));
        let (first, second) = (Some(0), Some(1));
        assert_eq!(
            masters,
            [first, first, second, second, None, None, second, None, None]
        );
        assert!(layout.is_cluster() && !layout.is_complete());
        assert!(
            parse(&[range(0, 16383, &[named("b", 1)])])
                .unwrap()
                .is_complete()
        );
        // In another order it is the same layout.
        assert_eq!(parse(&[b[1].clone(), b[0].clone(), mine]), Some(layout));
        assert!(parse(&[range(0, 20_000, &[named("b", 1)])]).is_none());
        assert!(parse_slots(&Value::Nil, &host("asked", 1)).is_none());

        let single = Layout::single(host("one", 6379));
        assert!(single.is_complete() && !single.is_cluster());
        assert_eq!(single.master_of(16383), Some(0));
    }
}
