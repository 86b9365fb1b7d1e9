//! Instances that fail, drain, end and come back.

use gateway::Config;
use http::{Method, StatusCode};
use protocol::ErrorCode;
use tempfile::TempDir;

use super::{
    bare_instance::{Asked, BareInstance},
    problem::problem,
    proxy::{Nginx, Port},
};
use crate::{
    client::{
        http::request,
        polling::Polling,
        websocket::{Incoming, WebSocket},
    },
    deadline::within,
    gateway::test_gateway::TestGateway,
    server::server_process::ServerProcess,
};

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

/// Two instances that a test answers for.
struct Two([BareInstance; 2]);

impl Two {
    async fn start() -> (Self, Nginx) {
        let two = [BareInstance::start().await, BareInstance::start().await];
        let nginx = Nginx::start(&two.each_ref().map(|i| i.address)).await;
        (Self(two), nginx)
    }

    /// The next request, whoever is asked.
    async fn asked(&self) -> Asked {
        let [one, other] = &self.0;
        tokio::select! {
            asked = one.asked() => asked,
            asked = other.asked() => asked,
        }
    }

    fn is_asked_more(&self) -> bool {
        self.0.iter().any(BareInstance::is_asked_more)
    }
}

#[tokio::test]
async fn a_handshake_or_a_reading_request_that_was_lost_goes_to_another_instance() {
    let (instances, nginx) = Two::start().await;
    for target in [HANDSHAKE, "/api/v1/me"] {
        let answering = async {
            drop(instances.asked().await);
            instances.asked().await.answer(200, "other").await;
        };
        let (answer, ()) = tokio::join!(nginx.get(target), answering);
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "other"));
    }
}

#[tokio::test]
async fn a_request_that_changes_something_is_sent_once() {
    let (instances, nginx) = Two::start().await;
    let path = "/api/v1/rooms";
    let asking = request(nginx.http, Method::POST, path, &[], "{}");
    let losing = async { drop(instances.asked().await) };
    let (answer, ()) = tokio::join!(asking, losing);
    assert_eq!(problem(&answer).code, ErrorCode::Unavailable);
    assert!(!instances.is_asked_more());
}

#[tokio::test]
async fn an_instance_without_room_sends_handshakes_on_and_what_the_api_says_stands() {
    let (instances, nginx) = Two::start().await;
    let answering = async {
        instances.asked().await.answer(503, "full").await;
        instances.asked().await.answer(200, "other").await;
    };
    let (answer, ()) = tokio::join!(nginx.get(HANDSHAKE), answering);
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "other"));

    // Every instance would say so of a dependency that is away; it doesn't make them failed ones either.
    for _ in 0..5 {
        let answering = async { instances.asked().await.answer(503, "away").await };
        let (answer, ()) = tokio::join!(nginx.get("/api/v1/me"), answering);
        assert_eq!((answer.status.as_u16(), answer.text()), (503, "away"));
        assert!(!instances.is_asked_more());
    }
}

#[tokio::test]
async fn a_request_that_could_not_be_sent_goes_to_another_instance() {
    let gone = Port::reserve();
    let gateway = TestGateway::start(Config::default()).await;
    let nginx = Nginx::start(&[gone.address, gateway.address]).await;
    let polling = Polling::open(nginx.http).await;
    polling.send("40").await;
    for _ in 0..10 {
        polling.send("42[\"echo\"]").await;
        Polling::open(nginx.http).await;
        // The gateway's own answer to what it doesn't know.
        let answer = request(nginx.http, Method::POST, "/api/v1/rooms", &[], "{}").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_drains_gets_no_handshakes_and_nobody_is_turned_away() {
    let draining = TestGateway::start(Config::default()).await;
    let other = TestGateway::start(Config::default()).await;
    let nginx = Nginx::start(&[draining.address, other.address]).await;
    let nobody = std::time::Duration::ZERO;
    draining.gateway.drain(nobody, |_, _| None).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(WebSocket::open(nginx.http).await);
        Polling::open(nginx.http).await;
    }
    assert_eq!(other.gateway.connections(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_an_instance_is_noticed_by_its_own_clients_only() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let dying = ServerProcess::start(directories[0].path(), &[]).await;
    let living = ServerProcess::start(directories[1].path(), &[]).await;
    let nginx = Nginx::start(&[dying.address(), living.address()]).await;
    // Of four, `least_conn` gives two to each.
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(WebSocket::open(nginx.http).await);
    }
    dying.kill().await;
    let mut ended = 0;
    for socket in &mut sockets {
        // An answer to somebody without a token.
        let answered = socket
            .try_write(&crate::client::websocket::text("40"))
            .await;
        match socket.next().await {
            Incoming::Text(answer) if answered.is_ok() => {
                assert!(answer.starts_with("44"), "{answer}")
            }
            Incoming::End => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ended, 2);
    for _ in 0..20 {
        WebSocket::open(nginx.http).await;
        assert_eq!(nginx.get("/health/live").await.status, StatusCode::OK);
    }
    living.kill().await;
    for target in [HANDSHAKE, "/health/live", "/"] {
        let answer = nginx.get(target).await;
        assert_eq!(problem(&answer).code, ErrorCode::Unavailable, "{target}");
    }
}

#[tokio::test]
async fn an_instance_that_comes_back_is_used_again() {
    let away = Port::reserve();
    let gateway = TestGateway::start(Config::default()).await;
    let nginx = Nginx::start(&[away.address, gateway.address]).await;
    // More than what it takes to be left out.
    for _ in 0..5 {
        Polling::open(nginx.http).await;
    }
    let back = BareInstance::listen(away.listen());
    let asking = async {
        loop {
            within("an answer", nginx.get("/health")).await;
        }
    };
    let asked = tokio::select! {
        asked = back.asked() => asked,
        () = asking => unreachable!(),
    };
    assert!(asked.head.starts_with("GET /health "));
}

#[tokio::test]
async fn what_instances_keep_for_themselves_isn_t_to_be_had() {
    // Were it the wrong port, nothing would be answered but by nginx.
    let instance = BareInstance::start().await;
    let nginx = Nginx::start(&[instance.address]).await;
    for path in [
        "/metrics",
        "/metrics/",
        "/internal",
        "/internal/tunnel",
        "//metrics",
        "/x/../metrics",
        "/%6detrics",
    ] {
        let answer = nginx.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(!instance.is_asked_more());
}
