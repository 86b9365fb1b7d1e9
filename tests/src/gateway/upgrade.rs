//! From polling to WebSocket, while packets flow in both directions.

use std::time::Duration;

use ::http::StatusCode;
use gateway::{Config, Frame};

use super::test_gateway::TestGateway;
use crate::{
    client::{
        polling::Polling,
        websocket::{Incoming, WebSocket, text},
    },
    deadline::{becomes, within},
};

async fn upgrading(gateway: &TestGateway, polling: &Polling) -> WebSocket {
    let query = format!("EIO=4&transport=websocket&sid={}", polling.sid);
    WebSocket::handshake(gateway.address, &query).await.unwrap()
}

async fn probe(socket: &mut WebSocket) {
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_the_order_is_kept() {
    let gateway = TestGateway::start(Config::default()).await;
    for round in 0..20 {
        let polling = gateway.polling().await;
        polling.send(r#"42["join","room"]"#).await;
        let hub = gateway.hub.clone();
        // The upgrade finishes at another number in each round.
        let last = 50 + round;
        let publisher = tokio::spawn(async move {
            for number in 0..=last {
                hub.publish("room", &Frame::event("/", "n", &number).unwrap());
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
        let mut received = Vec::new();
        let poll = {
            let polling = polling.clone();
            // As clients do: one poll after the other until the upgrade is confirmed and the last poll has ended.
            async move {
                let mut received = Vec::new();
                while received.last().map(String::as_str) != Some("6") {
                    received.extend(polling.receive().await);
                }
                received
            }
        };
        let poll = tokio::spawn(poll);
        let mut socket = upgrading(&gateway, &polling).await;
        probe(&mut socket).await;
        received.extend(poll.await.unwrap());
        socket
            .write(&[text("5"), text(r#"421["echo","over"]"#)].concat())
            .await;
        publisher.await.unwrap();
        let end = format!("42[\"n\",{last}]");
        let mut over = 0;
        while !received.contains(&end) || over == 0 {
            let packet = socket.text().await;
            if packet == r#"431["over"]"# {
                over += 1;
            } else {
                received.push(packet);
            }
        }
        let expected: Vec<_> = (0..=last).map(|n| format!("42[\"n\",{n}]")).collect();
        received.retain(|packet| packet != "6");
        assert_eq!(received, expected, "round {round}");
        // The sid belongs to the WebSocket now.
        assert_eq!(polling.get().await.status, StatusCode::BAD_REQUEST);
        assert_eq!(polling.post("3").await.status, StatusCode::BAD_REQUEST);
        socket.send("41").await;
        socket.send("1").await;
        socket.ended().await;
    }
    becomes("all have ended", (0, 0), || {
        (gateway.gateway.connections(), gateway.hub.topics())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_the_client_keep_their_order() {
    let gateway = TestGateway::start(Config::default()).await;
    let polling = gateway.polling().await;
    let mut socket = upgrading(&gateway, &polling).await;
    polling.send(r#"42["echo",1]"#).await;
    probe(&mut socket).await;
    polling.send(r#"42["echo",2]"#).await;
    socket
        .write(&[text("5"), text(r#"42["echo",3]"#), text(r#"42["echo",4]"#)].concat())
        .await;
    for number in 1..=4 {
        assert_eq!(socket.text().await, format!("42[\"echo\",{number}]"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_never_finished_leaves_the_client_polling() {
    let gateway = TestGateway::start(Config {
        handshake_timeout: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    let polling = gateway.polling().await;
    let mut silent = upgrading(&gateway, &polling).await;
    assert_eq!(silent.next().await, Incoming::End);
    let mut probed = upgrading(&gateway, &polling).await;
    probe(&mut probed).await;
    assert_eq!(probed.next().await, Incoming::End);
    let mut wrong = upgrading(&gateway, &polling).await;
    wrong.send("2").await;
    assert_eq!(wrong.next().await, Incoming::End);
    polling.send(r#"421["echo",1]"#).await;
    assert_eq!(polling.receive().await, ["431[1]"]);
    // And may try again.
    let mut socket = upgrading(&gateway, &polling).await;
    probe(&mut socket).await;
    socket.send("5").await;
    socket.send(r#"421["echo",2]"#).await;
    assert_eq!(socket.text().await, "431[2]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_closes_only_itself() {
    let gateway = TestGateway::start(Config::default()).await;
    let polling = gateway.polling().await;
    let mut first = upgrading(&gateway, &polling).await;
    upgrading(&gateway, &polling).await.closed().await;
    probe(&mut first).await;
    upgrading(&gateway, &polling).await.closed().await;
    first.send("5").await;
    first.send(r#"421["echo",1]"#).await;
    assert_eq!(first.text().await, "431[1]");
    upgrading(&gateway, &polling).await.closed().await;
    first.send(r#"422["echo",2]"#).await;
    assert_eq!(first.text().await, "432[2]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_polls_on_meanwhile_does_not_spin() {
    let gateway = TestGateway::start(Config {
        handshake_timeout: Duration::from_secs(1),
        ..Config::default()
    })
    .await;
    let polling = gateway.polling().await;
    let mut socket = upgrading(&gateway, &polling).await;
    probe(&mut socket).await;
    // What there is to send doesn't wait.
    polling.send(r#"421["echo",1]"#).await;
    while polling.receive().await != ["431[1]"] {}
    let polls = async {
        let mut polls = 0;
        loop {
            assert_eq!(polling.receive().await, ["6"]);
            polls += 1;
            // Nothing comes of the upgrade: the server gives it up.
            if ended(&mut socket).await {
                return polls;
            }
        }
    };
    let polls = within("the end of the upgrade", polls).await;
    assert!(polls <= 12, "{polls} polls in a second");
}

/// Whether the server has ended the socket by now.
async fn ended(socket: &mut WebSocket) -> bool {
    let next = tokio::time::timeout(Duration::from_millis(1), socket.next()).await;
    matches!(next, Ok(Incoming::End))
}
