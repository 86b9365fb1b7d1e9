//! A start without what an instance needs, and with services that want to know who asks.

use http::Method;
use serde_json::json;
use stack::Stack;

use super::fleet::Fleet;
use crate::{
    client::{http::request, polling::Polling},
    deadline::within,
    server::api::Answer,
};

fn is_missing(ready: &Answer, dependency: &str) -> bool {
    ready.body["checks"][dependency]["status"] == "unavailable"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_waits_for_what_it_needs_and_says_for_what() {
    let stack = Stack::start(&["redis", "mongodb"]);
    stack.signal_all("redis", "KILL");
    stack.signal_all("mongodb", "KILL");
    let fleet = Fleet::on(&stack.get("REDIS_SINGLE_URL"), |name| stack.mongodb(name));
    let server = fleet.start_waiting().await;
    within("what is missing", async {
        loop {
            let told = server.get("/health/ready", None).await;
            assert_eq!(
                (told.status.as_u16(), &told.body["checks"]),
                (503, &json!({}))
            );
            let ready = server.operations().get("/health/ready", None).await;
            assert_eq!(ready.status, 503, "{}", ready.body);
            if is_missing(&ready, "redis") && is_missing(&ready, "store") {
                return;
            }
        }
    })
    .await;
    server.get("/health/live", None).await.expect(200);
    let sign_in = json!({ "username": "ana", "password": "correct horse" });
    let refused = server.post("/api/v1/auth/login", None, sign_in).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (503, "unavailable")
    );
    let handshake = "/socket.io/?EIO=4&transport=polling";
    let refused = request(server.address(), Method::GET, handshake, &[], "").await;
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains_key("retry-after"));

    stack.up();
    fleet.is_ready(&server).await;
    server.connect(&server.register("ana").await).await;
    let (stopped, printed) = server.stop().await;
    assert!(stopped.success());
    for dependency in ["redis", "store"] {
        let told = format!("waiting before clients are accepted dependency=\"{dependency}\"");
        assert!(printed.contains(&told), "{printed}");
    }
}

/// A request of a polling client may come to any instance, at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_accepts_clients_is_known_to_the_others() {
    let fleet = Fleet::new();
    let mut others = vec![fleet.start().await];
    for _ in 0..3 {
        let new = fleet.start().await;
        for other in &others {
            let polling = Polling::open(new.address()).await;
            let posted = polling.through(other.address()).post("40").await;
            assert_eq!(posted.status, 200, "{}", posted.text());
        }
        others.push(new);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_with_passwords_and_tls_are_used() {
    let stack = Stack::start_with(&["redis-cluster", "mongodb"], true);
    let fleet = Fleet::on(&stack.get("REDIS_URL"), |name| stack.mongodb(name))
        .with("TLS_CA_FILE", stack.get("TLS_CA_FILE"));
    let (done, printed) = fleet.run(&["migrate"]).await;
    assert!(done, "{printed}");
    let (one, other) = (fleet.start().await, fleet.start().await);
    let (ana, bea) = (one.register("ana").await, other.register("bea").await);
    let (mut anas, mut beas) = (one.connect(&ana).await, other.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    anas.say(&room, "hello").await;
    beas.before("hello").await;
    let password = stack.get("REDIS_URL");
    let (_, rest) = password.split_once("://").unwrap();
    let password = rest.split_once('@').unwrap().0.split_once(':').unwrap().1;
    for server in [one, other] {
        let (stopped, printed) = server.stop().await;
        assert!(stopped.success());
        assert!(!printed.contains(password), "a password in the log");
    }
}
