//! What one user, one address or one kind of program may have at once.

use std::{net::SocketAddr, time::Duration};

use ::http::{HeaderMap, Method, StatusCode};
use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    api::Person,
    chat_client::ChatClient,
    metrics::counted,
    test_app::{TestApp, on_a_fleet},
};
use crate::{client::http::request, deadline::within};

const ME: &str = "/api/v1/me";

async fn ask_as(
    address: SocketAddr,
    path: &str,
    user_agent: &str,
    more: &[(&str, &str)],
) -> (StatusCode, HeaderMap) {
    let headers = [&[("user-agent", user_agent)], more].concat();
    let answer = request(address, Method::GET, path, &headers, "").await;
    (answer.status, answer.headers)
}

/// A request whose body stays away.
async fn unfinished(address: SocketAddr, source: [u8; 4], head: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let rest = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
    // The server may have refused it already.
    drop(
        stream
            .write_all(format!("{head}\r\n{rest}").as_bytes())
            .await,
    );
    stream
}

/// What the server says until it closes the connection.
async fn said(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    drop(within("the end of a connection", stream.read_to_end(&mut answer)).await);
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn automated_clients_are_refused_where_that_is_configured() {
    let rules = [
        ("BLOCKED_USER_AGENTS", "bot, Spider"),
        ("APPROVED_USER_AGENTS", "UptimeBot"),
    ];
    let app = TestApp::start_with(&rules).await;
    let status = async |path: &str, user_agent: &str| {
        let (status, _) = ask_as(app.address(), path, user_agent, &[]).await;
        status.as_u16()
    };
    for path in [ME, "/api/openapi.json", "/", "/assets/nothing.js"] {
        assert_eq!(
            status(path, "SomeBot/2.1 (+http://bot.example)").await,
            403,
            "{path}"
        );
        assert_eq!(status(path, "baiduspider").await, 403, "{path}");
        assert_ne!(status(path, "UptimeBot/1.0").await, 403, "{path}");
        assert_ne!(status(path, "Mozilla/5.0").await, 403, "{path}");
    }
    for path in ["/health", "/health/live", "/ready"] {
        assert_eq!(status(path, "SomeBot/2.1").await, 200);
    }
    // Who speaks Socket.IO needs a token all the same.
    let handshake = "/socket.io/?EIO=4&transport=polling";
    assert_eq!(status(handshake, "SomeBot/2.1").await, 200);
    app.stop().await;

    let app = TestApp::start().await;
    let (status, _) = ask_as(app.address(), ME, "SomeBot/2.1", &[]).await;
    assert_eq!(status, 401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_use_tls_only_where_a_trusted_proxy_says_that_they_do() {
    let name = "strict-transport-security";
    let said = async |app: &TestApp, path: &str, scheme: &str| {
        let more = [("x-forwarded-proto", scheme)];
        let (_, headers) = ask_as(app.address(), path, "Mozilla/5.0", &more).await;
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let seconds = ("HSTS_SECONDS", "31536000");
    let app = TestApp::start_with(&[seconds, ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    for path in [
        ME,
        "/",
        "/health",
        "/nothing",
        "/socket.io/?EIO=4&transport=polling",
    ] {
        let expected = Some("max-age=31536000".to_owned());
        assert_eq!(said(&app, path, "https").await, expected, "{path}");
        assert_eq!(said(&app, path, "http").await, None);
    }
    app.stop().await;
    for variables in [&[seconds][..], &[("TRUSTED_PROXIES", "127.0.0.1")]] {
        let app = TestApp::start_with(variables).await;
        assert_eq!(said(&app, ME, "https").await, None);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_connections() {
    let app = TestApp::start_with(&[("MAX_CONNECTIONS_PER_USER", "3")]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let instances = if on_a_fleet() { 2 } else { 1 };
    let mut connected = Vec::new();
    for _ in 0..3 * instances {
        let mut client = app.connect(&ana).await;
        // It is counted once it is served.
        client
            .emit("presence:get", json!({ "roomId": "none" }))
            .await;
        connected.push(client);
    }
    for _ in 0..instances {
        assert_eq!(refused(app.address(), &ana).await, Some(1013));
    }
    app.connect(&bea).await;
    drop(connected);
    within("room for another connection", async {
        while refused(app.address(), &ana).await.is_some() {}
    })
    .await;
    app.stop().await;
}

/// With which code a connection to the namespace is closed at once.
async fn refused(address: SocketAddr, person: &Person) -> Option<u16> {
    let auth = json!({ "token": person.access_token });
    let mut socket = crate::client::websocket::WebSocket::open(address).await;
    socket.send(&format!("40{auth}")).await;
    match socket.next().await {
        crate::client::websocket::Incoming::Close(code, _) => Some(code),
        crate::client::websocket::Incoming::Text(_) => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_and_an_address_have_so_many_unfinished_requests() {
    let bounds = [
        ("MAX_REQUESTS_PER_USER", "2"),
        ("MAX_REQUESTS_PER_ADDRESS", "2"),
    ];
    let app = TestApp::start_with(&bounds).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    // Each instance counts those that it serves.
    let address = app.address();
    let status = async |bearer: Option<&Person>| {
        let bearer = bearer.map(|person| format!("Bearer {}", person.access_token));
        let bearer = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let headers: Vec<_> = bearer.into_iter().collect();
        request(address, Method::GET, ME, &headers, "")
            .await
            .status
            .as_u16()
    };
    let of_ana = format!(
        "PATCH {ME} HTTP/1.1\r\nAuthorization: Bearer {}",
        ana.access_token
    );
    let of_a_stranger = "POST /api/v1/auth/guest HTTP/1.1";
    for (head, person, refused, others) in [
        (
            of_ana.as_str(),
            Some(&ana),
            429,
            [(Some(&bea), 200), (None, 401)],
        ),
        (
            of_a_stranger,
            None,
            429,
            [(Some(&bea), 200), (Some(&ana), 200)],
        ),
    ] {
        let mut begun = Vec::new();
        for _ in 0..2 {
            begun.push(unfinished(address, [127, 0, 0, 1], head).await);
        }
        // A request before both are counted could take the place of one.
        counted(&app, &[("tertulia_http_requests_unfinished", 2.0)]).await;
        assert_eq!(status(person).await, refused);
        for (other, expected) in others {
            assert_eq!(status(other).await, expected);
        }
        // What is given up makes room, however it ends.
        drop(begun.pop());
        within("room for a request", async {
            while status(person).await == refused {}
        })
        .await;
        let answer = said(begun.pop().unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_by_the_thousand_keep_no_newcomer_out() {
    const SLOW: usize = 1_500;
    let app = TestApp::start().await;
    let address = app.address();
    let head = "POST /api/v1/auth/guest HTTP/1.1";
    let slow = (0..SLOW).map(|_| unfinished(address, [127, 0, 0, 2], head));
    let slow = join_all(slow).await;
    // Somebody else comes in meanwhile, and does what people do.
    let ana = app.register("ana").await;
    let mut client = ChatClient::connect(address, json!({ "token": ana.access_token })).await;
    let room = client.create("public", "hall").await;
    client.say(&room, "hello").await;
    app.get(ME, Some(&ana)).await.expect(200);
    // All of them end by themselves, none with success.
    let answers = join_all(slow.into_iter().map(said)).await;
    let ended = |start: &str| {
        answers
            .iter()
            .filter(|answer| answer.starts_with(start))
            .count()
    };
    assert_eq!(ended("HTTP/1.1 2"), 0);
    assert!(ended("HTTP/1.1 503 ") >= 256, "{}", ended("HTTP/1.1 503 "));
    tokio::time::timeout(Duration::from_secs(30), client.say(&room, "goodbye"))
        .await
        .unwrap();
    app.stop().await;
}
