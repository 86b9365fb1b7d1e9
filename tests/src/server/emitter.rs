//! The official Redis emitter, from a Node process, over one Redis and over a Cluster: what it reaches of two servers
//! and of a fleet, and what it can't do.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::test_app::TestApp;
use crate::client::official;

/// Somebody with two rooms, who is connected to this address by the script.
async fn person(app: &TestApp, name: &str, address: SocketAddr) -> Value {
    let person = app.register(name).await;
    let mut client = app.connect(&person).await;
    let rooms = [
        client.create("public", "one").await,
        client.create("public", "two").await,
    ];
    json!({
        "url": format!("http://{address}"),
        "token": person.access_token,
        "id": person.id,
        "rooms": rooms,
    })
}

async fn an_emitter_reaches(redis: &str, key: &str, people: Vec<Value>) {
    let people = Value::from(people).to_string();
    let environment = [
        ("REDIS_URL", redis),
        ("EMITTER_KEY", key),
        ("PEOPLE", &people),
    ];
    official::javascript_tests("emitter.test.mjs", &environment).await;
}

fn key() -> String {
    format!("test-{:016x}", rand::random::<u64>())
}

async fn two_servers_hear_an_emitter(redis: &str) {
    let key = key();
    let variables = [
        ("EMITTER_NAMESPACES", "/"),
        ("EMITTER_KEY", &key),
        ("EMITTER_REDIS_URL", redis),
    ];
    let (anas, beas) = (
        TestApp::start_with(&variables).await,
        TestApp::start_with(&variables).await,
    );
    let people = vec![
        person(&anas, "ana", anas.address()).await,
        person(&beas, "bea", beas.address()).await,
    ];
    an_emitter_reaches(redis, &key, people).await;
    anas.stop().await;
    beas.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_hear_it_over_one_redis() {
    two_servers_hear_an_emitter(&stack::address("REDIS_SINGLE_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_hear_it_over_a_cluster() {
    two_servers_hear_an_emitter(&stack::address("REDIS_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_hears_it_over_its_own_redis() {
    let key = key();
    let variables = [("EMITTER_NAMESPACES", "/"), ("EMITTER_KEY", &key)];
    let app = TestApp::start_fleet(&variables).await;
    // Each at another instance.
    let (first, second) = (app.address(), app.address());
    let people = vec![
        person(&app, "ana", first).await,
        person(&app, "bea", second).await,
    ];
    an_emitter_reaches(&stack::address("REDIS_URL"), &key, people).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_works_without_the_emitters_redis() {
    // A port that nobody listens on: it was somebody's a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", closed.local_addr().unwrap());
    drop(closed);
    let variables = [("EMITTER_NAMESPACES", "/"), ("EMITTER_REDIS_URL", &url)];
    let app = TestApp::start_with(&variables).await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let hall = anas.create("public", "hall").await;
    assert_eq!(anas.say(&hall, "one").await["seq"], 1);
    app.stop().await;
}
