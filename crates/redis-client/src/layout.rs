//! Which master has which slots, and how a Cluster tells it.

use redis::{FromRedisValue, Value};

use crate::slots::SLOTS;
use crate::url::Host;

/// Which master has which slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) masters: Vec<Host>,
    /// For each slot an index into `masters`, or `NO_MASTER`. Empty where the only master has everything.
    slots: Vec<u16>,
    /// Every server that knows the layout, replicas included.
    pub(crate) known: Vec<Host>,
}

const NO_MASTER: u16 = u16::MAX;

impl Layout {
    pub(crate) fn single(master: Host) -> Self {
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

/// The answer to `CLUSTER SLOTS`: ranges with first, last, master and replicas; a server is a host, a port and more.
pub(crate) fn parse_slots(value: &Value, asked: &Host) -> Option<Layout> {
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
