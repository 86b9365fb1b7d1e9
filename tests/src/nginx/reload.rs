//! A new configuration while clients are connected.

use gateway::Config;

use super::{bare_instance::BareInstance, proxy::Nginx};
use crate::{
    client::websocket::{Incoming, WebSocket},
    deadline::within,
    gateway::test_gateway::TestGateway,
};

/// Waits until new connections are `to`'s.
async fn moved(nginx: &Nginx, to: &TestGateway) {
    within("a worker with the new configuration", async {
        while to.gateway.connections() == 0 {
            // Any handshake; one that reaches an old worker may find its instance gone.
            nginx.get("/socket.io/?EIO=4&transport=polling").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_is_connected_notices() {
    let old = TestGateway::start(Config::default()).await;
    let new = TestGateway::start(Config::default()).await;
    let nginx = Nginx::start(&[old.address]).await;
    let mut socket = WebSocket::open(nginx.http).await;
    socket.send("40").await;
    assert!(socket.text().await.starts_with("40"));
    assert!(socket.text().await.starts_with("42[\"welcome\""));
    nginx.reload(&[new.address]);
    moved(&nginx, &new).await;
    for number in 0..100 {
        socket.send(&format!("42[\"echo\",{number}]")).await;
        assert_eq!(socket.text().await, format!("42[\"echo\",{number}]"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_waits_is_answered() {
    let old = BareInstance::start().await;
    let new = TestGateway::start(Config::default()).await;
    let nginx = Nginx::start(&[old.address]).await;
    let poll = nginx.get("/socket.io/?EIO=4&transport=polling&sid=x");
    let reloading = async {
        let asked = old.asked().await;
        nginx.reload(&[new.address]);
        let refusing = async {
            loop {
                old.asked().await.answer(503, "").await;
            }
        };
        tokio::select! {
            () = moved(&nginx, &new) => {}
            () = refusing => unreachable!(),
        }
        asked.answer(200, "news").await;
    };
    let (answer, ()) = tokio::join!(poll, reloading);
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "news"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_the_old_configuration_end_some_day() {
    let old = TestGateway::start(Config::default()).await;
    let new = TestGateway::start(Config::default()).await;
    let sooner = (
        "nginx.conf",
        "worker_shutdown_timeout 1h;",
        "worker_shutdown_timeout 1s;",
    );
    let nginx = Nginx::start_with(&[old.address], &[sooner]).await;
    let mut socket = WebSocket::open(nginx.http).await;
    nginx.reload(&[new.address]);
    moved(&nginx, &new).await;
    assert_eq!(socket.next().await, Incoming::End);
}
