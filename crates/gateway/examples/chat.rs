//! A chat room for every Socket.IO client: `say` sends to all, `name` in `auth` says who speaks.
//!
//! `cargo run -p gateway --example chat`, then in Node with `socket.io-client`:
//! `io("http://localhost:3000", { auth: { name: "ana" } }).on("said", console.log).emit("say", "hola")`

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
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

struct Chat {
    hub: Hub,
}

#[derive(Deserialize)]
struct Auth {
    name: String,
}

impl Handler for Chat {
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
        Box::pin(async move {
            let Auth { name } = request.auth().map_err(|e| Refusal::Final {
                message: e.to_string(),
                data: None,
            })?;
            Ok(Arc::new(Speaker { chat: self, name }) as Arc<dyn Session>)
        })
    }
}

struct Speaker {
    chat: Arc<Chat>,
    name: String,
}

impl Session for Speaker {
    fn connected(self: Arc<Self>, socket: Socket) -> Handled {
        if socket.join("room", 0).is_err() {
            socket.disconnect();
        }
        None
    }

    fn event(self: Arc<Self>, _: Socket, event: Event) -> Handled {
        if event.name() != "say" {
            return None;
        }
        let answer = match event.parse::<String>() {
            Ok(text) => {
                let said = json!({ "name": self.name, "text": text });
                match Frame::event("/", "said", &said) {
                    Ok(frame) => json!({ "heard_by": self.chat.hub.publish("room", &frame) }),
                    Err(e) => json!({ "error": e.to_string() }),
                }
            }
            Err(e) => json!({ "error": e.to_string() }),
        };
        if let Err(e) = event.into_ack().send(&answer) {
            eprintln!("{e}");
        }
        None
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new(None);
    let gateway = Gateway::new(Config::default(), hub.clone(), Arc::new(Chat { hub }));
    let polling = gateway.clone();
    let http = service_fn(move |request: Request<Incoming>| {
        let gateway = polling.clone();
        async move { Ok::<_, Infallible>(gateway.http(request).await) }
    });
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let (_running, stop) = watch::channel(false);
    serve::<_, Full<Bytes>>(listener, vec![gateway], http, stop).await?;
    Ok(())
}
