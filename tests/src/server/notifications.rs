//! The namespace `/notifications`, and what it tells of cached values.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::test_app::{Person, TestApp};
use crate::{
    client::websocket::{Incoming, WebSocket},
    deadline::within,
};

const ME: &str = "/api/v1/me";

/// Somebody's connection to the namespace alone.
pub struct Notified(WebSocket);

impl Notified {
    async fn try_connect(app: &TestApp, auth: Value) -> Result<Self, Value> {
        let stream = TcpStream::connect(app.address()).await.unwrap();
        let mut socket = WebSocket::open_on(stream).await;
        socket.send(&format!("40/notifications,{auth}")).await;
        let answer = socket.text().await;
        if let Some(error) = answer.strip_prefix("44/notifications,") {
            return Err(serde_json::from_str(error).unwrap());
        }
        assert!(
            answer.starts_with(r#"40/notifications,{"sid":"#),
            "{answer}"
        );
        Ok(Self(socket))
    }

    pub async fn connect(app: &TestApp, person: &Person) -> Self {
        let auth = json!({ "token": person.access_token });
        Self::try_connect(app, auth).await.expect("a connection")
    }

    /// The next packet of the namespace, behind its name.
    async fn next(&mut self, kind: &str) -> String {
        let packet = within("a packet", self.0.text()).await;
        let rest = packet.strip_prefix(&format!("{kind}/notifications,"));
        rest.unwrap_or_else(|| panic!("{packet}")).to_owned()
    }

    async fn event(&mut self) -> (String, Value) {
        serde_json::from_str(&self.next("42").await).unwrap()
    }

    /// The payload of the next event of this name.
    pub async fn told(&mut self, name: &str) -> Value {
        loop {
            let (told, payload) = self.event().await;
            if told == name {
                return payload;
            }
        }
    }

    /// Sends an event and waits for its ack; events that come before it are lost.
    pub async fn ask(&mut self, event: &str, payload: Value) -> Value {
        let asked = format!("42/notifications,7{}", json!([event, payload]));
        self.0.send(&asked).await;
        loop {
            let packet = within("an ack", self.0.text()).await;
            if let Some(answer) = packet.strip_prefix("43/notifications,7") {
                let [answer]: [Value; 1] = serde_json::from_str(answer).unwrap();
                return answer;
            }
        }
    }

    /// The keys that are invalidated until this one is, itself included.
    async fn keys_until(&mut self, key: &str) -> Vec<String> {
        let mut keys = Vec::new();
        while keys.last().is_none_or(|last| last != key) {
            let (name, payload) = self.event().await;
            assert_eq!(name, "cache:invalidated");
            keys.push(payload["key"].as_str().unwrap().to_owned());
        }
        keys
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_of_what_others_see_and_of_nothing_else() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    // On one instance each.
    let mut sockets = [
        Notified::connect(&app, &ana).await,
        Notified::connect(&app, &bea).await,
    ];
    let path = format!("/api/v1/users/{}", bea.id);
    for _ in 0..4 {
        let seen = app.get(&path, Some(&ana)).await.expect(200);
        assert_eq!(seen["user"]["displayName"], "bea");
        assert_eq!(seen["user"].get("email"), None);
    }
    let email = json!({ "email": "ana@example.org", "currentPassword": "correct horse" });
    app.patch(ME, &ana, email).await.expect(200);
    let name = json!({ "displayName": "Bea" });
    app.patch(ME, &bea, name).await.expect(200);
    let key = format!("user:{}", bea.id);
    for socket in &mut sockets {
        assert_eq!(socket.keys_until(&key).await, std::slice::from_ref(&key));
    }
    // Whoever was told reads the new one, on whatever instance.
    for _ in 0..4 {
        let seen = app.get(&path, Some(&ana)).await.expect(200);
        assert_eq!(seen["user"]["displayName"], "Bea");
        let own = app.get(ME, Some(&ana)).await.expect(200);
        assert_eq!(own["user"]["email"], "ana@example.org");
    }
    app.delete(ME, &bea).await.expect(204);
    sockets[0].keys_until(&key).await;
    for _ in 0..4 {
        let gone = app.get(&path, Some(&ana)).await;
        assert_eq!(gone.code(), "not_found");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_for_those_who_are_signed_in_and_takes_no_events_of_chat() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    for auth in [json!({}), json!({ "token": "forged" })] {
        let refused = Notified::try_connect(&app, auth).await.err().unwrap();
        assert_eq!(refused["data"]["code"], "unauthenticated", "{refused}");
    }
    let mut socket = Notified::connect(&app, &ana).await;
    socket
        .0
        .send(r#"42/notifications,7["message:send",{}]"#)
        .await;
    let answer: Value = serde_json::from_str(
        socket
            .next("43")
            .await
            .strip_prefix('7')
            .expect("the ack's id"),
    )
    .unwrap();
    assert_eq!(answer[0]["error"]["code"], "invalid", "{answer}");
    // Its session ends it, also where it is the only namespace.
    app.post("/api/v1/auth/logout", Some(&ana), json!({}))
        .await
        .expect(204);
    assert_eq!(
        socket.event().await,
        ("session:revoked".to_owned(), json!({}))
    );
    assert_eq!(socket.next("41").await, "");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_connections_are_among_those_that_a_user_may_have() {
    let app = TestApp::start_with(&[("MAX_CONNECTIONS_PER_USER", "2")]).await;
    let ana = app.register("ana").await;
    let auth = json!({ "token": ana.access_token });
    let mut connected = Vec::new();
    loop {
        let mut socket = WebSocket::open(app.address()).await;
        socket.send(&format!("40/notifications,{auth}")).await;
        match within("an answer", socket.next()).await {
            Incoming::Close(code, _) => break assert_eq!(code, 1013),
            _ => connected.push(socket),
        }
        // It is counted once it is served.
        assert!(connected.len() < 50, "nothing is refused");
    }
    app.stop().await;
}
