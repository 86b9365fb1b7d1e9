//! The audit log over HTTP: what is recorded, who may read it, and how.

use std::time::Duration;

use ::http::Method;
use serde_json::{Value, json};
use stack::PostgresDatabase;

use super::ask;
use crate::{
    client::http,
    deadline::within,
    server::{
        api::Person,
        test_app::{TestApp, on_a_fleet},
    },
};

/// The entries that this query finds, newest first, once there are so many.
async fn entries(app: &TestApp, admin: &Person, query: &str, count: usize) -> Vec<Value> {
    within("the entries", async {
        loop {
            let path = format!("/api/v1/admin/audit?{query}");
            let page = app.get(&path, Some(admin)).await.expect(200);
            let found = page["data"].as_array().unwrap();
            assert!(found.len() <= count, "{found:?}");
            if found.len() == count {
                assert_eq!(page["pagination"]["total"], count);
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// A server that has a log; on a fleet it is in a database, which goes with this.
async fn start(variables: &[(&str, &str)]) -> (TestApp, Person, Option<PostgresDatabase>) {
    let database = on_a_fleet().then(PostgresDatabase::shared);
    let mut variables = variables.to_vec();
    if let Some(database) = &database {
        variables.push(("DATABASE_URL", &database.url));
    }
    let app = TestApp::start_with(&variables).await;
    if on_a_fleet() {
        app.migrate().await;
    }
    let (app, ada) = app.with_administrator("ada").await;
    (app, ada, database)
}

#[tokio::test]
async fn who_did_what_is_found_by_who_when_and_what() {
    let (app, ada, _database) = start(&[]).await;
    let typed = "hunter2-in-the-wrong-field";
    for (username, password) in [("ada", "wrong password"), (typed, "wrong password")] {
        let body = json!({ "username": username, "password": password });
        let refused = app.post("/api/v1/auth/login", None, body).await;
        assert_eq!(refused.code(), "unauthenticated");
    }
    let failed = entries(&app, &ada, "action=session.sign_in&outcome=refused", 2).await;
    // The newest comes first, of two instances as their clocks say.
    let [unknown, wrong] = &failed[..] else {
        panic!("two")
    };
    assert_eq!(wrong["details"]["reason"], "wrong_password");
    assert_eq!(wrong["targetId"], ada.id.as_str());
    assert_eq!(wrong["address"], "127.0.0.1");
    assert_eq!(wrong.get("actorId"), None);
    assert_eq!(unknown["details"]["reason"], "unknown_username");
    assert_eq!(unknown.get("targetId"), None);

    let ben = app.register("ben").await;
    let room = json!({ "kind": "private", "name": "The secret plan", "members": [ben.id] });
    let room = app
        .post("/api/v1/rooms", Some(&ada), room)
        .await
        .expect(201);
    let room = room["room"]["id"].as_str().unwrap();
    let member = format!("/api/v1/rooms/{room}/members/{}", ben.id);
    app.put(&member, &ada, json!({ "role": "moderator" }))
        .await
        .expect(200);
    let (gus, path) = (app.guest("Gus").await, format!("/api/v1/rooms/{room}"));
    let renamed = app.patch(&path, &gus, json!({ "name": "x" })).await;
    assert_eq!(renamed.code(), "not_found");
    let mut socket = app.connect(&ben).await;
    socket.join(room).await;
    let sent = socket
        .say(room, "a message that is nobody else's business")
        .await;
    let delete = json!({ "roomId": room, "seq": sent["seq"] });
    socket.done("message:delete", delete).await;
    socket.done("room:leave", json!({ "roomId": room })).await;

    let of_room = entries(&app, &ada, &format!("targetKind=room&targetId={room}"), 5).await;
    let actions: Vec<_> = of_room
        .iter()
        .rev()
        .map(|entry| {
            (
                entry["action"].as_str().unwrap(),
                entry["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        actions,
        [
            ("room.create", "succeeded"),
            ("member.put", "succeeded"),
            ("room.update", "refused"),
            ("message.delete", "succeeded"),
            ("room.leave", "succeeded"),
        ]
    );
    let put = &of_room[3];
    assert_eq!(put["actorId"], ada.id.as_str());
    assert_eq!(
        put["details"],
        json!({ "role": "moderator", "userId": ben.id })
    );
    assert_eq!(of_room[2]["actorKind"], "guest");
    assert_eq!(of_room[2]["details"]["code"], "not_found");
    assert_eq!(of_room[1]["details"]["seq"], sent["seq"]);
    assert!(put["requestId"].is_string() && put["sessionId"].is_string());

    // A connection that subscribes changes nothing; one by which its user becomes a member does.
    let mut adas = app.connect(&ada).await;
    let hall = adas.create("public", "hall").await;
    for _ in 0..2 {
        app.connect(&gus).await.join(&hall).await;
    }
    let joins = entries(
        &app,
        &ada,
        &format!("action=room.join&targetId={hall}&targetKind=room"),
        1,
    )
    .await;
    assert_eq!(joins[0]["actorId"], gus.id.as_str());

    let bens = entries(&app, &ada, &format!("actorId={}", ben.id), 3).await;
    let from = bens[1]["at"].as_str().unwrap();
    let path = format!(
        "/api/v1/admin/audit?actorId={}&from={from}&limit=1&page=2",
        ben.id
    );
    let page = app.get(&path, Some(&ada)).await.expect(200);
    assert!(page["pagination"]["total"].as_u64().unwrap() >= 2);
    assert_eq!(page["data"].as_array().unwrap().len(), 1);

    let (app, ada) = (app.restart().await, ada);
    let bearer = format!("Bearer {}", ada.access_token);
    let headers = [("authorization", bearer.as_str())];
    let (status, headers, body) = ask(
        &app,
        Method::GET,
        "/api/v1/admin/audit/export",
        &headers,
        "",
    )
    .await;
    assert_eq!(
        (status, &headers["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
    let text = String::from_utf8(body.to_vec()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.is_sorted_by_key(|entry| entry["at"].as_str().unwrap().to_owned()));
    for entry in bens.iter().chain(&of_room) {
        assert_eq!(lines.iter().filter(|line| *line == entry).count(), 1);
    }
    for secret in [
        typed,
        "wrong password",
        "correct horse",
        "secret plan",
        "business",
        &ada.access_token,
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
    entries(&app, &ada, "action=audit.export", 1).await;
    let granted = entries(&app, &ada, "action=admin.grant", 1).await;
    assert_eq!(granted[0]["actorKind"], "system");
    assert_eq!(granted[0]["targetId"], ada.id.as_str());
    let read = app.get("/api/v1/admin/audit?page=0", Some(&ada)).await;
    assert_eq!(read.code(), "invalid");
    app.stop().await;
}

#[tokio::test]
async fn entries_say_what_was_done_and_hold_no_key() {
    let (app, ada, _database) = start(&[]).await;
    let request = json!({ "name": "Importer", "scopes": ["publish:/"] });
    let created = app.post("/api/v1/admin/keys", Some(&ada), request).await;
    let created = created.expect(201);
    let (id, key) = (&created["key"]["id"], created["secret"].as_str().unwrap());
    let entry = &entries(&app, &ada, "action=api_key.create", 1).await[0];
    assert_eq!(
        (&entry["targetKind"], &entry["targetId"]),
        (&json!("key"), id)
    );
    let details = json!({ "name": "Importer", "scopes": ["publish:/"] });
    assert_eq!(entry["details"], details);
    // Somebody takes the key for its id.
    let path = format!("/api/v1/admin/rate-limits?apiKey={key}");
    assert_eq!(app.delete(&path, &ada).await.code(), "invalid");
    let path = format!("/api/v1/admin/keys/{key}");
    assert_eq!(app.delete(&path, &ada).await.code(), "not_found");
    let path = format!("/api/v1/admin/keys/{}", id.as_str().unwrap());
    app.delete(&path, &ada).await.expect(204);
    let revoked = entries(&app, &ada, "action=api_key.revoke", 2).await;
    let targets: Vec<_> = revoked.iter().map(|entry| entry.get("targetId")).collect();
    assert_eq!(targets, [Some(id), None]);
    let path = "/api/v1/admin/circuits/none";
    let set = app.put(path, &ada, json!({ "state": "open" })).await;
    assert_eq!(set.code(), "not_found");
    let set = &entries(&app, &ada, "action=circuit.set", 1).await[0];
    assert_eq!(set["details"]["state"], "open");
    let registered = entries(&app, &ada, "action=account.register", 1).await;
    let signed_in = entries(&app, &ada, "action=session.sign_in&outcome=succeeded", 1).await;
    for entry in registered.iter().chain(&signed_in) {
        assert!(entry["sessionId"].is_string(), "{entry}");
    }
    let headers = [("authorization", format!("Bearer {}", ada.access_token))];
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let path = "/api/v1/admin/audit/export";
    let (status, _, text) = ask(&app, Method::GET, path, &headers, "").await;
    assert_eq!(status, 200);
    assert!(!String::from_utf8_lossy(&text).contains(key));
    app.stop().await;
}

#[tokio::test]
async fn one_who_is_refused_for_ever_fills_no_log() {
    let (app, ada, _database) = start(&[("RATE_LIMIT_PEOPLE", "off")]).await;
    // Each counts its own.
    let instances = if on_a_fleet() { 2 } else { 1 };
    let ben = app.register("ben").await;
    for _ in 0..100 * instances {
        let refused = app.delete("/api/v1/rooms/none", &ben).await;
        assert_eq!(refused.code(), "not_found");
    }
    entries(&app, &ada, "action=room.delete&limit=200", 60 * instances).await;
    let address = app.operations().address();
    let metrics = http::request(address, Method::GET, "/metrics", &[], String::new()).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(
        metrics.contains("tertulia_audit_suppressed_total 40"),
        "{metrics}"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_fleet_without_a_database_has_no_log() {
    let (app, ada) = TestApp::start_fleet(&[])
        .await
        .with_administrator("ada")
        .await;
    for path in ["/api/v1/admin/audit", "/api/v1/admin/audit/export"] {
        assert_eq!(app.get(path, Some(&ada)).await.code(), "not_found");
    }
    app.stop().await;
}
