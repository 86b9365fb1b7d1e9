//! How loaded a server is, from the text that `INFO` answers.

/// Memory, clients and replication. Of several masters, each value is that of the one for which it is worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerLoad {
    /// Bytes of memory in use (`used_memory`); the largest.
    pub used_memory: u64,
    /// Bytes of memory that it may use (`maxmemory`), 0 for no bound; the smallest that isn't 0.
    pub max_memory: u64,
    /// Connections of clients; the most.
    pub clients: u64,
    /// How many bytes of the replication stream the slowest replica lags behind its master; `None` without replicas.
    pub replication_lag: Option<u64>,
}

impl ServerLoad {
    /// From the answer to `INFO memory clients replication`. What isn't in it is 0.
    pub(crate) fn parse(info: &str) -> Self {
        let mut load = Self::default();
        let mut written = 0;
        let mut received = Vec::new();
        for (name, value) in info.lines().filter_map(|line| line.trim().split_once(':')) {
            let number = || value.parse().unwrap_or(0);
            match name {
                "used_memory" => load.used_memory = number(),
                "maxmemory" => load.max_memory = number(),
                "connected_clients" => load.clients = number(),
                "master_repl_offset" => written = number(),
                _ if is_replica(name) => {
                    let offset = value.split(',').find_map(|f| f.strip_prefix("offset="));
                    received.extend(offset.and_then(|offset| offset.parse::<u64>().ok()));
                }
                _ => {}
            }
        }
        let slowest = received.into_iter().min();
        load.replication_lag = slowest.map(|received| written.saturating_sub(received));
        load
    }

    pub(crate) fn worst(self, other: Self) -> Self {
        let bounds = [self.max_memory, other.max_memory];
        Self {
            used_memory: self.used_memory.max(other.used_memory),
            max_memory: bounds.into_iter().filter(|max| *max > 0).min().unwrap_or(0),
            clients: self.clients.max(other.clients),
            replication_lag: self.replication_lag.max(other.replication_lag),
        }
    }
}

/// `slave0`, `slave1` …
fn is_replica(name: &str) -> bool {
    name.strip_prefix("slave")
        .is_some_and(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_masters_is_told() {
        let one = ServerLoad::parse(
            "# Memory\r\nused_memory:1000\r\nused_memory_human:1K\r\nmaxmemory:0\r\n# Clients\r\nconnected_clients:7\r\n\
             # Replication\r\nrole:master\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=90,lag=0\r\n\
             slave1:ip=10.0.0.3,port=6379,state=online,offset=70,lag=1\r\nmaster_repl_offset:100\r\n",
        );
        assert_eq!(
            one,
            ServerLoad {
                used_memory: 1_000,
                max_memory: 0,
                clients: 7,
                replication_lag: Some(30),
            }
        );
        let other =
            ServerLoad::parse("used_memory:10\r\nmaxmemory:5000\r\nconnected_clients:9\r\n");
        assert_eq!(other.replication_lag, None);
        assert_eq!(
            one.worst(other),
            ServerLoad {
                used_memory: 1_000,
                max_memory: 5_000,
                clients: 9,
                replication_lag: Some(30),
            }
        );
    }
}
