//! Notifications while services are away, and when the instance that derives them dies.

use std::time::Duration;

use serde_json::{Value, json};
use stack::{PostgresDatabase, Stack};

use super::fleet::Fleet;
use crate::{
    deadline::within,
    server::{api::Api, api::Person, test_app::TestApp},
};

/// The bodies of somebody's notifications, the oldest first, once there are so many.
async fn bodies(api: &Api, person: &Person, count: usize) -> Vec<String> {
    within("notifications", async {
        loop {
            let answer = api.get("/api/v1/notifications", Some(person)).await;
            let listed = answer.body["notifications"].as_array().cloned();
            let listed = listed.unwrap_or_default();
            assert!(listed.len() <= count, "{listed:?}");
            if listed.len() == count {
                let texts = listed.iter().rev().map(|it| it["body"].as_str().unwrap());
                return texts.map(str::to_owned).collect();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

async fn direct(api: &Api, one: &Person, other: &Person) -> String {
    let body = json!({ "kind": "direct", "members": [other.id] });
    let made = api.post("/api/v1/rooms", Some(one), body).await.expect(201);
    made["room"]["id"].as_str().unwrap().to_owned()
}

async fn say(api: &Api, person: &Person, room: &str, body: &str) -> Value {
    let path = format!("/api/v1/rooms/{room}/messages");
    let body = json!({ "body": body });
    api.post(&path, Some(person), body).await.expect(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_lost_or_doubled_while_postgresql_or_redis_is_away() {
    let stack = Stack::start(&["redis", "postgresql"]);
    let database = PostgresDatabase::on(&stack);
    let app = TestApp::start_fleet(&[
        ("REDIS_URL", &stack.get("REDIS_SINGLE_URL")),
        ("DATABASE_URL", &database.url),
    ])
    .await;
    app.migrate().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let room = direct(&app, &ana, &bea).await;
    // Once a position is written down nothing is missed.
    let mut said = Vec::new();
    within("the first one", async {
        loop {
            say(&app, &ana, &room, "first").await;
            let answer = app.get("/api/v1/notifications", Some(&bea)).await;
            let listed = answer.body["notifications"].as_array().map_or(0, Vec::len);
            if listed > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    say(&app, &ana, &room, "with all").await;
    let already = within("all before", async {
        loop {
            let answer = app.get("/api/v1/notifications", Some(&bea)).await;
            let listed = answer.body["notifications"].as_array().unwrap();
            if listed[0]["body"] == "with all" {
                return listed.len();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;

    stack.signal_processes("postgresql/primary", "", "KILL");
    for n in 0..5 {
        let body = format!("without PostgreSQL {n}");
        say(&app, &ana, &room, &body).await;
        said.push(body);
    }
    stack.up();
    assert_eq!(bodies(&app, &bea, already + 5).await[already..], said);

    stack.signal_all("redis", "KILL");
    for n in 0..5 {
        let body = format!("without Redis {n}");
        say(&app, &ana, &room, &body).await;
        said.push(body);
    }
    assert_eq!(bodies(&app, &bea, already + 10).await[already..], said);
    stack.up();
    app.stop().await;
    drop(database);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_goes_on_where_one_has_died() {
    let database = PostgresDatabase::shared();
    let fleet = Fleet::new().with("DATABASE_URL", &database.url);
    let (done, printed) = fleet.run(&["migrate"]).await;
    assert!(done, "{printed}");
    let first = fleet.start().await;
    let (ana, bea) = (first.register("ana").await, first.register("bea").await);
    let room = direct(&first, &ana, &bea).await;
    within("a reader of the logs", async {
        loop {
            say(&first, &ana, &room, "first").await;
            let answer = first.get("/api/v1/notifications", Some(&bea)).await;
            if answer.body["notifications"].as_array().map_or(0, Vec::len) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let second = fleet.start().await;
    let mut said = Vec::new();
    for n in 0..20 {
        let body = format!("in between {n}");
        say(&second, &ana, &room, &body).await;
        said.push(body);
    }
    first.kill().await;
    say(&second, &ana, &room, "afterwards").await;
    said.push("afterwards".to_owned());
    within("all of them, once each", async {
        loop {
            let answer = second
                .get("/api/v1/notifications?limit=200", Some(&bea))
                .await;
            let listed = answer.body["notifications"].as_array().cloned();
            let listed = listed.unwrap_or_default();
            let texts: Vec<_> = listed
                .iter()
                .rev()
                .map(|it| it["body"].as_str().unwrap().to_owned())
                .filter(|body| body != "first")
                .collect();
            assert!(texts.len() <= said.len(), "{texts:?}");
            if texts.len() == said.len() {
                return assert_eq!(texts, said);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_found_again_when_its_instance_has_died() {
    let database = PostgresDatabase::shared();
    let fleet = Fleet::new().with("DATABASE_URL", &database.url);
    let (done, printed) = fleet.run(&["migrate"]).await;
    assert!(done, "{printed}");
    let first = fleet.start().await;
    let (ana, bea) = (first.register("ana").await, first.register("bea").await);
    let new = json!({ "kind": "private", "name": "club", "members": [bea.id] });
    let made = first.post("/api/v1/rooms", Some(&ana), new).await;
    made.expect(201);
    first.kill().await;
    let second = fleet.start().await;
    within("the invitation", async {
        loop {
            let answer = second.get("/api/v1/notifications", Some(&bea)).await;
            let listed = answer.body["notifications"].as_array().cloned();
            let listed = listed.unwrap_or_default();
            if let [invitation] = listed.as_slice() {
                return assert_eq!(invitation["kind"], "invitation");
            }
            assert!(listed.is_empty(), "{listed:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let (status, _) = second.stop().await;
    assert!(status.success());
}
