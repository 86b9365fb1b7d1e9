//! Our gateway with the application of the comparison; `reference` has the same one.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gateway::{
    Config, ConnectRequest, Event, Frame, Gateway, Handled, Handler, Hub, Refusal, Session, Socket,
    serve,
};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};

use super::running::Running;

/// The largest message on both sides, small enough to exceed it often.
pub const MAX_PAYLOAD: usize = 10_000;

/// The namespaces of both sides; the last one is for the comparison itself.
pub const NAMESPACES: [&str; 3] = ["/", "/custom", "/fence"];

/// Long enough that no answer is given up while a case runs.
pub const ANSWER: Duration = Duration::from_secs(60);

/// Starts the gateway.
pub async fn start() -> Running {
    Running::start(serve_gateway).await
}

async fn serve_gateway(listener: TcpListener) {
    let config = Config {
        max_payload: MAX_PAYLOAD,
        ..Config::default()
    };
    let gateway = Gateway::new(config, Hub::new(Some(1)), Arc::new(Mirror));
    let (_running, stop) = watch::channel(false);
    let polling = gateway.clone();
    let http = service_fn(move |request: Request<Incoming>| {
        let gateway = polling.clone();
        async move { Ok::<_, Infallible>(gateway.http(request).await) }
    });
    serve(listener, vec![gateway], http, stop).await.unwrap();
}

struct Mirror;

impl Handler for Mirror {
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
        Box::pin(async move {
            if !NAMESPACES.contains(&request.namespace.as_str()) {
                return Err(Refusal::Final {
                    message: "Invalid namespace".into(),
                    data: None,
                });
            }
            Ok(Arc::new(Reflection {
                auth: request.auth().unwrap_or_default(),
                namespace: request.namespace,
            }) as Arc<dyn Session>)
        })
    }
}

struct Reflection {
    namespace: String,
    auth: Value,
}

impl Reflection {
    fn emit(&self, socket: &Socket, name: &str, payload: &(impl serde::Serialize + ?Sized)) {
        socket.send(&Frame::event(&self.namespace, name, payload).unwrap());
    }
}

impl Session for Reflection {
    fn connected(self: Arc<Self>, socket: Socket) -> Handled {
        if self.namespace != "/fence" {
            self.emit(&socket, "auth", &self.auth);
        }
        None
    }

    fn event(self: Arc<Self>, socket: Socket, mut event: Event) -> Handled {
        match event.name() {
            "echo" => {
                if let Ok(payload) = event.decode::<Value>() {
                    self.emit(&socket, "echo", &payload);
                }
            }
            "ack" => {
                if let Ok(payload) = event.decode::<Value>() {
                    event.into_ack().send(&payload).unwrap();
                }
            }
            "bytes" => {
                if let Ok(payload) = event.decode::<Bytes>() {
                    self.emit(&socket, "bytes", &payload);
                }
            }
            "bytes-ack" => {
                if let Ok(payload) = event.decode::<Bytes>() {
                    let placeholder = r#"{"_placeholder":true,"num":0}"#;
                    event
                        .into_ack()
                        .send_json(placeholder.into(), vec![payload]);
                }
            }
            "ask" => {
                if let Ok(payload) = event.decode::<Value>() {
                    tokio::spawn(async move {
                        let reply = socket.request("question", &payload, ANSWER).await;
                        if let Ok(answer) = reply.map(|mut r| r.decode::<Value>())
                            && let Ok(answer) = answer
                        {
                            self.emit(&socket, "answer", &answer);
                        }
                    });
                }
            }
            "disconnect-me" => socket.disconnect(),
            _ => {}
        }
        None
    }
}
