//! The end of a session: its connections are told and cut within a second, its token is refused.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tertulia::auth::{access_tokens::AccessTokens, actor::Actor, signing_secret::SigningSecret};

use super::{
    chat_client::ChatClient,
    test_app::{Person, TestApp, person},
};

async fn log_in(app: &TestApp, username: &str, password: &str) -> Person {
    let body = json!({ "username": username, "password": password });
    person(&app.post("/api/v1/auth/login", None, body).await.expect(200))
}

async fn refusal(app: &TestApp, token: &str) -> Value {
    let refused = ChatClient::try_connect(app.address(), json!({ "token": token })).await;
    refused.err().expect("a refusal")
}

/// The session of `socket` has just ended.
async fn is_cut(app: &TestApp, socket: &mut ChatClient, person: &Person) {
    let begun = Instant::now();
    assert_eq!(socket.event("session:revoked").await, json!({}));
    socket.disconnected().await;
    // Far less than a second on a machine with nothing else to do.
    assert!(begun.elapsed() < Duration::from_secs(5));
    app.is_out(person).await;
    assert_eq!(
        refusal(app, &person.access_token).await["data"]["code"],
        "unauthenticated"
    );
    let body = json!({ "refreshToken": person.refresh_token });
    let refreshed = app.post("/api/v1/auth/refresh", None, body).await;
    assert_eq!(refreshed.code(), "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_a_session_cuts_its_connections_and_no_others() {
    let app = TestApp::start().await;
    let phone = app.register("ana").await;
    let laptop = log_in(&app, "ana", "correct horse").await;
    let (mut phones, mut second) = (app.connect(&phone).await, app.connect(&phone).await);
    let mut laptops = app.connect(&laptop).await;
    let room = laptops.create("public", "hall").await;
    phones.join(&room).await;
    let sessions = app.get("/api/v1/sessions", Some(&laptop)).await.expect(200);
    let other = sessions["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["current"] == false);
    let path = format!(
        "/api/v1/sessions/{}",
        other.unwrap()["id"].as_str().unwrap()
    );
    app.delete(&path, &laptop).await.expect(204);
    is_cut(&app, &mut phones, &phone).await;
    is_cut(&app, &mut second, &phone).await;
    // The other one goes on, and the first doesn't hear of the room any more.
    laptops.say(&room, "still here").await;
    assert_eq!(app.delete(&path, &laptop).await.code(), "not_found");
    phones.send_raw("42[\"message:send\",{}]").await;
    phones.send_raw("40{}").await;
    assert!(phones.socket().text().await.starts_with("44"));
    // It stays so after a restart.
    let app = app.restart().await;
    assert_eq!(
        refusal(&app, &phone.access_token).await["data"]["code"],
        "unauthenticated"
    );
    app.connect(&laptop).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_cuts_ones_own_connections() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    app.post("/api/v1/auth/logout", Some(&ana), json!({}))
        .await
        .expect(204);
    is_cut(&app, &mut anas, &ana).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_cuts_all_other_sessions() {
    let app = TestApp::start().await;
    let phone = app.register("ana").await;
    let laptop = log_in(&app, "ana", "correct horse").await;
    let (mut phones, mut laptops) = (app.connect(&phone).await, app.connect(&laptop).await);
    let wrong = json!({ "currentPassword": "wrong horse", "newPassword": "battery staple" });
    assert_eq!(
        app.post("/api/v1/me/password", Some(&laptop), wrong)
            .await
            .code(),
        "forbidden"
    );
    let right = json!({ "currentPassword": "correct horse", "newPassword": "battery staple" });
    app.post("/api/v1/me/password", Some(&laptop), right)
        .await
        .expect(204);
    is_cut(&app, &mut phones, &phone).await;
    laptops.create("public", "still here").await;
    log_in(&app, "ana", "battery staple").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_opened_with_the_old_password_while_it_changes_does_not_stay() {
    let app = TestApp::start().await;
    for round in 0..4 {
        let name = format!("ana-{round}");
        let ana = app.register(&name).await;
        let change = json!({ "currentPassword": "correct horse", "newPassword": "battery staple" });
        let is_changed = AtomicBool::new(false);
        let changing = async {
            let path = "/api/v1/me/password";
            let answer = app.post(path, Some(&ana), change).await;
            is_changed.store(true, Ordering::Relaxed);
            answer.expect(204);
        };
        let old = json!({ "username": name, "password": "correct horse" });
        let signing_in = (0..6).map(async |_| {
            let mut opened = Vec::new();
            // Of more than twenty sessions the earliest ends, which is the one that changes the password.
            while !is_changed.load(Ordering::Relaxed) && opened.len() < 3 {
                let answer = app.post("/api/v1/auth/login", None, old.clone()).await;
                if answer.status == 200 {
                    opened.push(person(&answer.body));
                }
            }
            opened
        });
        let (opened, ()) = tokio::join!(join_all(signing_in), changing);
        for other in opened.concat() {
            let body = json!({ "refreshToken": other.refresh_token });
            let answer = app.post("/api/v1/auth/refresh", None, body).await;
            assert_eq!(answer.code(), "unauthenticated");
            app.is_out(&other).await;
        }
        let sessions = app.get("/api/v1/sessions", Some(&ana)).await.expect(200);
        let sessions = sessions["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        assert_eq!(sessions[0]["current"], true);
        let body = json!({ "refreshToken": ana.refresh_token });
        app.post("/api/v1/auth/refresh", None, body)
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_change_a_password_at_once_one_does() {
    let app = TestApp::start().await;
    let phone = app.register("ana").await;
    let laptop = log_in(&app, "ana", "correct horse").await;
    let change = async |person: &Person, new: &str| {
        let body = json!({ "currentPassword": "correct horse", "newPassword": new });
        let path = "/api/v1/me/password";
        app.post(path, Some(person), body).await.status.as_u16()
    };
    let statuses = tokio::join!(
        change(&phone, "of the phone"),
        change(&laptop, "of the laptop")
    );
    let (winner, password) = match statuses {
        (204, _) => (&phone, "of the phone"),
        (_, 204) => (&laptop, "of the laptop"),
        other => panic!("{other:?}"),
    };
    assert!(statuses.0 != 204 || statuses.1 != 204, "{statuses:?}");
    log_in(&app, "ana", password).await;
    app.get("/api/v1/me", Some(winner)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_its_session_though_nobody_says_so() {
    const SECRET: &str = "of the tests alone: more than 32 bytes";
    let app = TestApp::start_with(&[("JWT_SECRET", SECRET)]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let tokens = AccessTokens::new(&SigningSecret::from_bytes(SECRET));
    let now = protocol::Timestamp::now();
    let connect = async |person: &Person, session: Option<&str>| {
        let mut actor: Actor = tokens.verify(&person.access_token, now).unwrap();
        actor.session_expires_at = now;
        if let Some(session) = session {
            actor.session_id = protocol::SessionId::trusted(session);
        }
        let token = tokens.issue(&actor, now).unwrap();
        ChatClient::connect(app.address(), json!({ "token": token.expose() })).await
    };
    // The one was refreshed since its token was issued; of the other the store knows nothing.
    let mut anas = connect(&ana, None).await;
    let mut expired = connect(&ana, Some("expired")).await;
    assert_eq!(expired.event("session:revoked").await, json!({}));
    expired.disconnected().await;
    let hall = anas.create("public", "hall").await;
    // A session of somebody who is deleted ends too.
    let mut beas = connect(&bea, Some("deleted")).await;
    beas.join(&hall).await;
    app.delete("/api/v1/me", &bea).await.expect(204);
    beas.event_that(|(name, _)| name == "session:revoked").await;
    beas.disconnected().await;
    anas.say(&hall, "still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_refresh_token_ends_the_session_of_both() {
    let app = TestApp::start().await;
    let first = app.register("ana").await;
    let refresh = async |person: &Person| {
        let body = json!({ "refreshToken": person.refresh_token });
        app.post("/api/v1/auth/refresh", None, body).await
    };
    let second = person(&refresh(&first).await.expect(200));
    // At once the same one gives the same successor: the first answer may have got lost.
    let again = person(&refresh(&first).await.expect(200));
    assert_eq!(again.refresh_token, second.refresh_token);
    let mut anas = app.connect(&second).await;
    let third = person(&refresh(&second).await.expect(200));
    // The successor was used, so whoever still has the first one isn't its owner.
    assert_eq!(refresh(&first).await.code(), "unauthenticated");
    is_cut(&app, &mut anas, &third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_account_cuts_its_connections() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = beas.create("public", "hall").await;
    anas.join(&room).await;
    anas.say(&room, "mine").await;
    app.delete("/api/v1/me", &ana).await.expect(204);
    is_cut(&app, &mut anas, &ana).await;
    let left = beas.event_that(|(name, told)| name == "room:member" && told["role"].is_null());
    assert_eq!(left.await.1["userId"], ana.id);
    let history = beas
        .done("message:history", json!({ "roomId": room }))
        .await;
    assert_eq!(history["messages"][0]["body"], "mine");
    assert_ne!(history["messages"][0]["sender"]["displayName"], "ana");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_token_of_a_good_session_connects() {
    const SECRET: &str = "of the tests alone: more than 32 bytes";
    let app = TestApp::start_with(&[("JWT_SECRET", SECRET)]).await;
    let ana = app.register("ana").await;
    let tokens = AccessTokens::new(&SigningSecret::from_bytes(SECRET));
    let now = protocol::Timestamp::now();
    let actor: Actor = tokens.verify(&ana.access_token, now).unwrap();
    let ago = |seconds: i64| protocol::Timestamp::from_unix_ms(now.unix_ms() - seconds * 1_000);
    let expired = tokens.issue(&actor, ago(15 * 60)).unwrap();
    let old = tokens.issue(&actor, ago(14 * 60)).unwrap();
    let others = AccessTokens::new(&SigningSecret::from_bytes(
        "another secret of at least 32 bytes",
    ));
    let forged = others.issue(&actor, now).unwrap();
    let (head, rest) = ana.access_token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let swapped = format!("{head}.{signature}.{claims}");
    for token in [
        expired.expose(),
        forged.expose(),
        &unsigned,
        &swapped,
        "garbage",
        "a.b.c",
        &ana.refresh_token,
    ] {
        let refused = refusal(&app, token).await;
        assert_eq!(refused["data"]["code"], "unauthenticated", "{refused}");
        assert_eq!(refused["message"], refused["data"]["message"]);
        assert!(!refused.to_string().contains(token), "{refused}");
    }
    for auth in [
        json!({}),
        json!({ "token": null }),
        json!({ "token": 1 }),
        json!({ "token": "" }),
        json!({ "token": "x".repeat(5_000) }),
        json!({ "Token": ana.access_token }),
    ] {
        let refused = ChatClient::try_connect(app.address(), auth)
            .await
            .err()
            .unwrap();
        assert_eq!(refused["data"]["code"], "unauthenticated", "{refused}");
    }
    let stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
    let refused = ChatClient::try_connect_on(stream, "40")
        .await
        .err()
        .unwrap();
    assert_eq!(refused["data"]["code"], "unauthenticated", "{refused}");
    ChatClient::connect(app.address(), json!({ "token": old.expose() })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_that_dont_exist_arent_found() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let auth = json!({ "token": ana.access_token });
    let mut anas = app.connect(&ana).await;
    for namespace in ["/orders", "/admin", "/nowhere", "/chat?x=1"] {
        for auth in [&auth, &json!({})] {
            anas.send_raw(&format!("40{namespace},{auth}")).await;
            let answer = anas.socket().text().await;
            let bare = namespace.split('?').next().unwrap();
            let refused = answer
                .strip_prefix(&format!("44{bare},"))
                .unwrap_or_else(|| panic!("{answer}"));
            let refused: Value = serde_json::from_str(refused).unwrap();
            assert_eq!(refused["data"]["code"], "not_found", "{refused}");
        }
    }
    // The namespace that was there goes on.
    anas.create("public", "hall").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_its_rooms_is_checked() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    for (resume, field) in [
        (json!([]), "resume"),
        (json!("x"), "resume"),
        (json!({ "r": {} }), "resume.r.seq"),
        (json!({ "r": { "seq": -1 } }), "resume.r.seq"),
        (json!({ "r": { "seq": "1" } }), "resume.r.seq"),
        (
            json!({ "r": { "seq": 9_007_199_254_740_992_u64 } }),
            "resume.r.seq",
        ),
        (json!({ "r": { "seq": 1, "epoch": {} } }), "resume.r.epoch"),
        (json!({ "no id": { "seq": 1 } }), "resume"),
    ] {
        let auth = json!({ "token": ana.access_token, "resume": resume });
        let refused = ChatClient::try_connect(app.address(), auth)
            .await
            .err()
            .unwrap();
        assert_eq!(refused["data"]["code"], "invalid", "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.starts_with(field), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_other_sessions_end_at_once() {
    let app = TestApp::start().await;
    let phone = app.register("ana").await;
    let laptop = log_in(&app, "ana", "correct horse").await;
    let bea = app.register("bea").await;
    let (mut phones, mut laptops) = (app.connect(&phone).await, app.connect(&laptop).await);
    let mut beas = app.connect(&bea).await;
    app.delete("/api/v1/sessions", &laptop).await.expect(204);
    is_cut(&app, &mut phones, &phone).await;
    laptops.create("public", "still here").await;
    beas.create("public", "mine").await;
    let sessions = app.get("/api/v1/sessions", Some(&laptop)).await.expect(200);
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1);
    app.delete("/api/v1/sessions", &laptop).await.expect(204);
    log_in(&app, "ana", "correct horse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_list_and_end_the_sessions_of_anybody() {
    let (app, admin) = TestApp::start().await.with_administrator("ada").await;
    let phone = app.register("ana").await;
    let laptop = log_in(&app, "ana", "correct horse").await;
    let (mut phones, mut laptops) = (app.connect(&phone).await, app.connect(&laptop).await);
    let path = format!("/api/v1/admin/users/{}/sessions", phone.id);
    let listed = app.get(&path, Some(&admin)).await.expect(200);
    let listed = listed["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|session| session["current"] == false));
    let own = app.get("/api/v1/sessions", Some(&phone)).await.expect(200);
    let mut own = own["sessions"].as_array().unwrap().iter();
    let phones_id = own.find(|session| session["current"] == true).unwrap()["id"].clone();
    let one = format!("{path}/{}", phones_id.as_str().unwrap());
    app.delete(&one, &admin).await.expect(204);
    is_cut(&app, &mut phones, &phone).await;
    assert_eq!(app.delete(&one, &admin).await.code(), "not_found");
    laptops.create("public", "still here").await;
    app.delete(&path, &admin).await.expect(204);
    is_cut(&app, &mut laptops, &laptop).await;
    let nobody = "/api/v1/admin/users/nobody/sessions";
    assert_eq!(app.get(nobody, Some(&admin)).await.code(), "not_found");
    assert_eq!(app.delete(nobody, &admin).await.code(), "not_found");
    app.get("/api/v1/me", Some(&admin)).await.expect(200);
}
