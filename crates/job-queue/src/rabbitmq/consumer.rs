//! From the broker to the handlers.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all};
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    BackOff, BrokerError, Shared,
    message::Message,
    publisher::{Place, Publisher},
    topology::Names,
};
use crate::{
    Handlers,
    handlers::{Delivery as Run, Handler, Verdict},
};

/// How often the queues' lengths are asked for.
const DEPTHS: Duration = Duration::from_secs(10);

/// How long giving back may take at the end.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Between two attempts to publish what became of a job.
const PAUSE: Duration = Duration::from_secs(1);

/// The name of a consumer, on its own channel.
const TAG: &str = "jobs";

/// Runs jobs.
pub(super) struct Consumer {
    shared: Arc<Shared>,
    publisher: Arc<Publisher>,
    handlers: Arc<Handlers>,
    grace: Duration,
}

/// Jobs that are run, by the numbers of their deliveries.
type Unsettled = Arc<Mutex<HashMap<u64, Arc<(Delivery, Message)>>>>;

impl Consumer {
    pub(super) fn new(
        shared: Arc<Shared>,
        publisher: Arc<Publisher>,
        handlers: Arc<Handlers>,
        grace: Duration,
    ) -> Self {
        Self {
            shared,
            publisher,
            handlers,
            grace,
        }
    }

    pub(super) async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut back_off = BackOff::new();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(back_off.wait()) => {}
            }
            let began = Instant::now();
            if let Err(error) = self.session(stop.clone()).await {
                tracing::warn!(%error, "jobs aren't taken from RabbitMQ");
                if began.elapsed() > super::LONGEST_PAUSE {
                    back_off.succeeded();
                }
                back_off.failed();
            }
        }
    }

    /// Runs jobs over one connection, until it ends or has to.
    async fn session(&self, stop: watch::Receiver<bool>) -> Result<(), BrokerError> {
        let link = self.shared.connect("worker").await?;
        let (channel, channels) = self.shared.channels(&link, &self.handlers).await?;
        self.shared.counts.set_consuming(true);
        // Whoever notices that the connection is of no use any more tells the others, who let their runs end.
        let lost = watch::Sender::new(None);
        let consuming = join_all(channels.iter().map(|(handler, channel)| async {
            let consumed = self.consume(handler, channel, stop.clone(), lost.subscribe());
            if let Err(error) = consumed.await {
                lost.send_replace(Some(error));
            }
        }));
        let watching = async {
            let error = self.watch(&channel).await;
            lost.send_replace(Some(error));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = consuming => {}
            () = watching => {}
        }
        self.shared.counts.set_consuming(false);
        link.close().await;
        lost.borrow().clone().map_or(Ok(()), Err)
    }

    /// Asks for the queues' lengths, until the broker doesn't answer.
    async fn watch(&self, channel: &Channel) -> BrokerError {
        let names = &self.shared.names;
        loop {
            for kind in self.handlers.kinds() {
                let asked = async {
                    let waiting = Names::depth(channel, names.queue(kind)).await?;
                    let dead = Names::depth(channel, names.dead_queue(kind)).await?;
                    Ok::<_, lapin::Error>((waiting, dead))
                };
                match timeout(super::LONGEST_PAUSE, asked).await {
                    Ok(Ok((waiting, dead))) => self.shared.counts.saw(kind, waiting, dead),
                    Ok(Err(error)) => return error.into(),
                    Err(_) => return BrokerError::Silent,
                }
            }
            sleep(DEPTHS).await;
        }
    }

    /// Runs jobs of a kind. As many are taken as may run at once.
    async fn consume(
        &self,
        handler: &Arc<Handler>,
        channel: &Channel,
        mut stop: watch::Receiver<bool>,
        mut lost: watch::Receiver<Option<BrokerError>>,
    ) -> Result<(), BrokerError> {
        let most = u16::try_from(handler.settings.concurrency).unwrap_or(u16::MAX);
        channel
            .basic_qos(most.max(1), BasicQosOptions::default())
            .await?;
        let options = BasicConsumeOptions::default();
        let queue = self.shared.names.queue(handler.kind);
        let consuming = channel.basic_consume(queue, TAG.into(), options, FieldTable::default());
        let mut deliveries = consuming.await?;
        let unsettled = Unsettled::default();
        let mut tasks = JoinSet::new();
        let ended = loop {
            let delivery = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
                _ = lost.wait_for(Option::is_some) => break Err(BrokerError::Away),
                Some(_) = tasks.join_next() => continue,
                delivery = deliveries.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => self.begin(handler, delivery, &unsettled, &mut tasks).await,
                Some(Err(error)) => break Err(error.into()),
                // The queue is gone, or the connection is.
                None => break Err(BrokerError::Away),
            }
        };
        if ended.is_ok() {
            let cancelled = channel.basic_cancel(TAG.into(), BasicCancelOptions::default());
            if let Ok(Err(error)) = timeout(GIVE_BACK, cancelled).await {
                tracing::debug!(%error, "a consumer wasn't cancelled");
            }
        }
        let running = async { while tasks.join_next().await.is_some() {} };
        // After a loss of the connection too: what runs is delivered again, and shouldn't be run twice at once here.
        let out_of_time = async {
            if ended.is_err() {
                let stopping = stop.wait_for(|stop| *stop);
                drop(
                    timeout(handler.settings.time_limit, stopping)
                        .await
                        .map(drop),
                );
            }
            sleep(self.grace).await;
        };
        tokio::select! {
            () = running => {}
            () = out_of_time => {}
        }
        tasks.shutdown().await;
        if ended.is_ok() {
            let giving_back = self.give_back(deliveries, &unsettled);
            if timeout(GIVE_BACK, giving_back).await.is_err() {
                tracing::warn!(
                    kind = handler.kind,
                    "not all jobs were given back; RabbitMQ takes them back itself"
                );
            }
        }
        ended
    }

    async fn begin(
        &self,
        handler: &Arc<Handler>,
        delivery: Delivery,
        unsettled: &Unsettled,
        tasks: &mut JoinSet<()>,
    ) {
        let Some(message) = Message::of_delivery(&delivery) else {
            tracing::error!(
                kind = handler.kind,
                "what isn't a job was in the queue, and is dropped"
            );
            acknowledge(&delivery).await;
            return;
        };
        self.shared
            .counts
            .taken(handler.kind, message.enqueued_at.unix_ms());
        let tag = delivery.delivery_tag;
        let job = Arc::new((delivery, message));
        unsettled.lock().insert(tag, job.clone());
        let (handler, publisher) = (handler.clone(), self.publisher.clone());
        let unsettled = unsettled.clone();
        let running = handler.counts.begin();
        tasks.spawn(async move {
            run(&handler, &publisher, &job).await;
            drop(running);
            unsettled.lock().remove(&tag);
        });
    }

    /// Gives back what runs and what was delivered since. As a new message: the broker counts one that it gets back as if its process had died.
    async fn give_back(&self, mut deliveries: lapin::Consumer, unsettled: &Unsettled) {
        let mut jobs: Vec<_> = std::mem::take(&mut *unsettled.lock())
            .into_values()
            .collect();
        // What is here already; a cancelled consumer gets nothing more.
        while let Ok(Some(Ok(delivery))) = timeout(Duration::ZERO, deliveries.next()).await {
            if let Some(message) = Message::of_delivery(&delivery) {
                jobs.push(Arc::new((delivery, message)));
            }
        }
        for job in jobs {
            let (delivery, message) = &*job;
            let again = Message {
                // Deliveries before this one were runs, which aren't counted by the broker any more.
                failed_runs: message.attempt() - 1,
                ..message.clone()
            };
            match self.publisher.publish(&again, Place::Queue).await {
                Ok(()) => acknowledge(delivery).await,
                Err(error) => {
                    let (kind, id) = (&message.kind, &message.id);
                    tracing::warn!(kind, id, %error, "a job couldn't be given back; RabbitMQ takes it back itself");
                }
            }
        }
    }
}

