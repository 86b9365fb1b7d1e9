//! What the connections of one gateway share.

use std::sync::Arc;

use engineioxide_core::Sid;

use crate::{
    byte_budget::ByteBudget, clock::Clock, close::CloseReason, config::Config,
    engine::EngineHandler, handler::Handler, hub::Hub, stats::Stats,
};

pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) hub: Hub,
    pub(crate) endpoint: Endpoint,
    pub(crate) clock: Clock,
    /// Unfinished messages of clients that have been in a namespace.
    pub(crate) input: Arc<ByteBudget>,
    /// Those of all others.
    pub(crate) first_input: Arc<ByteBudget>,
    /// Frames queued for clients that don't take them just now.
    pub(crate) queues: ByteBudget,
    /// Takes a connection that has ended out of the gateway's registry.
    pub(crate) unregister: Box<dyn Fn(Sid, CloseReason) + Send + Sync>,
}

/// The application, which messages are given to.
pub(crate) enum Endpoint {
    SocketIo(Arc<dyn Handler>),
    EngineIo(Arc<dyn EngineHandler>),
}

impl Context {
    pub(crate) fn new(
        config: Config,
        hub: Hub,
        endpoint: Endpoint,
        unregister: impl Fn(Sid, CloseReason) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: Clock::start(),
            input: Arc::new(ByteBudget::new(config.max_input)),
            first_input: Arc::new(ByteBudget::new(config.max_first_input)),
            queues: ByteBudget::new(config.max_queues),
            unregister: Box::new(unregister),
            config,
            hub,
            endpoint,
        })
    }

    pub(crate) fn stats(&self) -> &Stats {
        self.hub.stats()
    }
}
