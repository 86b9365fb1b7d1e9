//! Instances whose clocks are a minute apart.

use std::path::PathBuf;

use http::Method;
use serde_json::json;

use super::{crowd::Crowd, fleet::Fleet};
use crate::{
    client::{http::request, polling::Polling},
    server::{
        api::{Api, Person},
        server_process::ServerProcess,
    },
};

const DAY: u64 = 24 * 60 * 60;

/// Gives the program that loads it the time that `FAKETIME` says.
fn faketime() -> PathBuf {
    let libraries = std::fs::read_dir("/usr/lib").unwrap();
    let mut paths = libraries.map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"));
    let found = paths.find(|path| path.exists());
    found.expect("libfaketime: scripts/prerequisites faketime")
}

/// One instance whose clock is right, and one that is a minute ahead.
async fn instances() -> [ServerProcess; 2] {
    let fleet = Fleet::new();
    let right = fleet.start().await;
    let fleet = fleet
        .with("LD_PRELOAD", faketime().to_str().unwrap())
        .with("FAKETIME", "+60s")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let ahead = fleet.start().await;
    let apart = (time_of(&ahead).await + DAY - time_of(&right).await) % DAY;
    assert!((58..=62).contains(&apart), "{apart} s");
    [right, ahead]
}

/// The seconds of the day that its answers say.
async fn time_of(server: &Api) -> u64 {
    let answer = request(server.address(), Method::GET, "/health/live", &[], "").await;
    let date = answer.headers["date"].to_str().unwrap();
    let time = date.split(' ').nth(4).unwrap();
    let parts = time.split(':').map(|part| part.parse::<u64>().unwrap());
    parts.fold(0, |seconds, part| seconds * 60 + part)
}

async fn guess(server: &Api, username: &str) -> u16 {
    let wrong = json!({ "username": username, "password": "wrong horse" });
    let answer = server.post("/api/v1/auth/login", None, wrong).await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_have_one_order() {
    let instances = instances().await;
    let mut people: Vec<Person> = Vec::new();
    for number in 0..6 {
        let server = &instances[number % 2];
        people.push(server.register(&format!("user-{number}")).await);
    }
    let addresses = instances.each_ref().map(|instance| instance.address());
    let mut crowd = Crowd::start(&addresses, &people).await;
    crowd.go_on(40).await;
    crowd.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_limits_and_polls_are_shared() {
    let [right, ahead] = instances().await;
    let (ana, bea) = (right.register("ana").await, ahead.register("bea").await);
    for (server, other) in [(&right, &ahead), (&ahead, &right)] {
        for person in [&ana, &bea] {
            server.get("/api/v1/me", Some(person)).await.expect(200);
        }
        let polling = Polling::open(server.address()).await;
        let posted = polling.through(other.address()).post("40").await;
        assert_eq!(posted.status, 200, "{}", posted.text());
    }

    // A session that is revoked on one ends on both, whosever clock is ahead.
    for (server, other) in [(&right, &ahead), (&ahead, &right)] {
        let here = server.sign_in("ana").await;
        let mut socket = other.connect(&here).await;
        let refresh = json!({ "refreshToken": here.refresh_token });
        let refreshed = other.post("/api/v1/auth/refresh", None, refresh).await;
        refreshed.expect(200);
        server
            .post("/api/v1/auth/logout", Some(&here), json!({}))
            .await
            .expect(204);
        socket.disconnected().await;
        for server in [server, other] {
            let refused = server.get("/api/v1/me", Some(&here)).await;
            assert_eq!(refused.status, 401);
        }
    }

    // Five guesses of a password, wherever.
    for number in 0..5 {
        let server = if number % 2 == 0 { &right } else { &ahead };
        assert_eq!(guess(server, "bea").await, 401);
    }
    for server in [&right, &ahead] {
        assert_eq!(guess(server, "bea").await, 429);
    }
}
