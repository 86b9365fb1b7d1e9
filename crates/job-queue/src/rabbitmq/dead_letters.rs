//! From the broker's dead letters to the tables, where they are listed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::try_join_all};
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use protocol::Timestamp;
use storage::{DeadJob, JobStore};
use tokio::{sync::watch, time::sleep};

use super::{BackOff, BrokerError, Shared, message::Message};
use crate::{
    Handlers,
    handlers::{Delivery as Run, Handler, Verdict},
};

/// Dead letters that are taken at once.
const AT_ONCE: u16 = 16;

/// Between two attempts to write one.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes dead letters.
pub(super) struct DeadLetters {
    shared: Arc<Shared>,
    store: JobStore,
    handlers: Arc<Handlers>,
}

impl DeadLetters {
    pub(super) fn new(shared: Arc<Shared>, store: JobStore, handlers: Arc<Handlers>) -> Self {
        Self {
            shared,
            store,
            handlers,
        }
    }

    /// Takes them until `stop` is true. What isn't written then is delivered again.
    pub(super) async fn run(&self, mut stop: watch::Receiver<bool>) {
        let take = async {
            let mut back_off = BackOff::new();
            loop {
                let began = Instant::now();
                if let Err(error) = self.session().await {
                    tracing::debug!(%error, "dead letters aren't taken from RabbitMQ");
                }
                if began.elapsed() > super::LONGEST_PAUSE {
                    back_off.succeeded();
                }
                back_off.failed();
                sleep(back_off.wait()).await;
            }
        };
        tokio::select! {
            () = take => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn session(&self) -> Result<(), BrokerError> {
        let link = self.shared.connect("dead letters").await?;
        let (_, channels) = self.shared.channels(&link, &self.handlers).await?;
        let taking = channels
            .iter()
            .map(|(handler, channel)| self.take(handler, channel));
        try_join_all(taking).await.map(drop)
    }

    async fn take(&self, handler: &Handler, channel: &Channel) -> Result<(), BrokerError> {
        channel
            .basic_qos(AT_ONCE, BasicQosOptions::default())
            .await?;
        let queue = self.shared.names.dead_queue(handler.kind);
        let options = BasicConsumeOptions::default();
        let arguments = FieldTable::default();
        let taking = channel.basic_consume(queue, "dead".into(), options, arguments);
        let mut deliveries = taking.await?;
        while let Some(delivery) = deliveries.next().await {
            let delivery = delivery?;
            self.keep(handler, &delivery).await;
            delivery.acker.ack(BasicAckOptions::default()).await?;
        }
        Ok(())
    }

    async fn keep(&self, handler: &Handler, delivery: &Delivery) {
        let Some(message) = Message::of_delivery(delivery) else {
            tracing::error!(
                kind = handler.kind,
                "what isn't a job was among dead letters, and is dropped"
            );
            return;
        };
        let error = match &message.error {
            Some(error) => error.clone(),
            // The broker gave it up, not a run of it.
            None => {
                let run = Run {
                    id: &message.id,
                    payload: &message.payload,
                    enqueued_at: message.enqueued_at,
                    attempt: message.attempt(),
                };
                let why = "its processes died too often";
                loop {
                    match handler.give_up(&run, why.to_owned()).await {
                        Verdict::Dead { error } => break error,
                        Verdict::Retry { after, .. } => sleep(after).await,
                        Verdict::Done => break why.to_owned(),
                    }
                }
            }
        };
        let dead = DeadJob {
            kind: message.kind,
            id: message.id,
            payload: message.payload,
            enqueued_at: message.enqueued_at,
            died_at: Timestamp::now(),
            attempts: message.failed_runs,
            error,
        };
        while let Err(error) = self.store.keep_dead(dead.clone()).await {
            tracing::warn!(%error, kind = dead.kind, id = dead.id, "a dead letter can't be written yet");
            sleep(PAUSE).await;
        }
    }
}
