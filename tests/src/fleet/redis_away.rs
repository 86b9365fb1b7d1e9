//! Redis is away, for all instances.

use serde_json::json;

use stack::Stack;

use crate::{deadline::within, server::test_app::TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_on_without_redis_and_signing_in_comes_back_with_it() {
    let stack = Stack::start(&["redis"]);
    let app = TestApp::start_fleet(&[("REDIS_URL", &stack.get("REDIS_SINGLE_URL"))]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    // On one instance each.
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    let before = anas.say(&room, "before").await["seq"].as_u64().unwrap();
    beas.before("before").await;

    stack.signal_all("redis", "KILL");
    let mut seqs = vec![before];
    for n in 0..20 {
        seqs.push(
            anas.say(&room, &format!("without {n}")).await["seq"]
                .as_u64()
                .unwrap(),
        );
        seqs.push(
            beas.say(&room, &format!("either {n}")).await["seq"]
                .as_u64()
                .unwrap(),
        );
    }
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 41, "each has a place of its own");
    // Everybody sees them all, in order, though nothing can be told between the instances.
    for socket in [&mut anas, &mut beas] {
        let mut expected = before;
        let mut messages = 0;
        while messages < 40 {
            let (name, event) = socket.next_of_log().await;
            let seq = event["seq"].as_u64().unwrap();
            if seq <= before {
                continue;
            }
            expected += 1;
            assert_eq!(seq, expected);
            messages += usize::from(name == "message:new");
        }
    }
    let sign_in = json!({ "username": "ana", "password": "correct horse" });
    let refused = app.post("/api/v1/auth/login", None, sign_in.clone()).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (503, "unavailable")
    );
    // Degraded, but it goes on.
    app.get("/health/ready", None).await.expect(200);

    stack.up();
    within("signing in", async {
        while app
            .post("/api/v1/auth/login", None, sign_in.clone())
            .await
            .status
            != 200
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    // The counters are gone; no place is given out twice.
    let after = anas.say(&room, "after").await["seq"].as_u64().unwrap();
    assert!(after > *seqs.last().unwrap());
    beas.before("after").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changes_while_redis_hangs_ends_every_other_session() {
    let stack = Stack::start(&["redis"]);
    let app = TestApp::start_fleet(&[("REDIS_URL", &stack.get("REDIS_SINGLE_URL"))]).await;
    let phone = app.register("ana").await;
    let laptop = app.sign_in("ana").await;
    let mut phones = app.connect(&phone).await;
    stack.signal_all("redis", "STOP");
    let change = json!({ "currentPassword": "correct horse", "newPassword": "battery staple" });
    let changed = app.post("/api/v1/me/password", Some(&laptop), change).await;
    stack.signal_all("redis", "CONT");
    // Either it wasn't, or it was and nobody else stays signed in; nothing in between.
    let new = json!({ "username": "ana", "password": "battery staple" });
    let signed_in = within("an answer", async {
        loop {
            let answer = app.post("/api/v1/auth/login", None, new.clone()).await;
            if answer.status != 503 {
                return answer.status.as_u16();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let refresh = async |token: &str| {
        let body = json!({ "refreshToken": token });
        app.post("/api/v1/auth/refresh", None, body).await
    };
    if signed_in == 200 {
        assert_eq!(
            refresh(&phone.refresh_token).await.code(),
            "unauthenticated"
        );
        phones.event("session:revoked").await;
        phones.disconnected().await;
        app.is_out(&phone).await;
    } else {
        assert_ne!(changed.status, 204, "{}", changed.body);
        refresh(&phone.refresh_token).await.expect(200);
    }
    refresh(&laptop.refresh_token).await.expect(200);
    app.stop().await;
}
