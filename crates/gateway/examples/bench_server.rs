//! The server of the benchmarks: `join` `[room]` with an ack, and `publish` `[room, payload]`, which sends
//! `event` `[payload]` to all of the room. Listens on 127.0.0.1, `PORT` (default 3000), with `WORKERS` threads
//! (default 1), and admits events without bounds.

use std::{convert::Infallible, error::Error, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gateway::{
    Config, ConnectRequest, Event, Frame, Gateway, Handled, Handler, Hub, Refusal, Session, Socket,
    serve,
};
use http::Request;
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use serde_json::value::RawValue;
use tokio::{net::TcpListener, sync::watch};

struct Rooms {
    hub: Hub,
}

impl Handler for Rooms {
    fn connect(
        self: Arc<Self>,
        _: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
        Box::pin(async move { Ok(self as Arc<dyn Session>) })
    }
}

impl Session for Rooms {
    fn event(self: Arc<Self>, socket: Socket, mut event: Event) -> Handled {
        match event.name() {
            "join" => {
                if let Ok(room) = event.parse::<String>()
                    && socket.join(&room, 0).is_ok()
                {
                    event.into_ack().send_json("true".into(), Vec::new());
                }
            }
            "publish" => {
                if let Ok((room, payload)) = event.decode::<(String, Box<RawValue>)>() {
                    let frame = Frame::event_from_json("/", "event", payload.get(), Vec::new());
                    self.hub.publish(&room, &frame);
                }
            }
            _ => {}
        }
        None
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let number = |name: &str, default: usize| match std::env::var(name) {
        Ok(value) => value.parse(),
        Err(_) => Ok(default),
    };
    let (port, workers) = (number("PORT", 3000)?, number("WORKERS", 1)?);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?
        .block_on(async {
            let hub = Hub::new(Some(workers));
            let config = Config {
                events_per_second: 1_000_000,
                event_burst: 1_000_000,
                ..Config::default()
            };
            let gateway = Gateway::new(config, hub.clone(), Arc::new(Rooms { hub }));
            let polling = gateway.clone();
            let http = service_fn(move |request: Request<Incoming>| {
                let gateway = polling.clone();
                async move { Ok::<_, Infallible>(gateway.http::<Incoming>(request).await) }
            });
            let listener = TcpListener::bind(("127.0.0.1", u16::try_from(port)?)).await?;
            println!("listening on {}", listener.local_addr()?);
            let (_running, stop) = watch::channel(false);
            serve::<_, Full<Bytes>>(listener, vec![gateway], http, stop).await?;
            Ok(())
        })
}
