//! A server as the protocol test suites of Engine.IO v4 and Socket.IO v5 expect it: an echo of messages at
//! `/engine.io/`; at `/socket.io/` the namespaces `/` and `/custom`, the event `auth` with what the client sent, and
//! echoes of `message` and `message-with-ack`. `PORT` (default 3000) is where it listens.

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gateway::{
    Config, ConnectRequest, EngineHandler, EngineSocket, Event, Frame, Gateway, Handled, Handler,
    Hub, Refusal, Session, Socket, serve,
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use tokio::{net::TcpListener, sync::watch};

struct Echo;

impl EngineHandler for Echo {
    fn text(&self, socket: &EngineSocket, message: &str) {
        socket.send_text(message);
    }
    fn binary(&self, socket: &EngineSocket, message: &[u8]) {
        socket.send_binary(message);
    }
}

struct Namespaces;

impl Handler for Namespaces {
    fn connect(
        self: Arc<Self>,
        request: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
        Box::pin(async move {
            if request.namespace != "/" && request.namespace != "/custom" {
                return Err(Refusal::Final {
                    message: "Invalid namespace".into(),
                    data: None,
                });
            }
            Ok(Arc::new(EchoSession {
                auth: request.auth_json().unwrap_or("{}").to_owned(),
                namespace: request.namespace,
            }) as Arc<dyn Session>)
        })
    }
}

struct EchoSession {
    namespace: String,
    auth: String,
}

impl Session for EchoSession {
    fn connected(self: Arc<Self>, socket: Socket) -> Handled {
        socket.send(&Frame::event_from_json(
            &self.namespace,
            "auth",
            &self.auth,
            Vec::new(),
        ));
        None
    }

    fn event(self: Arc<Self>, socket: Socket, event: Event) -> Handled {
        let (arguments, attachments) = (event.arguments().to_owned(), event.attachments());
        match event.name() {
            "message" => socket.send(&Frame::event_from_json(
                &self.namespace,
                "message-back",
                &arguments,
                attachments,
            )),
            "message-with-ack" => event.into_ack().send_json(arguments, attachments),
            _ => {}
        }
        None
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match std::env::var("PORT") {
        Ok(port) => port.parse()?,
        Err(_) => 3000,
    };
    let config = Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let engine_config = Config {
        path: "/engine.io/".into(),
        ..config.clone()
    };
    let hub = Hub::new(None);
    let socket_io = Gateway::new(config, hub.clone(), Arc::new(Namespaces));
    let engine_io = Gateway::engine_io(engine_config, hub, Arc::new(Echo));
    let gateways = vec![socket_io, engine_io];
    let by_path = gateways.clone();
    let http = service_fn(move |request: Request<Incoming>| {
        let gateway = by_path
            .iter()
            .find(|g| g.config().path == request.uri().path())
            .cloned();
        async move {
            let response = match gateway {
                Some(gateway) => gateway.http(request).await,
                None => {
                    let mut response = Response::new(Full::<Bytes>::default());
                    *response.status_mut() = StatusCode::NOT_FOUND;
                    response
                }
            };
            Ok::<_, Infallible>(response)
        }
    });
    // "localhost" is either, depending on the client.
    let listener = TcpListener::bind(("::", port)).await?;
    println!("listening on port {}", listener.local_addr()?.port());
    let (_running, stop) = watch::channel(false);
    serve(listener, gateways, http, stop).await?;
    Ok(())
}
