//! How many small jobs go through RabbitMQ in a second, from the tables to their handlers and back; beside as many messages of a bare
//! client over a quorum queue, each confirmed and acknowledged. `job_rate AMQP_URL`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use job_queue::{
    Handler, Handlers, Job, JobId, JobQueue, KindSettings, RabbitMq, RabbitMqConfig, Retries,
    outbox,
};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde::{Deserialize, Serialize};
use storage::Sql;
use tokio::{sync::watch, time::sleep};

/// Jobs of a round.
const JOBS: usize = 20_000;

/// Rounds of each, in turn.
const ROUNDS: usize = 3;

/// Messages that aren't confirmed yet, and deliveries that aren't acknowledged.
const AT_ONCE: usize = 250;

#[derive(Serialize, Deserialize)]
struct Small {
    number: usize,
    text: String,
}

impl Small {
    fn new(number: usize) -> Self {
        Self {
            number,
            text: "x".repeat(150),
        }
    }
}

impl Job for Small {
    const KIND: &'static str = "bench.small";

    fn id(&self) -> JobId {
        JobId::new(self.number.to_string())
    }
}

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let (mut jobs, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(bare_messages(&url).await);
        jobs.push(through_tables(&url).await);
    }
    println!(
        "| {JOBS} in each of {ROUNDS} rounds, a second | worst | median | best |\n|---|---|---|---|"
    );
    for (name, mut rates) in [
        ("jobs, tables included", jobs),
        ("messages of a bare client", bare),
    ] {
        rates.sort_by(f64::total_cmp);
        let [worst, median, best] = [rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]];
        println!("| {name} | {worst:.0} | {median:.0} | {best:.0} |");
    }
}

fn rate(began: Instant) -> f64 {
    JOBS as f64 / began.elapsed().as_secs_f64()
}

async fn through_tables(url: &str) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let sql = Sql::open(directory.path()).await.unwrap();
    let queue = JobQueue::new(sql.clone());
    for batch in (0..JOBS).collect::<Vec<_>>().chunks(1_000) {
        let statements = batch
            .iter()
            .map(|number| outbox::statement(&Small::new(*number)));
        sql.write(None, statements.collect::<Result<_, _>>().unwrap())
            .await
            .unwrap();
    }
    let config = RabbitMqConfig {
        url: url.to_owned().into(),
        prefix: format!("bench-{}", JobId::random()),
        ca_file: None,
    };
    let broker = Arc::new(RabbitMq::new(config, queue).unwrap());
    let done = Arc::new(AtomicUsize::new(0));
    let counted = done.clone();
    let settings = KindSettings {
        concurrency: AT_ONCE,
        time_limit: Duration::from_secs(10),
        retries: Retries::PROMPT,
    };
    let mut handlers = Handlers::default();
    handlers.add(Handler::new(settings, move |_: Small, _| {
        counted.fetch_add(1, Relaxed);
        async { Ok(()) }
    }));
    let (stop, stopped) = watch::channel(false);
    let began = Instant::now();
    let running = tokio::spawn(async move {
        let consuming = broker.consume(Arc::new(handlers), stopped.clone(), Duration::from_secs(5));
        tokio::join!(broker.relay(stopped.clone()), consuming);
        broker.close().await;
    });
    while done.load(Relaxed) < JOBS {
        sleep(Duration::from_millis(5)).await;
    }
    let rate = rate(began);
    stop.send_replace(true);
    running.await.unwrap();
    sql.close().await;
    rate
}

async fn bare_messages(url: &str) -> f64 {
    let connect = || Connection::connect(url, ConnectionProperties::default());
    let (publishing, consuming) = (connect().await.unwrap(), connect().await.unwrap());
    let queue = format!("bench-{}", JobId::random());
    let channel = publishing.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    let quorum = AMQPValue::LongString("quorum".into());
    arguments.insert("x-queue-type".into(), quorum);
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let declared = channel.queue_declare(queue.as_str().into(), options, arguments);
    declared.await.unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let deliveries = consuming.create_channel().await.unwrap();
    deliveries
        .basic_qos(AT_ONCE as u16, BasicQosOptions::default())
        .await
        .unwrap();
    let options = BasicConsumeOptions::default();
    let consumed = deliveries.basic_consume(
        queue.as_str().into(),
        "bench".into(),
        options,
        FieldTable::default(),
    );
    let mut consumer = consumed.await.unwrap();
    let began = Instant::now();
    let taking = async {
        for _ in 0..JOBS {
            let delivery = consumer.next().await.unwrap().unwrap();
            delivery
                .acker
                .ack(BasicAckOptions::default())
                .await
                .unwrap();
        }
    };
    let publish = async {
        let mut confirms = FuturesUnordered::new();
        for number in 0..JOBS {
            let payload = serde_json::to_vec(&Small::new(number)).unwrap();
            let options = BasicPublishOptions {
                mandatory: true,
                ..Default::default()
            };
            let properties = BasicProperties::default().with_delivery_mode(2);
            let key = queue.as_str().into();
            let sent = channel
                .basic_publish("".into(), key, options, &payload, properties)
                .await;
            confirms.push(sent.unwrap());
            if confirms.len() >= AT_ONCE {
                assert!(confirms.next().await.unwrap().unwrap().is_ack());
            }
        }
        while let Some(confirmed) = confirms.next().await {
            assert!(confirmed.unwrap().is_ack());
        }
    };
    tokio::join!(taking, publish);
    let rate = rate(began);
    let removed = channel.queue_delete(queue.as_str().into(), Default::default());
    removed.await.unwrap();
    drop(publishing.close(200, "OK".into()).await);
    drop(consuming.close(200, "OK".into()).await);
    rate
}
