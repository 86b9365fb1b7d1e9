//! The real nginx with the configuration that is shipped, in front of gateways and servers.

mod addresses;
mod bare_instance;
mod instances;
mod limits;
mod logs;
mod polls;
mod problem;
pub mod proxy;
mod reload;
mod tls;
mod transports;
