//! The commands for those who run a fleet, with the configuration of its instances.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::sleep;

use super::fleet::Fleet;
use crate::{client::http::request, deadline::within, server::api::Api};

/// Fewer requests than strangers may make.
const BETWEEN: Duration = Duration::from_millis(700);

/// What the server says to an event that a program with this key publishes.
async fn publish(server: &Api, key: &str) -> u16 {
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = json!({ "namespace": "/", "to": { "user": "nobody" }, "event": "price", "data": 1 });
    let answer = request(
        server.address(),
        Method::POST,
        "/api/v1/publish",
        &headers,
        body.to_string(),
    );
    answer.await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_programs_are_made_and_revoked_while_instances_run() {
    let fleet = Fleet::new();
    let server = fleet.start().await;
    let (done, printed) = fleet
        .run(&["admin", "keys", "create", "shop", "everything"])
        .await;
    assert!(!done && printed.contains("scopes: expected"), "{printed}");
    let (done, printed) = fleet
        .run(&["admin", "keys", "create", "shop", "publish"])
        .await;
    assert!(done, "{printed}");
    let key = printed.lines().find(|line| !line.contains(' ')).unwrap();
    within("the key is known", async {
        while publish(&server, key).await >= 400 {
            sleep(BETWEEN).await;
        }
    })
    .await;

    let (done, printed) = fleet.run(&["admin", "keys", "list"]).await;
    assert!(done && !printed.contains(key), "{printed}");
    let line = printed.lines().find(|line| line.contains("shop")).unwrap();
    let id = line.split(' ').next().unwrap();
    for expected in [true, false] {
        let (done, printed) = fleet.run(&["admin", "keys", "revoke", id]).await;
        assert_eq!(done, expected, "{printed}");
    }
    within("the key is refused", async {
        while publish(&server, key).await < 400 {
            sleep(BETWEEN).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_made_while_instances_run() {
    let fleet = Fleet::new();
    for _ in 0..2 {
        let (done, printed) = fleet.run(&["migrate"]).await;
        assert!(done, "{printed}");
    }
    let server = fleet.start().await;
    server.register("ana").await;
    let (done, printed) = fleet.run(&["admin", "grant", "nobody"]).await;
    assert!(!done && printed.contains("nobody"), "{printed}");
    let (done, printed) = fleet.run(&["admin", "grant", "ana"]).await;
    assert!(done, "{printed}");
    let sign_in = json!({ "username": "ana", "password": "correct horse" });
    let signed_in = server.post("/api/v1/auth/login", None, sign_in).await;
    assert_eq!(signed_in.expect(200)["user"]["role"], "admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_load_their_rooms_anew_after_a_restore() {
    let fleet = Fleet::new();
    let server = fleet.start().await;
    let ana = server.register("ana").await;
    let mut anas = server.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    for body in ["one", "two"] {
        anas.say(&room, body).await;
    }
    let seen = anas.join(&room).await["room"].take();
    let (done, printed) = fleet.run(&["admin", "restored"]).await;
    assert!(!done && printed.contains("1 are running"), "{printed}");
    let (stopped, _) = server.stop().await;
    assert!(stopped.success());
    let (done, printed) = fleet.run(&["admin", "restored"]).await;
    assert!(done && printed.contains("1 in all"), "{printed}");

    let server = fleet.start().await;
    let mut anas = server.connect(&ana).await;
    let point = json!({ "roomId": room, "since": 2, "epoch": seen["epoch"] });
    let joined = anas.done("room:join", point).await;
    assert_eq!(joined["reset"], true);
    assert_ne!(joined["room"]["epoch"], seen["epoch"]);
    assert_eq!(anas.say(&room, "three").await["seq"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_says_what_it_cant_reach_and_not_how_it_signs_in() {
    let nowhere = "mongodb://ana:hidden@127.0.0.1:9/database?replicaSet=rs0";
    let fleet = Fleet::new().with("MONGODB_URI", nowhere);
    for arguments in [
        &["migrate"][..],
        &["admin", "grant", "ana"],
        &["admin", "restored"],
    ] {
        let (done, printed) = fleet.run(arguments).await;
        assert!(!done && printed.contains("127.0.0.1:9"), "{printed}");
        assert!(!printed.contains("hidden"), "{printed}");
    }
    let fleet = Fleet::new().with("REDIS_URL", "redis://ana:hidden@127.0.0.1:9");
    let (done, printed) = fleet.run(&["admin", "restored"]).await;
    assert!(
        !done && printed.contains("whether instances are running"),
        "{printed}"
    );
    assert!(!printed.contains("hidden"), "{printed}");
}
