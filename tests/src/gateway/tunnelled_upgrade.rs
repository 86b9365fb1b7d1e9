//! Upgrades that reach another instance than the one their connection belongs to, and the WebSockets that come of them.

use std::{net::SocketAddr, time::Duration};

use ::http::StatusCode;
use gateway::{CloseReason, Config, Frame};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    fleet::{Instance, fleet, linked},
    test_gateway::TestGateway,
};
use crate::{
    client::{
        polling::Polling,
        websocket::{self, CLOSE, Incoming, WebSocket, frame, text},
    },
    deadline::{becomes, within},
};

fn query(polling: &Polling) -> String {
    format!("EIO=4&transport=websocket&sid={}", polling.sid)
}

async fn upgrading(address: SocketAddr, polling: &Polling) -> WebSocket {
    WebSocket::handshake(address, &query(polling))
        .await
        .unwrap()
}

/// Goes over from polling to `socket`; the polls end at `polls`.
async fn finish(mut socket: WebSocket, polling: &Polling, polls: SocketAddr) -> WebSocket {
    let poll = {
        let polling = polling.through(polls);
        tokio::spawn(async move { while polling.receive().await.last().unwrap() != "6" {} })
    };
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    within("the end of the poll", poll).await.unwrap();
    socket.send("5").await;
    socket
}

/// A connection of `owner`, upgraded through another instance.
async fn tunnelled(owner: &TestGateway, through: &TestGateway) -> WebSocket {
    let polling = owner.polling().await;
    let socket = upgrading(through.address, &polling).await;
    finish(socket, &polling, owner.address).await
}

