//! Which servers to talk to: the one server, the master that Sentinel names, or the masters of a Cluster with their slots.
//!
//! Looked up in the background over a connection of its own, every few seconds and whenever someone found that the layout
//! was wrong. A server that hangs delays nothing: the others are asked beside it. Without any answer the last layout stays.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, cmd};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::backoff::{backoff, jittered};
use crate::layout::{Layout, parse_slots};
use crate::link::{Access, Link};
use crate::task::Task;
use crate::url::{Host, Kind, RedisUrl};

/// How often the layout is looked up anyway: finds changes that no connection noticed, such as added masters.
const PERIOD: Duration = Duration::from_secs(5);
/// When a refresh is requested it is looked up at once, then at intervals that double from this up to a second while requests go on.
const SHORTEST_GAP: Duration = Duration::from_millis(50);
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// When the next server is asked beside one that hasn't answered.
const STAGGER: Duration = Duration::from_millis(150);

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
