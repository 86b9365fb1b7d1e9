//! Push: devices of who is away are told once, and forgotten when their service doesn't know them.

mod service;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    api::Person,
    external_tokens::{SECRET, shared},
    notified::{direct, say, start_with},
    test_app::{TestApp, on_a_fleet},
};
use crate::deadline::within;

pub use service::{Given, Pushed, Service};

fn browser(service: &Service) -> Value {
    web_device(&format!("http://{}/push/secret", service.address))
}

/// A browser that is reached there.
pub fn web_device(endpoint: &str) -> Value {
    json!({
        "kind": "web",
        "endpoint": endpoint,
        "keys": {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    })
}

const DEVICE: &str = "/api/v1/devices/laptop";

/// The key pair of RFC 8291's example.
pub const KEYS: [(&str, &str); 2] = [
    (
        "VAPID_PRIVATE_KEY",
        "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    ),
    (
        "VAPID_PUBLIC_KEY",
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
    ),
];

fn variables<'a>(others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut variables = vec![
        ("PUSH_PRIVATE_ADDRESSES", "true"),
        ("PUSH_AFTER_SECONDS", "1"),
    ];
    variables.extend(KEYS);
    variables.extend(others);
    variables
}

async fn two(app: &TestApp) -> (Person, Person, String) {
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let room = direct(app, &ana, &bea).await;
    (ana, bea, room)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_once_of_a_burst_and_forgotten_when_it_is_gone() {
    let mut service = Service::start().await;
    let (app, _database) = start_with(&variables(&[])).await;
    let key = app.get("/api/v1/push/key", None).await.expect(200);
    assert_eq!(key["publicKey"], KEYS[1].1);
    let (ana, bea, room) = two(&app).await;
    app.put(DEVICE, &bea, browser(&service)).await.expect(204);
    for body in ["one", "two", "three"] {
        say(&app, &ana, &room, body).await;
    }
    let Pushed { head, body, .. } = service.next().await;
    assert!(head.starts_with("POST /push/secret HTTP/1.1\r\n"), "{head}");
    let lower = head.to_lowercase();
    for part in [
        "authorization: vapid t=",
        "content-encoding: aes128gcm",
        "ttl: ",
        "topic: ",
    ] {
        assert!(lower.contains(part), "{head}");
    }
    // Salt, size of records, and the key of the sender; the rest nobody here can read.
    assert_eq!(body[16..21], [0, 0, 16, 0, 65]);
    assert!(!body.windows(5).any(|it| it == b"three"));

    // The next one is refused for now, and then taken.
    service.answers(503, "");
    say(&app, &ana, &room, "four").await;
    let first = service.next().await;
    let again = service.next().await;
    let topic = |head: &str| {
        let lower = head.to_lowercase();
        let (_, topic) = lower.split_once("topic: ").unwrap();
        topic.lines().next().unwrap().to_owned()
    };
    assert_eq!(topic(&first.head), topic(&again.head));

    // The service doesn't know it any more: neither does the server.
    service.answers(410, "");
    say(&app, &ana, &room, "five").await;
    service.next().await;
    app.put("/api/v1/devices/phone", &bea, {
        let mut other = browser(&service);
        other["endpoint"] = format!("http://{}/push/phone", service.address).into();
        other
    })
    .await
    .expect(204);
    say(&app, &ana, &room, "six").await;
    let six = service.next().await;
    assert!(six.head.starts_with("POST /push/phone "), "{}", six.head);
    // Nothing else was sent in between or since.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(service.is_quiet());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_asked_no_sooner_than_it_wants_and_not_again_if_its_answer_is_lost() {
    let mut service = Service::start().await;
    let (app, _database) = start_with(&variables(&[])).await;
    let (ana, bea, room) = two(&app).await;
    app.put(DEVICE, &bea, browser(&service)).await.expect(204);
    service.gives(Given {
        status: 429,
        retry_after: Some(4),
        ..Given::default()
    });
    say(&app, &ana, &room, "one").await;
    let first = service.next().await;
    let again = service.next().await;
    // What its own schedule says is a second.
    assert!(again.at - first.at >= Duration::from_secs(4));

    service.gives(Given {
        after: Duration::from_secs(15),
        ..Given::default()
    });
    say(&app, &ana, &room, "two").await;
    service.next().await;
    // Others don't wait for it.
    say(&app, &ana, &room, "three").await;
    service.next().await;
    // Longer than the server waits for an answer, and then until the first repetition.
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert!(service.is_quiet());

    // 404 is as good as 410, and a redirect leads nowhere.
    service.gives(Given {
        status: 307,
        location: Some(format!("http://{}/elsewhere", service.address)),
        ..Given::default()
    });
    say(&app, &ana, &room, "four").await;
    service.next().await;
    service.answers(404, "");
    say(&app, &ana, &room, "five").await;
    service.next().await;
    let eve = app.register("eve").await;
    let other = direct(&app, &ana, &eve).await;
    app.put(
        DEVICE,
        &eve,
        web_device(&format!("http://{}/eve", service.address)),
    )
    .await
    .expect(204);
    say(&app, &ana, &room, "six").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    say(&app, &ana, &other, "for eve").await;
    assert!(service.next().await.head.starts_with("POST /eve "));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_here_signed_out_or_has_read_it_is_not_pushed_to() {
    let mut service = Service::start().await;
    let (app, _database) = start_with(&variables(&[])).await;
    let (ana, bea, room) = two(&app).await;
    app.put(DEVICE, &bea, browser(&service)).await.expect(204);
    // Another's device isn't one's own.
    app.delete(DEVICE, &ana).await.expect(204);
    let seq = say(&app, &ana, &room, "read at once").await;
    let mut socket = app.connect(&bea).await;
    socket
        .done("read:set", json!({ "roomId": room, "seq": seq }))
        .await;
    drop(socket);
    app.patch("/api/v1/me/preferences", &bea, json!({ "push": false }))
        .await
        .expect(200);
    say(&app, &ana, &room, "not wanted").await;
    within("the notification", async {
        loop {
            let listed = app
                .get("/api/v1/notifications", Some(&bea))
                .await
                .expect(200);
            if listed["notifications"][0]["body"] == "not wanted" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // A second device of somebody else, whose push comes later, shows that the others' time is over.
    let eve = app.register("eve").await;
    let other = direct(&app, &ana, &eve).await;
    let mut device = browser(&service);
    device["endpoint"] = format!("http://{}/push/eve", service.address).into();
    app.put(DEVICE, &eve, device).await.expect(204);
    tokio::time::sleep(Duration::from_secs(2)).await;
    say(&app, &ana, &other, "for eve").await;
    let pushed = service.next().await;
    assert!(
        pushed.head.starts_with("POST /push/eve "),
        "{}",
        pushed.head
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_no_push_services_are_refused() {
    let (app, _database) = start_with(&KEYS).await;
    let bea = app.register("bea").await;
    let service = Service::start().await;
    let good = browser(&service);
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, field) in [
        (good.clone(), "endpoint"),
        (
            with("endpoint", json!("https://127.0.0.1/push")),
            "endpoint",
        ),
        (with("endpoint", json!("https://10.0.0.1/push")), "endpoint"),
        (with("endpoint", json!("file:///etc/passwd")), "endpoint"),
        (
            with("endpoint", json!("https://push.example.org/a\r\nX: y")),
            "endpoint",
        ),
        (
            with("keys", json!({ "p256dh": "AAAA", "auth": "AAAA" })),
            "endpoint",
        ),
        (with("keys", json!({ "auth": "AAAA" })), "keys.p256dh"),
        (with("kind", json!("pigeon")), "kind"),
        (json!({ "kind": "fcm", "token": "abc" }), "kind"),
        (json!({ "kind": "fcm" }), "token"),
    ] {
        let refused = app.put(DEVICE, &bea, body.clone()).await;
        assert_eq!(refused.code(), "invalid", "{body}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(field), "{detail}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_told_by_firebase() {
    let mut service = Service::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("account.json");
    let key = BASE64_STANDARD.encode(include_bytes!("external_tokens/rsa.der"));
    let account = json!({
        "project_id": "chat-1",
        "client_email": "push@chat-1.example",
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
        "token_uri": format!("http://{}/token", service.address),
    });
    fs::write(&file, account.to_string()).unwrap();
    let (path, url) = (
        file.to_str().unwrap(),
        format!("http://{}/", service.address),
    );
    let (app, _database) = start_with(&variables(&[
        ("FCM_SERVICE_ACCOUNT", path),
        ("FCM_URL", &url),
    ]))
    .await;
    let (ana, bea, room) = two(&app).await;
    let device = json!({ "kind": "fcm", "token": "device-token" });
    app.put(DEVICE, &bea, device).await.expect(204);
    service.answers(200, r#"{"access_token":"bearer-1","expires_in":3600}"#);
    service.answers(200, "{}");
    say(&app, &ana, &room, "hello").await;
    let token = service.next().await;
    assert!(token.head.starts_with("POST /token "), "{}", token.head);
    assert!(token.body.starts_with(b"grant_type="));
    let sent = service.next().await;
    let path = "POST /v1/projects/chat-1/messages:send ";
    assert!(sent.head.starts_with(path), "{}", sent.head);
    assert!(
        sent.head
            .to_lowercase()
            .contains("authorization: bearer bearer-1")
    );
    let message: Value = serde_json::from_slice(&sent.body).unwrap();
    let message = &message["message"];
    assert_eq!(
        (
            &message["token"],
            &message["notification"]["body"],
            &message["data"]["roomId"]
        ),
        (&json!("device-token"), &json!("hello"), &json!(room))
    );
    // The token is kept, by each instance of a fleet its own.
    if !on_a_fleet() {
        let gone = r#"{"error":{"code":404,"details":[{"errorCode":"UNREGISTERED"}]}}"#;
        service.answers(404, gone);
        say(&app, &ana, &room, "anybody?").await;
        let sent = service.next().await;
        assert!(sent.head.starts_with(path), "{}", sent.head);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_hang_keep_only_their_own_users_pushes_waiting() {
    let mut service = Service::start().await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hanging.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = asked.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = hanging.accept().await {
            asking.fetch_add(1, Relaxed);
            held.push(stream);
        }
    });
    let (app, _database) = start_with(&variables(&[])).await;
    let (ana, bea, room) = two(&app).await;
    for device in 0..20 {
        let endpoint = format!("http://{address}/{device}");
        let path = format!("/api/v1/devices/{device}");
        app.put(&path, &bea, web_device(&endpoint))
            .await
            .expect(204);
    }
    say(&app, &ana, &room, "hello?").await;
    within("a push that hangs", async {
        while asked.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let eve = app.register("eve").await;
    app.put(DEVICE, &eve, browser(&service)).await.expect(204);
    let other = direct(&app, &ana, &eve).await;
    say(&app, &ana, &other, "hello").await;
    service.next().await;
    // Two, and two more whenever those are given up after ten seconds; without a bound sixteen at once.
    assert!(asked.load(Relaxed) < 16);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_tokens_of_another_application_were_ended_is_not_pushed_to() {
    let mut service = Service::start().await;
    let (app, _database) = start_with(&variables(&[("EXTERNAL_TOKENS_SECRET", SECRET)])).await;
    let (ana, bea, room) = two(&app).await;
    let token = || {
        let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
        shared(&json!({ "sub": "ada", "iat": now, "exp": now + 600 }))
    };
    let mut ada = token();
    let user = app.get("/api/v1/me", Some(&ada)).await.expect(200);
    ada.id = user["user"]["id"].as_str().unwrap().to_owned();
    let with_ada = direct(&app, &ana, &ada).await;
    let of_ada = format!("http://{}/push/ada", service.address);
    app.put(DEVICE, &ada, web_device(&of_ada)).await.expect(204);
    app.put(DEVICE, &bea, browser(&service)).await.expect(204);
    say(&app, &ana, &with_ada, "one").await;
    assert!(service.next().await.head.starts_with("POST /push/ada "));
    app.delete("/api/v1/sessions", &ada).await.expect(204);
    say(&app, &ana, &with_ada, "two").await;
    // What is sent later comes when the time of the other is over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    say(&app, &ana, &room, "three").await;
    assert!(service.next().await.head.starts_with("POST /push/secret "));
    assert!(service.is_quiet());
    app.stop().await;
}

/// Quiet hours that last for at least another hour, by the clock of nowhere in particular.
fn quiet_now() -> Value {
    let seconds = UNIX_EPOCH.elapsed().unwrap().as_secs();
    let hour = seconds / 3_600 % 24;
    let at = |hour: u64| format!("{:02}:00", hour % 24);
    json!({ "quietHours": { "from": at(hour + 23), "to": at(hour + 2), "timeZone": "UTC" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn in_quiet_hours_nothing_is_pushed_before_they_end() {
    let mut service = Service::start().await;
    let (app, _database) = start_with(&variables(&[])).await;
    let (ana, bea, room) = two(&app).await;
    app.put(DEVICE, &bea, browser(&service)).await.expect(204);
    app.patch("/api/v1/me/preferences", &bea, quiet_now())
        .await
        .expect(200);
    say(&app, &ana, &room, "at night").await;
    let eve = app.register("eve").await;
    let other = direct(&app, &ana, &eve).await;
    app.put(
        DEVICE,
        &eve,
        web_device(&format!("http://{}/eve", service.address)),
    )
    .await
    .expect(204);
    // Longer than a push takes otherwise.
    tokio::time::sleep(Duration::from_secs(4)).await;
    say(&app, &ana, &other, "for eve").await;
    assert!(service.next().await.head.starts_with("POST /eve "));
    if on_a_fleet() {
        return app.stop().await;
    }
    // Morning comes.
    let (app, changed) = app
        .changed_while_stopped(|data| {
            let tables = rusqlite::Connection::open(data.join("tables/tables.db")).unwrap();
            let morning = "UPDATE notification_preferences SET quiet_from = NULL, quiet_to = NULL, time_zone = NULL";
            tables.execute(morning, []).unwrap();
            let due = "UPDATE jobs SET due_at = 0 WHERE kind = 'notification.dispatch' AND id LIKE '%-q%'";
            tables.execute(due, []).unwrap()
        })
        .await;
    assert_eq!(changed, 1);
    assert!(service.next().await.head.starts_with("POST /push/secret "));
    assert!(service.is_quiet());
    app.stop().await;
}
