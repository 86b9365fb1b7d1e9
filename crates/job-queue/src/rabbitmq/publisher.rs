//! Messages to the broker, each confirmed. The connection is for this alone: a broker that is short of memory stops reading from
//! those who publish, and would get no acknowledgements over the same one.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{sync::Mutex, time::timeout};

use super::{BackOff, BrokerError, Link, Shared, message::Message, topology::Names};

/// How long the broker may take to confirm. A broker that is short of memory or of disk confirms nothing.
const CONFIRM: Duration = Duration::from_secs(10);

/// Publishes messages.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    open: Option<Open>,
    /// That were tried so far; the number of the last one.
    connections: u64,
    back_off: BackOff,
}

struct Open {
    link: Link,
    channel: Channel,
    /// The kinds whose queues are there.
    kinds: HashSet<String>,
    number: u64,
}

/// Where a message goes.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// To who runs it.
    Queue,
    /// There, after this delay.
    Later(Duration),
    /// To the dead letters.
    Dead,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let back_off = BackOff::new();
        Self {
            shared,
            state: Mutex::new(State {
                open: None,
                connections: 0,
                back_off,
            }),
        }
    }

    /// The open channel, or a new one unless the broker was away a moment ago.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        let mut state = self.state.lock().await;
        Ok(self.open(&mut state).await?.channel.clone())
    }

    async fn open<'a>(&self, state: &'a mut State) -> Result<&'a mut Open, BrokerError> {
        let is_good = |open: &Open| {
            open.channel.status().connected() && open.link.connection.status().connected()
        };
        if !state.open.as_ref().is_some_and(is_good) {
            state.open = None;
            self.shared.counts.set_publishing(false);
            if !state.back_off.wait().is_zero() {
                return Err(BrokerError::Away);
            }
            state.connections += 1;
            match self.connect(state.connections).await {
                Ok(open) => {
                    state.back_off.succeeded();
                    self.shared.counts.set_publishing(true);
                    state.open = Some(open);
                }
                Err(error) => {
                    state.back_off.failed();
                    tracing::warn!(%error, "jobs can't be published; they wait in the tables");
                    return Err(error);
                }
            }
        }
        state.open.as_mut().ok_or(BrokerError::Away)
    }

    async fn connect(&self, number: u64) -> Result<Open, BrokerError> {
        let link = self.shared.connect("publisher").await?;
        let prepare = async {
            let channel = link.connection.create_channel().await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            self.shared.names.declare(&channel).await?;
            Ok::<_, BrokerError>(channel)
        };
        let prepared = timeout(CONFIRM, prepare).await;
        let channel = prepared.map_err(|_| BrokerError::Silent)??;
        Ok(Open {
            link,
            channel,
            kinds: HashSet::new(),
            number,
        })
    }

    /// A channel with the queues of these kinds.
    async fn channel_for(
        &self,
        kinds: impl Iterator<Item = &str>,
    ) -> Result<(Channel, u64), BrokerError> {
        let mut state = self.state.lock().await;
        let open = self.open(&mut state).await?;
        for kind in kinds {
            if open.kinds.contains(kind) {
                continue;
            }
            let declared = self.shared.names.declare_kind(&open.channel, kind);
            timeout(CONFIRM, declared)
                .await
                .map_err(|_| BrokerError::Silent)??;
            open.kinds.insert(kind.to_owned());
        }
        Ok((open.channel.clone(), open.number))
    }

    /// Has a new connection made the next time: this one doesn't answer, or lacks a queue.
    async fn abandon(&self, number: u64) {
        let mut state = self.state.lock().await;
        if state
            .open
            .as_ref()
            .is_some_and(|open| open.number == number)
        {
            state.open = None;
            self.shared.counts.set_publishing(false);
        }
    }

    pub(super) async fn publish(&self, message: &Message, place: Place) -> Result<(), BrokerError> {
        let mut outcomes = self.publish_all(&[(message, place)]).await?;
        outcomes.pop().flatten().map_or(Ok(()), Err)
    }

    /// Publishes messages at once, and says of each what went wrong.
    pub(super) async fn publish_all(
        &self,
        messages: &[(&Message, Place)],
    ) -> Result<Vec<Option<BrokerError>>, BrokerError> {
        let kinds = messages.iter().map(|(message, _)| message.kind.as_str());
        let (channel, number) = self.channel_for(kinds).await?;
        let mut outcomes = vec![Some(BrokerError::Silent); messages.len()];
        let publishing = async {
            let mut confirms = FuturesUnordered::new();
            for (index, (message, place)) in messages.iter().enumerate() {
                let sent = self.send(&channel, message, *place).await;
                confirms.push(async move {
                    let outcome = match sent {
                        Ok(confirm) => confirm.await.map_err(BrokerError::from).and_then(settled),
                        Err(error) => Err(error.into()),
                    };
                    (index, outcome)
                });
            }
            while let Some((index, outcome)) = confirms.next().await {
                outcomes[index] = outcome.err();
            }
        };
        let ended = timeout(CONFIRM, publishing).await;
        for outcome in &outcomes {
            self.shared.counts.publish(outcome.is_none());
        }
        if ended.is_err() || outcomes.iter().any(Option::is_some) {
            self.abandon(number).await;
        }
        Ok(outcomes)
    }

    async fn send(
        &self,
        channel: &Channel,
        message: &Message,
        place: Place,
    ) -> lapin::Result<lapin::PublisherConfirm> {
        let names = &self.shared.names;
        let mut properties = message.properties();
        let exchange = match place {
            Place::Queue => names.jobs(),
            Place::Later(delay) => {
                let step = Names::step(delay);
                let most = Duration::from_secs(step);
                let millis = delay.min(most).as_millis();
                properties = properties.with_expiration(ShortString::from(millis.to_string()));
                names.retries(step)
            }
            Place::Dead => names.dead(),
        };
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let key = ShortString::from(message.kind.as_str());
        let payload = message.payload.as_bytes();
        channel
            .basic_publish(exchange, key, options, payload, properties)
            .await
    }

    pub(super) async fn close(&self) {
        let open = self.state.lock().await.open.take();
        self.shared.counts.set_publishing(false);
        if let Some(open) = open {
            open.link.close().await;
        }
    }
}

fn settled(confirmation: Confirmation) -> Result<(), BrokerError> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(BrokerError::NotRouted),
        Confirmation::Nack(_) | Confirmation::NotRequested => Err(BrokerError::NotConfirmed),
    }
}