async fn echoes(socket: &mut WebSocket) {
    socket.send(r#"421["echo",1]"#).await;
    assert_eq!(socket.text().await, "431[1]");
}

fn tunnels(instance: &Instance) -> usize {
    instance.gateway.tunnels()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_go_both_ways_large_and_many_and_in_order() {
    let [owner, second, third] = fleet(Config {
        event_burst: 10_000,
        ..Config::default()
    })
    .await;
    let polling = owner.polling().await;
    let socket = upgrading(second.address, &polling).await;
    let mut socket = finish(socket, &polling, third.address).await;
    assert_eq!((tunnels(&second), tunnels(&third)), (1, 0));
    assert_eq!(second.hub.stats().tunnelled_upgrades(), 1);
    assert_eq!(owner.gateway.connections(), 1);

    socket.send(r#"421["address"]"#).await;
    assert_eq!(socket.text().await, r#"431[["127.0.0.1","127.0.0.1"]]"#);
    // Just below maxPayload.
    let large = "x".repeat(999_980);
    socket.send(&format!("421[\"echo\",\"{large}\"]")).await;
    assert!(socket.text().await == format!("431[\"{large}\"]"));
    socket.send(r#"42["bytes",999000]"#).await;
    let announced = socket.text().await;
    assert!(announced.starts_with(r#"451-["bytes","#), "{announced}");
    assert_eq!(socket.next().await, Incoming::Binary(vec![7; 999_000]));

    // What the client sends while it reads.
    let count = 5_000;
    let mut writer = socket.writer();
    let writing = tokio::spawn(async move {
        for n in 0..count {
            let event = text(&format!("42[\"echo\",{n}]"));
            writer.write_all(&event).await.unwrap();
        }
    });
    for n in 0..count {
        assert_eq!(socket.text().await, format!("42[\"echo\",{n}]"));
    }
    within("all is written", writing).await.unwrap();
    // What is published to it.
    socket.send(r#"421["join","room"]"#).await;
    assert_eq!(socket.text().await, r#"431[{"Ok":true}]"#);
    for n in 0..count {
        let event = Frame::event("/", "n", &n).unwrap();
        owner.hub.publish("room", &event);
        if n % 100 == 99 {
            for n in n - 99..=n {
                assert_eq!(socket.text().await, format!("42[\"n\",{n}]"));
            }
        }
    }
    // The sid belongs to the WebSocket, wherever one asks.
    for through in [&owner, &second, &third] {
        let polling = polling.through(through.address);
        assert_eq!(polling.get().await.status, StatusCode::BAD_REQUEST);
        assert_eq!(
            upgrading(through.address, &polling).await.closed().await.0,
            1002
        );
    }
    echoes(&mut socket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_packets_flow() {
    let [owner, second, third] = fleet(Config::default()).await;
    for round in 0..10 {
        let polling = owner.polling().await;
        polling.send(r#"42["join","room"]"#).await;
        let hub = owner.hub.clone();
        let last = 50 + round;
        let publisher = tokio::spawn(async move {
            for number in 0..=last {
                hub.publish("room", &Frame::event("/", "n", &number).unwrap());
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
        let polls = polling.through(third.address);
        let poll = tokio::spawn(async move {
            let mut received = Vec::new();
            while received.last().map(String::as_str) != Some("6") {
                received.extend(polls.receive().await);
            }
            received
        });
        let mut socket = upgrading(second.address, &polling).await;
        socket.send("2probe").await;
        assert_eq!(socket.text().await, "3probe");
        let mut received = within("the end of the poll", poll).await.unwrap();
        received.pop();
        socket
            .write(&[text("5"), text(r#"421["echo","over"]"#)].concat())
            .await;
        let mut over = 0;
        while received.len() <= last || over == 0 {
            let packet = socket.text().await;
            if packet == r#"431["over"]"# {
                over += 1;
            } else {
                received.push(packet);
            }
        }
        let expected: Vec<_> = (0..=last).map(|n| format!("42[\"n\",{n}]")).collect();
        assert_eq!(received, expected, "round {round}");
        publisher.await.unwrap();
        socket.send("1").await;
        socket.ended().await;
    }
    becomes("all have ended", (0, 0), || {
        (owner.gateway.connections(), tunnels(&second))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_may_close() {
    let [owner, other] = fleet(Config::default()).await;
    let ended = |reason: CloseReason| owner.closed(reason);

    let mut socket = tunnelled(&owner, &other).await;
    socket.send(r#"42["close-me"]"#).await;
    assert_eq!(socket.closed().await, (1013, "try again later".into()));
    drop(socket);
    becomes("the end", 0, || tunnels(&other)).await;

    let mut socket = tunnelled(&owner, &other).await;
    socket
        .write(&frame(CLOSE, true, &1000u16.to_be_bytes()))
        .await;
    assert_eq!(socket.closed().await.0, 1000);
    drop(socket);
    becomes("the end", (0, 1), || {
        (tunnels(&other), ended(CloseReason::Client))
    })
    .await;

    // Without a word.
    drop(tunnelled(&owner, &other).await);
    becomes("the end", (0, 1), || {
        (tunnels(&other), ended(CloseReason::TransportError))
    })
    .await;

    // A client that breaks the protocol is told why.
    let mut socket = tunnelled(&owner, &other).await;
    socket.write(&[0xff; 20]).await;
    assert_eq!(socket.closed().await.0, 1002);
    drop(socket);

    // A client that doesn't close in its turn is not waited for.
    let mut socket = tunnelled(&owner, &other).await;
    socket.send(r#"42["close-me"]"#).await;
    assert_eq!(socket.closed().await.0, 1013);
    becomes("the end", (0, 0), || {
        (tunnels(&other), owner.gateway.connections())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_leaves_the_client_polling() {
    let [owner, other] = fleet(Config {
        handshake_timeout: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    let polling = owner.polling().await;
    let mut silent = upgrading(other.address, &polling).await;
    assert_eq!(silent.next().await, Incoming::End);
    let mut wrong = upgrading(other.address, &polling).await;
    wrong.send("2").await;
    assert_eq!(wrong.next().await, Incoming::End);
    // A second one closes only itself.
    let first = upgrading(other.address, &polling).await;
    upgrading(other.address, &polling).await.closed().await;
    upgrading(owner.address, &polling).await.closed().await;
    drop(first);
    // One that is none is refused where it comes in.
    for (missing, query) in [
        ("Upgrade: websocket\r\n", query(&polling)),
        ("", query(&polling).replace("EIO=4", "EIO=3")),
        ("Sec-WebSocket-Version: 13\r\n", query(&polling)),
    ] {
        let head = websocket::request(&query).replace(missing, "");
        let mut stream = TcpStream::connect(other.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let refused = WebSocket::accepted(stream).await.err().unwrap();
        assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    }
    assert_eq!(other.hub.stats().tunnelled_upgrades(), 4);
    // The owner can't be reached, doesn't answer, or doesn't know it.
    let link = linked(&owner, &[&other]).await;
    link.silence();
    let refused = WebSocket::handshake(other.address, &query(&polling)).await;
    assert!(refused.err().unwrap().1.contains(r#""code":1"#));
    link.cut().await;
    let refused = WebSocket::handshake(other.address, &query(&polling)).await;
    assert!(refused.err().unwrap().1.contains(r#""code":1"#));
    assert_eq!(other.hub.stats().failed_tunnels(), 2);
    other.knows(&[(owner.id(), owner.internal)]);
    let unknown = query(&polling).replace(&polling.sid[4..], "AAAAAAAAAAAA");
    let refused = WebSocket::handshake(other.address, &unknown).await;
    assert!(refused.err().unwrap().1.contains(r#""code":1"#));
    assert_eq!(other.hub.stats().failed_tunnels(), 2);
    becomes("none is left", 0, || tunnels(&other)).await;
    // The client has been polling all the while, and may try again.
    polling.send(r#"421["echo",1]"#).await;
    assert_eq!(polling.receive().await, ["431[1]"]);
    let socket = upgrading(other.address, &polling).await;
    echoes(&mut finish(socket, &polling, other.address).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_ends_when_its_owner_dies() {
    let [owner, other, another] = fleet(Config::default()).await;
    let link = linked(&owner, &[&other, &another]).await;
    let mut killed = tunnelled(&owner, &other).await;
    let mut lost = tunnelled(&owner, &another).await;
    echoes(&mut killed).await;
    echoes(&mut lost).await;
    link.silence();
    another.knows(&[]);
    assert_eq!(lost.next().await, Incoming::End);
    assert_eq!((tunnels(&another), tunnels(&other)), (0, 1));
    link.cut().await;
    assert_eq!(killed.next().await, Incoming::End);
    becomes("the end", 0, || tunnels(&other)).await;
    // The owner was lost to the others, not to itself.
    becomes("the end", 2, || owner.closed(CloseReason::TransportError)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_one_ends_with_the_patience_for_a_ping() {
    let [owner, other] = fleet(Config {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let link = linked(&owner, &[&other]).await;
    let mut socket = tunnelled(&owner, &other).await;
    echoes(&mut socket).await;
    link.silence();
    socket.ended().await;
    assert_eq!(tunnels(&other), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_instance_between_may_shut_down() {
    let [mut owner, mut middle] = fleet(Config::default()).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(tunnelled(&owner, &middle).await);
    }
    let polling = owner.polling().await;
    let no_notice = |_: &str, _: Duration| -> Option<Frame> { None };
    let window = Duration::from_millis(100);
    within("the drain", middle.gateway.drain(window, no_notice)).await;
    assert_eq!(tunnels(&middle), 0);
    for mut socket in sockets {
        socket.ended().await;
    }
    becomes("their ends", 20, || {
        owner.closed(CloseReason::TransportError)
    })
    .await;
    // No new ones; the client goes on polling and tries again elsewhere.
    let refused = WebSocket::handshake(middle.address, &query(&polling)).await;
    assert_eq!(refused.err().unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    within("the end of the listeners", middle.stop_listening()).await;

    // And so may the owner: its clients are told, through the tunnel too.
    let [middle] = fleet(Config::default()).await;
    middle.knows(&[(owner.id(), owner.internal)]);
    let mut socket = tunnelled(&owner, &middle).await;
    echoes(&mut socket).await;
    let notice = |namespace: &str, _: Duration| Frame::event(namespace, "draining", &1).ok();
    within("the drain", owner.gateway.drain(window, notice)).await;
    assert_eq!(socket.text().await, r#"42["draining",1]"#);
    assert_eq!(socket.closed().await.0, 1001);
    within("the end of the listeners", owner.stop_listening()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_counts_among_the_connections_of_the_instance_between() {
    let [owner, middle] = fleet(Config {
        max_connections: 2,
        ..Config::default()
    })
    .await;
    let mut socket = tunnelled(&owner, &middle).await;
    let _own = middle.websocket().await;
    let polling = owner.polling().await;
    let refused = WebSocket::handshake(middle.address, &query(&polling)).await;
    assert_eq!(refused.err().unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    let refused = WebSocket::handshake(middle.address, "EIO=4&transport=websocket").await;
    assert_eq!(refused.err().unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    // Polling takes no place there.
    let through = polling.through(middle.address);
    through.send(r#"421["echo",1]"#).await;
    assert_eq!(through.receive().await, ["431[1]"]);
    socket.send("1").await;
    socket.ended().await;
    drop(socket);
    becomes("a place is free", 0, || tunnels(&middle)).await;
    let socket = upgrading(middle.address, &polling).await;
    echoes(&mut finish(socket, &polling, middle.address).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_may_follow_other_requests_and_be_followed_by_frames_at_once() {
    let [owner, other] = fleet(Config::default()).await;
    // Behind a request on the same connection, as proxies do it.
    let polling = owner.polling().await;
    let mut stream = TcpStream::connect(other.address).await.unwrap();
    let poll = format!(
        "GET /socket.io/?EIO=4&transport=polling&sid={}x HTTP/1.1\r\nhost: a\r\n\r\n",
        polling.sid
    );
    stream.write_all(poll.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"unknown\"}") {
        let read = within("an answer", stream.read_buf(&mut answer)).await;
        assert_ne!(read.unwrap(), 0);
    }
    let upgrade = websocket::request(&query(&polling));
    let bytes = [upgrade.as_bytes(), &text("2probe")].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut socket = WebSocket::accepted(stream).await.unwrap();
    assert_eq!(socket.text().await, "3probe");
    socket
        .write(&[text("5"), text(r#"421["echo",1]"#)].concat())
        .await;
    assert_eq!(socket.text().await, "431[1]");

    // Or the first, with frames in the same segment.
    let polling = owner.polling().await;
    let mut stream = TcpStream::connect(other.address).await.unwrap();
    let upgrade = websocket::request(&query(&polling));
    let bytes = [upgrade.as_bytes(), &text("2probe")].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut socket = WebSocket::accepted(stream).await.unwrap();
    assert_eq!(socket.text().await, "3probe");
    socket.send("5").await;
    echoes(&mut socket).await;
    assert_eq!(tunnels(&other), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_too_slowly_falls_behind_as_anybody() {
    let [owner, other] = fleet(Config {
        max_queue: 64 * 1024,
        ..Config::default()
    })
    .await;
    let polling = owner.polling().await;
    let narrow = TcpSocket::new_v4().unwrap();
    narrow.set_recv_buffer_size(4096).unwrap();
    let mut stream = narrow.connect(other.address).await.unwrap();
    let upgrade = websocket::request(&query(&polling));
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let socket = WebSocket::accepted(stream).await.unwrap();
    let mut socket = finish(socket, &polling, owner.address).await;
    socket.send(r#"421["join","room"]"#).await;
    assert_eq!(socket.text().await, r#"431[{"Ok":true}]"#);
    let filler = "x".repeat(1000);
    let mut published = 0;
    while owner.hub.stats().lagged() == 0 {
        for _ in 0..16 {
            let event = json!({ "n": published, "filler": filler });
            let event = Frame::event("/", "n", &event).unwrap();
            owner.hub.publish("room", &event);
            published += 1;
        }
        // Kernels hold some megabytes for the two connections.
        assert!(published < 100_000, "the tunnel seems to take everything");
        tokio::time::sleep(Duration::from_micros(50)).await;
    }
    let mut expected = 0;
    loop {
        let packet = socket.text().await;
        if packet == r#"42["lagged","room"]"# {
            break;
        }
        assert!(
            packet.starts_with(&format!(
                "42[\"n\",{{\"filler\":\"{filler}\",\"n\":{expected}}}"
            )),
            "{packet}"
        );
        expected += 1;
    }
    echoes(&mut socket).await;
}
