//! One server of the comparison with its clients, and each step of its measurement.

use std::path::Path;

use super::{
    client_process::ClientProcess,
    contestant::Contestant,
    samples::{Cell, Metric, Moment, Samples},
    server::Server,
};
use crate::{
    cpu::Cores,
    error::Result,
    fan_out::{Load, Rooms},
    proc_stat,
};

const WARM_UP_CONNECTIONS: usize = 200;
const WARM_UP_PUBLISHES: usize = 200;

/// A server, started and connected to.
pub struct Rival {
    /// Which server it is.
    pub contestant: Contestant,
    server: Server,
    clients: ClientProcess,
    /// The server's memory before the measured connections.
    memory: u64,
    /// By how much kernel memory grew while this server's connections were opened.
    kernel: f64,
}

impl Rival {
    /// Starts the server and the process of its clients.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start(contestant: Contestant, cores: Cores, work_directory: &Path) -> Result<Self> {
        let log = work_directory.join(format!("{contestant:?}.log").to_lowercase());
        let server = Server::start(&contestant.command()?, &[], cores.server, &log)?;
        let clients = ClientProcess::start(server.address, cores.clients)?;
        Ok(Self {
            contestant,
            server,
            clients,
            memory: 0,
            kernel: 0.0,
        })
    }

    /// Code paged in, tables grown, a compiler warmed up: none of it belongs to a connection.
    pub fn warm_up(&mut self) -> Result<()> {
        self.clients.open(WARM_UP_CONNECTIONS)?;
        let rooms = Rooms {
            size: WARM_UP_CONNECTIONS,
            count: 1,
        };
        self.clients.join(rooms)?;
        self.clients.publish(
            rooms,
            Load {
                in_flight: 8,
                rooms: 1,
                publishes: WARM_UP_PUBLISHES,
            },
        )?;
        self.clients.close()?;
        Ok(())
    }

    /// Notes the memory that isn't the connections'.
    pub fn note_memory(&mut self) -> Result<()> {
        self.memory = proc_stat::memory(self.server.pid())?;
        Ok(())
    }

    /// Opens `count` connections.
    pub fn open(&mut self, count: usize, moment: Moment, samples: &mut Samples) -> Result<()> {
        let kernel = proc_stat::kernel_slab()?;
        let cpu = proc_stat::cpu_time(self.server.pid())?;
        let elapsed = self.clients.open(count)?;
        let cpu = proc_stat::cpu_time(self.server.pid())?.saturating_sub(cpu);
        self.kernel += proc_stat::kernel_slab()? as f64 - kernel as f64;
        let mut record = |metric, value| samples.record(self.contestant, metric, moment, value);
        record(Metric::ConnectCpu, cpu.as_secs_f64() * 1e6 / count as f64);
        record(Metric::ConnectRate, count as f64 / elapsed.as_secs_f64());
        Ok(())
    }

    /// Records the memory of `connections` as `metric`.
    pub fn record_memory(
        &mut self,
        connections: usize,
        metric: Metric,
        round: usize,
        samples: &mut Samples,
    ) -> Result<()> {
        let grown = proc_stat::memory(self.server.pid())? as f64 - self.memory as f64;
        let moment = Moment { round, slice: 0 };
        samples.record(self.contestant, metric, moment, grown / connections as f64);
        samples.record(
            self.contestant,
            Metric::KernelBytes,
            moment,
            self.kernel / connections as f64,
        );
        Ok(())
    }

    /// Lets clients join their rooms.
    pub fn join(&mut self, rooms: Rooms) -> Result<()> {
        self.clients.join(rooms)?;
        Ok(())
    }

    /// Publishes without measuring.
    pub fn publish(&mut self, rooms: Rooms, load: Load) -> Result<()> {
        self.clients.publish(rooms, load)?;
        Ok(())
    }

    /// Publishes and records what it cost.
    pub fn measure_publish(
        &mut self,
        rooms: Rooms,
        load: Load,
        moment: Moment,
        samples: &mut Samples,
    ) -> Result<()> {
        let cpu = proc_stat::cpu_time(self.server.pid())?;
        let outcome = self.clients.publish(rooms, load)?;
        let cpu = proc_stat::cpu_time(self.server.pid())?.saturating_sub(cpu);

        let deliveries = outcome.deliveries as f64;
        let cell = Cell {
            room: rooms.size,
            in_flight: load.in_flight,
        };
        let mut record = |metric, value| samples.record(self.contestant, metric, moment, value);
        record(
            Metric::DeliveryCpu(cell),
            cpu.as_secs_f64() * 1e6 / deliveries,
        );
        record(
            Metric::DeliveryRate(cell),
            deliveries / outcome.elapsed.as_secs_f64(),
        );
        record(
            Metric::LatencyP50(cell),
            outcome.latency_p50.as_secs_f64() * 1e6,
        );
        record(
            Metric::LatencyP99(cell),
            outcome.latency_p99.as_secs_f64() * 1e6,
        );
        record(Metric::OutOfOrder(cell), outcome.out_of_order as f64);
        record(Metric::ClientsBusy(cell), outcome.clients_busy * 100.0);
        Ok(())
    }

    /// Closes the connections with resets, so that none of their ports lingers into the next round.
    pub fn close(&mut self) -> Result<()> {
        self.clients.close()?;
        Ok(())
    }

    /// A server that ended explains a failure better than the connection it took along.
    pub fn explain(&mut self, error: crate::error::Error) -> crate::error::Error {
        self.server.check_alive().err().unwrap_or(error)
    }
}
