//! Bounds of bytes and of connections, over all clients: who goes past them pays, and whoever else comes gets in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::http::{Method, StatusCode};
use gateway::{CloseReason, Config};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use super::test_gateway::{BODY, TestGateway};
use crate::{
    client::{
        http::request,
        polling::{Polling, SEPARATOR},
        websocket::{self, BINARY, TEXT, WebSocket, frame, text},
    },
    deadline::{becomes, within},
};

/// A text frame of so many bytes without its last one.
fn unfinished(length: usize) -> Vec<u8> {
    let mut bytes = text(&"4".repeat(length));
    bytes.pop();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_is_small() {
    let gateway = TestGateway::start(Config::default()).await;
    let mut socket = WebSocket::open(gateway.address).await;
    socket.write(&unfinished(64 * 1024 + 1)).await;
    assert_eq!(socket.closed().await.0, 1009);
    let mut socket = WebSocket::open(gateway.address).await;
    socket.send(r#"452-["echo",1]"#).await;
    socket.send_binary(&[0; 60_000]).await;
    socket.send_binary(&[0; 60_000]).await;
    assert_eq!(socket.closed().await.0, 1009);
    let polling = Polling::open(gateway.address).await;
    assert_eq!(polling.post("4".repeat(64 * 1024 + 1)).await.status, 413);
    becomes("all have ended", 3, || {
        gateway.closed(CloseReason::TooLarge)
    })
    .await;
    // A large auth has room, and what comes behind it the rest.
    let mut socket = WebSocket::open(gateway.address).await;
    let auth = json!({ "token": "x".repeat(60_000) });
    socket.send(&format!("40{auth}")).await;
    assert!(socket.text().await.starts_with("40{"));
    assert!(socket.text().await.starts_with(r#"42["welcome","#));
    let large = "x".repeat(900_000);
    socket.send(&format!("421[\"echo\",\"{large}\"]")).await;
    assert_eq!(socket.text().await, format!("431[\"{large}\"]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_messages_are_bounded_together() {
    /// For one network a quarter of that.
    const MAX: usize = 4 << 20;
    let gateway = TestGateway::start(Config {
        max_first_input: MAX,
        max_input: MAX,
        ..Config::default()
    })
    .await;
    let held = || gateway.gateway.unfinished_input();
    let ended = || gateway.hub.stats().refused_input();

    // Strangers.
    let mut strangers = Vec::new();
    while ended() == 0 {
        assert!(strangers.len() < 100, "{} bytes are held", held());
        let mut socket = WebSocket::open(gateway.address).await;
        socket.write(&unfinished(60_000)).await;
        strangers.push(socket);
        let count = strangers.len();
        becomes("it is held, or not", true, || {
            held() >= count * 48 * 1024 || ended() > 0
        })
        .await;
    }
    assert!(strangers.len() > 10 && held() <= MAX / 4);
    assert_eq!(strangers.pop().unwrap().closed().await.0, 1013);
    // Those who are known have their own, fragments and attachments included.
    let mut known = Vec::new();
    for number in 0.. {
        assert!(number < 20, "{} bytes are held", held());
        let mut socket = gateway.websocket().await;
        let before = (held(), ended());
        match number % 3 {
            0 => socket.write(&unfinished(300_000)).await,
            1 => socket.write(&frame(TEXT, false, &[b'4'; 300_000])).await,
            _ => {
                socket.send(r#"452-["echo",1]"#).await;
                socket.write(&frame(BINARY, true, &[0; 300_000])).await;
            }
        }
        becomes("it is held, or not", true, || {
            held() >= before.0 + 256 * 1024 || ended() > before.1
        })
        .await;
        known.push(socket);
        if ended() > before.1 {
            break;
        }
    }
    assert!(known.len() > 2 && held() <= MAX / 2);
    assert_eq!(known.pop().unwrap().closed().await.0, 1013);
    // A client like any other notices nothing.
    let mut other = gateway.websocket().await;
    other.send(r#"421["echo",1]"#).await;
    assert_eq!(other.text().await, "431[1]");
    // Whoever finishes, or goes, makes room.
    drop((strangers, known));
    becomes("all is given back", 0, held).await;
    let large = "x".repeat(900_000);
    other.send(&format!("421[\"echo\",\"{large}\"]")).await;
    assert_eq!(other.text().await, format!("431[\"{large}\"]"));
    becomes("all is given back", 0, held).await;
}

/// A head that announces a body, and a little of it.
fn slow_post(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nslow")
}

async fn connected(gateway: &TestGateway, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    // It may be refused already.
    stream.write_all(bytes.as_bytes()).await.ok();
    stream
}

async fn said(mut stream: TcpStream) -> String {
    let mut said = String::new();
    within("the end of a connection", stream.read_to_string(&mut said))
        .await
        .ok();
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fills_the_places_keeps_nobody_out() {
    let gateway = TestGateway::start(Config {
        max_http_connections: 64,
        max_http_connections_of_network: 100,
        handshake_timeout: Duration::from_secs(300),
        urgent_paths: vec!["/socket.io/x".into()],
        ..Config::default()
    })
    .await;
    let polling = Polling::open(gateway.address).await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid);
    let mut filling = vec![connected(&gateway, &slow_post(&target)).await];
    for _ in 0..63 {
        filling.push(connected(&gateway, "GET / HTTP/1.1\r\n").await);
    }
    let ordinary = "/socket.io/?EIO=4&transport=polling";
    becomes_status(&gateway, ordinary, StatusCode::SERVICE_UNAVAILABLE).await;
    // A handshake, and what is urgent.
    let mut socket = gateway.websocket().await;
    socket.send(r#"421["echo",1]"#).await;
    assert_eq!(socket.text().await, "431[1]");
    let urgent = "GET /socket.io/x?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answered = said(connected(&gateway, urgent).await).await;
    assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    // Also while those to spare are taken by somebody who asks for nothing: not for long.
    for _ in 0..8 {
        filling.push(connected(&gateway, "").await);
    }
    within("a place to spare", async {
        while !gets_in(&gateway).await {}
    })
    .await;
    drop(filling);
    becomes_status(&gateway, ordinary, StatusCode::OK).await;
}

/// Asks until the answer has this status; who is refused before its request is read may not even hear of it.
async fn becomes_status(gateway: &TestGateway, target: &str, status: StatusCode) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let expected = format!("HTTP/1.1 {} ", status.as_str());
    within("another status", async {
        while !said(connected(gateway, &request).await)
            .await
            .starts_with(&expected)
        {}
    })
    .await;
}

/// Whether a WebSocket handshake is accepted.
async fn gets_in(gateway: &TestGateway) -> bool {
    let handshake = websocket::request("EIO=4&transport=websocket");
    let mut stream = connected(gateway, &handshake).await;
    let mut answer = [0; 12];
    let read = within("an answer", stream.read_exact(&mut answer)).await;
    read.is_ok() && answer == *b"HTTP/1.1 101"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_network_has_a_share_of_the_places() {
    let gateway = TestGateway::start(Config {
        max_http_connections: 100,
        max_http_connections_of_network: 3,
        handshake_timeout: Duration::from_secs(300),
        ..Config::default()
    })
    .await;
    let mut filling = Vec::new();
    for _ in 0..3 {
        filling.push(connected(&gateway, "GET / HTTP/1.1\r\n").await);
    }
    let refused = said(connected(&gateway, "").await).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    // Another network.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(gateway.address).await.unwrap();
    let handshake = websocket::request("EIO=4&transport=websocket");
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let mut socket = WebSocket::accepted(stream).await.unwrap();
    assert!(socket.text().await.starts_with("0{"));
    // Who goes makes room.
    filling.pop();
    becomes_status(
        &gateway,
        "/socket.io/?EIO=4&transport=polling",
        StatusCode::OK,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_network_has_a_share_of_the_connections() {
    let gateway = TestGateway::start(Config {
        max_connections: 100,
        max_connections_of_network: 2,
        ..Config::default()
    })
    .await;
    let first = WebSocket::open(gateway.address).await;
    let _second = Polling::open(gateway.address).await;
    assert!(!gets_in(&gateway).await);
    becomes_status(
        &gateway,
        "/socket.io/?EIO=4&transport=polling",
        StatusCode::SERVICE_UNAVAILABLE,
    )
    .await;
    // Another network.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let stream = socket.connect(gateway.address).await.unwrap();
    WebSocket::open_on(stream).await;
    // Who goes makes room.
    drop(first);
    within("room for another", async {
        while !gets_in(&gateway).await {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_takes_ends_its_connection() {
    let gateway = TestGateway::start(Config {
        write_timeout: Duration::from_millis(200),
        handshake_timeout: Duration::from_secs(300),
        max_http_connections_of_network: 2,
        ..Config::default()
    })
    .await;
    let polling = gateway.polling().await;
    // More than both sockets take.
    polling.send(r#"421["text",20000000]"#).await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid);
    let poll = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let _unread = connected(&gateway, &poll).await;
    let _other = connected(&gateway, "GET / HTTP/1.1\r\n").await;
    becomes_status(
        &gateway,
        "/socket.io/?EIO=4&transport=polling",
        StatusCode::OK,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_ends_its_connection() {
    let gateway = TestGateway::start(Config {
        body_timeout: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    let said = said(connected(&gateway, &slow_post(BODY)).await).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert!(said.contains("connection: close\r\n"), "{said}");
    assert!(said.ends_with("the body came too slowly"), "{said}");
    let whole = request(gateway.address, Method::POST, BODY, &[], "whole").await;
    assert_eq!(whole.text(), "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_bodies_are_bounded_together() {
    let gateway = TestGateway::start(Config {
        max_bodies: 1 << 20,
        body_timeout: Duration::from_secs(300),
        ..Config::default()
    })
    .await;
    let head = format!("POST {BODY} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n");
    let part = format!("{head}{}", "x".repeat(60_000));
    let refused = Arc::new(AtomicUsize::new(0));
    let mut open = JoinSet::new();
    for _ in 0..10 {
        let (stream, refused) = (connected(&gateway, &part).await, refused.clone());
        open.spawn(async move {
            // What it says may be lost behind what it hasn't read.
            said(stream).await;
            refused.fetch_add(1, Ordering::Relaxed);
        });
    }
    // For one network a quarter of all.
    becomes("those beyond it are refused", true, || {
        refused.load(Ordering::Relaxed) >= 4
    })
    .await;
    assert!(refused.load(Ordering::Relaxed) <= 8);
    open.shutdown().await;
    within("room for others", async {
        let body = "x".repeat(100_000);
        while request(gateway.address, Method::POST, BODY, &[], body.clone())
            .await
            .text()
            != "100000"
        {}
    })
    .await;
}

/// Sends a thousand events of `length` bytes at once and takes their answers.
async fn burst(gateway: &TestGateway, length: usize) {
    let filler = "x".repeat(length);
    let mut socket = gateway.narrow_websocket().await;
    let mut writer = socket.writer();
    let writing = tokio::spawn(async move {
        for id in 0..1_000 {
            let event = text(&format!("42{id}[\"later\",\"{filler}\"]"));
            writer.write_all(&event).await.unwrap();
        }
    });
    for id in 0..1_000 {
        let answer = socket.text().await;
        assert!(answer.starts_with(&format!("43{id}[")), "{answer}");
    }
    writing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_whose_answers_come_later_is_taken_as_fast_as_they_are() {
    let gateway = TestGateway::start(Config {
        // A pong would get between the bytes of the burst.
        ping_interval: Duration::from_secs(300),
        ..Config::default()
    })
    .await;
    burst(&gateway, 32 * 1024).await;
    assert_eq!(gateway.closed(CloseReason::SlowConsumer), 0);
    assert_eq!(gateway.hub.stats().overloaded(), 0);

    let polling = gateway.polling().await;
    let filler = "x".repeat(32 * 1024);
    let sender = polling.clone();
    let sending = tokio::spawn(async move {
        for first in (0..1_000).step_by(25) {
            let events = (first..first + 25).map(|id| format!("42{id}[\"later\",\"{filler}\"]"));
            let payload: Vec<_> = events.collect();
            sender.send(&payload.join(&SEPARATOR.to_string())).await;
        }
    });
    let mut answers = Vec::new();
    while answers.len() < 1_000 {
        answers.extend(polling.receive().await.into_iter().filter(|p| p != "2"));
    }
    for (id, answer) in answers.iter().enumerate() {
        assert!(answer.starts_with(&format!("43{id}[")), "{answer}");
    }
    within("all is sent", sending).await.unwrap();
    assert_eq!(gateway.closed(CloseReason::SlowConsumer), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_slow_readers_is_bounded_together() {
    /// For one network a quarter of that.
    const MAX: usize = 16 << 20;
    let gateway = TestGateway::start(Config {
        max_queues: MAX,
        ..Config::default()
    })
    .await;
    let slow = || gateway.closed(CloseReason::SlowConsumer);
    let mut sockets = Vec::new();
    while slow() == 0 {
        assert!(
            sockets.len() < 40,
            "{} bytes are queued",
            gateway.gateway.queued()
        );
        let mut socket = gateway.narrow_websocket().await;
        // Each may have so much queued, and none takes it.
        socket.send(r#"421["text",4000000]"#).await;
        sockets.push(socket);
        let count = sockets.len();
        becomes("it is queued, or not", true, || {
            gateway.hub.stats().events() >= count as u64
        })
        .await;
        tokio::task::yield_now().await;
    }
    assert!(gateway.gateway.queued() <= MAX / 4);
    let totals = gateway.gateway.connection_totals();
    assert!(totals.queued_bytes >= gateway.gateway.queued());
    assert!(totals.with_queue > 0 && totals.queued_frames >= totals.with_queue);
    let budgets = gateway.gateway.byte_budgets();
    let queues = budgets.iter().find(|budget| budget.name == "queues");
    assert_eq!(queues.map(|budget| budget.max), Some(MAX));
    assert!(queues.is_some_and(|budget| budget.held > 0));
    // Who reads is served.
    let mut other = gateway.websocket().await;
    other.send(r#"421["text",4000000]"#).await;
    assert_eq!(other.text().await.len(), 4_000_000 + "431[\"\"]".len());
    drop(sockets);
    becomes("all is given back", 0, || gateway.gateway.queued()).await;
}
