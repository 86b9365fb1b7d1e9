//! Rate limits while their Redis is restarted, fails over or hangs.

use serde_json::json;
use stack::Stack;

use crate::{
    client::http::request,
    deadline::within,
    server::{api::Person, test_app::TestApp},
};

const ME: &str = "/api/v1/me";

async fn change(app: &TestApp, person: &Person) -> u16 {
    let name = json!({ "displayName": "Ana" });
    app.patch(ME, person, name).await.status.as_u16()
}

async fn guess(app: &TestApp, username: &str) -> u16 {
    let wrong = json!({ "username": username, "password": "wrong horse" });
    let answer = app.post("/api/v1/auth/login", None, wrong).await;
    answer.status.as_u16()
}

/// How often something is granted before it is refused twice running, which both instances do.
async fn granted(mut ask: impl AsyncFnMut() -> u16) -> usize {
    let (mut granted, mut refused) = (0, 0);
    while refused < 2 {
        if ask().await == 429 {
            refused += 1;
        } else {
            (granted, refused) = (granted + 1, 0);
        }
        assert!(granted < 1_000);
    }
    granted
}

/// Waits until no instance counts alone: a count is seen on both.
async fn shared_again(app: &TestApp, administrator: &Person, user: &str) {
    let path = format!("/api/v1/admin/rate-limits?userId={user}&tier=people");
    within("counts that are shared", async {
        let mut shared = 0;
        while shared < 2 {
            let state = app.get(&path, Some(administrator)).await.expect(200);
            let complete = state["limits"][0]["complete"] == true;
            shared = if complete { shared + 1 } else { 0 };
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn metric(app: &TestApp, name: &str) -> f64 {
    let answer = request(
        app.operations().address(),
        ::http::Method::GET,
        "/metrics",
        &[],
        "",
    )
    .await;
    let line = answer
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

async fn fleet(url: &str) -> (TestApp, Person) {
    let limits = [
        ("REDIS_RATE_LIMIT_URL", url),
        ("RATE_LIMIT_PEOPLE", "40/10m"),
    ];
    TestApp::start_fleet(&limits)
        .await
        .with_administrator("root")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_comes_back() {
    let stack = Stack::start(&["redis"]);
    let (app, root) = fleet(&stack.get("REDIS_SINGLE_URL")).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    assert!((40..=44).contains(&granted(async || change(&app, &ana).await).await));
    assert_eq!(granted(async || guess(&app, "ana").await).await, 5);

    stack.signal_all("redis", "KILL");
    // Each instance counts for itself, and what was counted before as far as it was granted here.
    assert!(granted(async || guess(&app, "bea").await).await <= 10);
    assert!(granted(async || change(&app, &bea).await).await <= 80);
    assert!(metric(&app, "tertulia_rate_limit_errors_total").await > 0.0);

    stack.up();
    shared_again(&app, &root, &ana.id).await;
    count_together(&app, "cora").await;
    app.stop().await;
}

/// Somebody new is limited by both instances together.
async fn count_together(app: &TestApp, name: &str) {
    let person = app.register(name).await;
    assert!((40..=44).contains(&granted(async || change(app, &person).await).await));
    assert_eq!(granted(async || guess(app, name).await).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_for_ten_seconds() {
    let stack = Stack::start(&["redis"]);
    let (app, root) = fleet(&stack.get("REDIS_SINGLE_URL")).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    for _ in 0..10 {
        assert_eq!(change(&app, &ana).await, 200);
    }
    stack.signal_all("redis", "STOP");
    let hung = std::time::Instant::now();
    while hung.elapsed() < std::time::Duration::from_secs(10) {
        app.get(ME, Some(&ana)).await.expect(200);
        let (answer, _) = tokio::join!(change(&app, &bea), guess(&app, "bea"));
        assert!(answer == 200 || answer == 429);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(metric(&app, "tertulia_rate_limit_local_only_seconds_total").await >= 1.0);
    stack.signal_all("redis", "CONT");
    shared_again(&app, &root, &ana.id).await;
    count_together(&app, "cora").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_fails_over() {
    let stack = Stack::start(&["sentinel"]);
    let (app, root) = fleet(&stack.get("SENTINEL_URL")).await;
    let ana = app.register("ana").await;
    assert!((40..=44).contains(&granted(async || change(&app, &ana).await).await));
    stack.signal("sentinel/redis-0", "KILL");
    let bea = app.register("bea").await;
    for _ in 0..5 {
        assert_eq!(change(&app, &bea).await, 200);
    }
    shared_again(&app, &root, &ana.id).await;
    // The replica had what was counted before.
    assert!(granted(async || change(&app, &ana).await).await <= 4);
    let cora = app.register("cora").await;
    assert!((40..=44).contains(&granted(async || change(&app, &cora).await).await));
    app.stop().await;
}