/// Runs a job and sees to it that what becomes of it is durable before it is acknowledged.
async fn run(handler: &Handler, publisher: &Publisher, (delivery, message): &(Delivery, Message)) {
    let run = Run {
        id: &message.id,
        payload: &message.payload,
        enqueued_at: message.enqueued_at,
        attempt: message.attempt(),
    };
    let verdict = handler.run(&run).await;
    let next = |error| Message {
        failed_runs: message.attempt(),
        error,
        ..message.clone()
    };
    let (next, delay) = match verdict {
        Verdict::Done => {
            acknowledge(delivery).await;
            return;
        }
        Verdict::Retry { after, .. } => (next(None), Some(after)),
        Verdict::Dead { error } => (next(Some(error)), None),
    };
    let place = delay.map_or(Place::Dead, Place::Later);
    let mut is_first = true;
    while let Err(error) = publisher.publish(&next, place).await {
        if is_first {
            let (kind, id) = (&message.kind, &message.id);
            tracing::warn!(kind, id, %error, "what became of a job can't be published yet");
        }
        is_first = false;
        // It stays this process' until then; if this connection ends, it is delivered again.
        if !delivery.acker.usable() {
            return;
        }
        sleep(PAUSE).await;
    }
    acknowledge(delivery).await;
}

/// If it isn't heard, the job is delivered again.
async fn acknowledge(delivery: &Delivery) {
    if let Err(error) = delivery.acker.ack(BasicAckOptions::default()).await {
        tracing::warn!(%error, "a job couldn't be acknowledged; it is run again");
    }
}
