//! A gateway on a port of its own, with an application that does what an event's name says.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use gateway::{
    CloseReason, Config, ConnectRequest, Event, Frame, Gateway, Handled, Handler, Hub, Refusal,
    Session, Socket, serve,
};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use parking_lot::Mutex;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch, task::JoinHandle};

/// How long anything may take that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What sessions were notices.
#[derive(Default)]
pub struct Notices {
    pub disconnected: Mutex<Vec<(Vec<String>, CloseReason)>>,
    pub lagging: Mutex<Vec<String>>,
    /// Sockets that the application keeps for ever.
    pub kept: Mutex<Vec<Socket>>,
}

pub struct Server {
    pub address: SocketAddr,
    pub gateway: Gateway,
    pub hub: Hub,
    pub notices: Arc<Notices>,
    pub runtime: Runtime,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<()>,
}

impl Server {
    pub fn start(config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let context = runtime.enter();
        let hub = Hub::new(Some(2));
        let notices = Arc::new(Notices::default());
        let gateway = Gateway::new(config, hub.clone(), Arc::new(App(notices.clone())));
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let gateways = vec![gateway.clone()];
        let polling = gateway.clone();
        let http = service_fn(move |request: Request<Incoming>| {
            let gateway = polling.clone();
            async move { Ok::<_, Infallible>(gateway.http(request).await) }
        });
        let serving = tokio::spawn(async move {
            serve(listener, gateways, http, stopped).await.unwrap();
        });
        drop(context);
        Self {
            address,
            gateway,
            hub,
            notices,
            runtime,
            stop,
            serving,
        }
    }

    /// How many connections ended for this reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        let mut closed = self.hub.stats().closed();
        closed.find(|(r, _)| *r == reason).unwrap().1
    }
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct App(Arc<Notices>);

impl Handler for App {
    fn connect(
        self: Arc<Self>,
        _: ConnectRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn Session>, Refusal>> {
        Box::pin(async move { Ok(self as Arc<dyn Session>) })
    }
}

impl Session for App {
    fn event(self: Arc<Self>, socket: Socket, event: Event) -> Handled {
        match event.name() {
            "echo" => {
                let arguments = event.arguments().to_owned();
                event.into_ack().send_json(arguments, Vec::new());
            }
            "join" => {
                let joined = socket.join(&event.parse::<String>().unwrap(), 0).is_ok();
                event.into_ack().send(&joined).unwrap();
            }
            "keep" => {
                self.0.kept.lock().push(socket);
                event.into_ack().send("kept").unwrap();
            }
            "panic" => panic!("as the client asked"),
            // A text of so many bytes, and the end of the connection right behind it.
            "last words" => {
                let text = "x".repeat(event.parse().unwrap());
                socket.send(&Frame::event("/", "words", &text).unwrap());
                socket.close(CloseReason::TryLater);
            }
            // Asks the client so often, and waits for no answer.
            "ask in vain" => {
                let times: u32 = event.parse().unwrap();
                let ack = event.into_ack();
                tokio::spawn(async move {
                    for _ in 0..times {
                        let request = socket.request("question", &1, PATIENCE);
                        drop(tokio::time::timeout(Duration::ZERO, request).await);
                    }
                    let request = socket.request("question", &2, Duration::from_millis(1));
                    let error = request.await.unwrap_err();
                    ack.send(&error.to_string()).unwrap();
                });
            }
            other => panic!("unknown event {other}"),
        }
        None
    }

    fn lagging(&self, topic: &str) -> Option<Frame> {
        self.0.lagging.lock().push(topic.to_owned());
        Some(Frame::event("/", "resync", topic).unwrap())
    }

    fn disconnected(&self, _: &Socket, topics: &[Arc<str>], reason: CloseReason) {
        let topics = topics.iter().map(|t| t.to_string()).collect();
        self.0.disconnected.lock().push((topics, reason));
    }
}
