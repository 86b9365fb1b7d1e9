//! Requests to the internal listener that no other instance has sent, or not like this.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::http::{Method, StatusCode};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use gateway::Config;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::fleet::{Instance, KEY, fleet};
use crate::client::{
    http::{Response, request},
    websocket::{self, WebSocket},
};

/// What an instance says of a request.
#[derive(Clone)]
struct Signed {
    address: String,
    time: String,
    signature: String,
}

impl Signed {
    fn new(key: &[u8], method: &str, target: &str, address: &str, at: SystemTime) -> Self {
        let time = at
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis()
            .to_string();
        let signed = format!("gateway tunnel 1\n{method}\n{target}\n{address}\n{time}");
        let mut mac: Hmac<Sha256> = Hmac::new_from_slice(key).unwrap();
        mac.update(signed.as_bytes());
        Self {
            address: address.into(),
            time,
            signature: BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()),
        }
    }

    fn now(method: &str, target: &str) -> Self {
        Self::new(&KEY, method, target, "203.0.113.9", SystemTime::now())
    }

    fn headers(&self) -> [(&str, &str); 3] {
        [
            ("gateway-address", &self.address),
            ("gateway-time", &self.time),
            ("gateway-signature", &self.signature),
        ]
    }

    async fn send(
        &self,
        address: SocketAddr,
        method: Method,
        target: &str,
        body: &str,
    ) -> Response {
        request(address, method, target, &self.headers(), body.to_owned()).await
    }
}

async fn polling_target(owner: &Instance) -> String {
    let polling = owner.polling().await;
    format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signature_lets_in_and_names_the_client() {
    let [owner] = fleet(Config::default()).await;
    let target = polling_target(&owner).await;
    let body = r#"421["echo",1]"#;
    let post = Signed::now("POST", &target);
    let answer = post.send(owner.internal, Method::POST, &target, body).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"));
    let get = Signed::now("GET", &target);
    let answer = get.send(owner.internal, Method::GET, &target, "").await;
    assert_eq!(answer.text(), "431[1]");
    // A connection keeps the address that it was opened from; one can't be opened here.
    let open = "/socket.io/?EIO=4&transport=polling";
    let answer = Signed::now("GET", open)
        .send(owner.internal, Method::GET, open, "")
        .await;
    assert!(answer.text().contains(r#""code":1"#), "{}", answer.text());
    // Nor is anything else to be had.
    let elsewhere = target.replace("/socket.io/", "/other/");
    let answer = Signed::now("GET", &elsewhere)
        .send(owner.internal, Method::GET, &elsewhere, "")
        .await;
    assert!(answer.text().contains(r#""code":1"#), "{}", answer.text());
    assert_eq!(owner.hub.stats().refused_tunnels(), 0);
    assert_eq!(owner.hub.stats().opened(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_else_is_refused_without_a_word() {
    let [owner] = fleet(Config::default()).await;
    let target = polling_target(&owner).await;
    let good = Signed::now("GET", &target);
    let at = |at: SystemTime| Signed::new(&KEY, "GET", &target, "203.0.113.9", at);
    let (now, late) = (SystemTime::now(), Duration::from_secs(121));
    let wrong = [
        // Replayed late, or from a clock that runs ahead.
        at(now - late),
        at(now + late),
        // Another key, method, target, address, time.
        Signed::new(&[1; 32], "GET", &target, "203.0.113.9", now),
        Signed::now("POST", &target),
        Signed::now("GET", "/socket.io/?EIO=4&transport=polling"),
        Signed {
            address: "203.0.113.8".into(),
            ..good.clone()
        },
        Signed {
            time: at(now + Duration::from_secs(1)).time,
            ..good.clone()
        },
        Signed {
            signature: "forged".into(),
            ..good.clone()
        },
        Signed {
            signature: String::new(),
            ..good.clone()
        },
        Signed::new(&KEY, "GET", &target, "nowhere", now),
        Signed::new(&KEY, "GET", &target, "", now),
    ];
    let count = wrong.len() as u64;
    for signed in wrong {
        let answer = signed.send(owner.internal, Method::GET, &target, "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.text(), "");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    let unsigned = request(owner.internal, Method::GET, &target, &[], "").await;
    assert_eq!(unsigned.status, StatusCode::UNAUTHORIZED);
    let nowhere = request(owner.internal, Method::GET, "/", &[], "").await;
    assert_eq!(nowhere.status, StatusCode::UNAUTHORIZED);
    assert_eq!(owner.hub.stats().refused_tunnels(), count + 2);
    // None of them reached the connection, and the headers mean nothing to the public listener.
    let post = Signed::now("POST", &target);
    post.send(owner.internal, Method::POST, &target, r#"421["echo",1]"#)
        .await;
    let public = at(now - late)
        .send(owner.address, Method::GET, &target, "")
        .await;
    assert_eq!(public.text(), "431[1]");
    assert_eq!(owner.gateway.connections(), 1);
}

/// A handshake with these headers; its status and body if it is refused.
async fn upgrade(
    address: SocketAddr,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<WebSocket, (StatusCode, String)> {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = websocket::request(query).replace("Host:", &format!("{headers}Host:"));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    WebSocket::accepted(stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_are_judged_alike() {
    let [owner] = fleet(Config::default()).await;
    let polling = owner.polling().await;
    let query = format!("EIO=4&transport=websocket&sid={}", polling.sid);
    let target = format!("/socket.io/?{query}");
    let late = SystemTime::now() - Duration::from_secs(121);
    for headers in [
        &[][..],
        &Signed::now("POST", &target).headers(),
        &Signed::new(&[1; 32], "GET", &target, "203.0.113.9", SystemTime::now()).headers(),
        &Signed::new(&KEY, "GET", &target, "203.0.113.9", late).headers(),
    ] {
        let refused = upgrade(owner.internal, &query, headers).await.err();
        assert_eq!(refused, Some((StatusCode::UNAUTHORIZED, String::new())));
    }
    assert_eq!(owner.hub.stats().refused_tunnels(), 4);
    // A new connection isn't opened from inside.
    let open = "EIO=4&transport=websocket";
    let signed = Signed::now("GET", &format!("/socket.io/?{open}"));
    let refused = upgrade(owner.internal, open, &signed.headers()).await.err();
    assert!(refused.unwrap().1.contains(r#""code":1"#));
    let signed = Signed::now("GET", &target);
    let mut socket = upgrade(owner.internal, &query, &signed.headers())
        .await
        .unwrap();
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    assert_eq!(owner.hub.stats().opened(), 1);
}
