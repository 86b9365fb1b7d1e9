//! One's own user, others, blocks, and the end of an account.

use ::http::Method;
use serde_json::{Value, json};

use super::each_is_invalid;
use crate::server::test_app::TestApp;

const ME: &str = "/api/v1/me";

#[tokio::test]
async fn one_changes_what_one_shows() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let patch = |body: Value| app.request(Method::PATCH, ME, Some(&ada), Some(body));
    let all = json!({ "displayName": " Countess ", "avatarUrl": "https://example.org/a.png", "email": "ada@example.org", "currentPassword": "correct horse" });
    let user = patch(all).await.expect(200)["user"].clone();
    assert_eq!(
        (&user["displayName"], &user["avatarUrl"], &user["email"]),
        (
            &json!("Countess"),
            &json!("https://example.org/a.png"),
            &json!("ada@example.org")
        ),
    );
    let user = patch(json!({ "avatarUrl": null, "unknown": 1 }))
        .await
        .expect(200)["user"]
        .clone();
    assert_eq!(
        (user.get("avatarUrl"), &user["email"]),
        (None, &json!("ada@example.org"))
    );
    assert_eq!(app.get(ME, Some(&ada)).await.expect(200)["user"], user);

    let changes = [
        ("displayName", json!("")),
        ("displayName", json!(1)),
        ("avatarUrl", json!("javascript:alert(1)")),
        ("avatarUrl", json!("x".repeat(3_000))),
        ("email", json!("nobody")),
    ];
    each_is_invalid(&app, Method::PATCH, ME, Some(&ada), &json!({}), &changes).await;

    let bea = app.register("bea").await;
    // It isn't proved to be anybody's: it is neither kept from others, nor does it tell of them.
    let same = json!({ "email": "ADA@example.org", "currentPassword": "correct horse" });
    let beas = app.patch(ME, &bea, same.clone()).await.expect(200);
    assert_eq!(beas["user"]["email"], "ADA@example.org");
    // So does nobody learn of many at once.
    for _ in 1..10 {
        app.patch(ME, &bea, same.clone()).await.expect(200);
    }
    app.patch(ME, &bea, same).await.refused("rate_limited");
    for number in 10..60 {
        let name = json!({ "displayName": format!("Bea {number}") });
        app.patch(ME, &bea, name).await.expect(200);
    }
    let name = json!({ "displayName": "Bea" });
    app.patch(ME, &bea, name).await.refused("rate_limited");
    let name = json!({ "displayName": "Ada" });
    app.patch(ME, &ada, name).await.expect(200);
    let guest = app.guest("Zoë").await;
    let email = json!({ "email": "zoe@example.org" });
    app.request(Method::PATCH, ME, Some(&guest), Some(email))
        .await
        .refused("forbidden");
    app.stop().await;
}

#[tokio::test]
async fn others_are_found_without_their_address() {
    let app = TestApp::start().await;
    let account = json!({ "username": "ada", "password": "correct horse", "displayName": "Countess", "email": "a@b.org" });
    let ada = app
        .post("/api/v1/auth/register", None, account)
        .await
        .expect(201)["user"]
        .clone();
    let bea = app.register("bea").await;
    let path = format!("/api/v1/users/{}", ada["id"].as_str().unwrap());
    let seen = app.get(&path, Some(&bea)).await.expect(200)["user"].clone();
    let mut expected = ada.clone();
    expected.as_object_mut().unwrap().remove("email");
    assert_eq!(seen, expected);
    for query in ["ada", "AD", "count", "untes"] {
        let found = app
            .get(&format!("/api/v1/users?query={query}"), Some(&bea))
            .await
            .expect(200);
        assert_eq!(
            found,
            json!({ "users": [expected], "hasMore": false }),
            "{query}"
        );
    }
    let none = app
        .get("/api/v1/users?query=%25", Some(&bea))
        .await
        .expect(200);
    assert_eq!(none["users"], json!([]));
    for (query, field) in [
        ("", "query"),
        ("?query=", "query"),
        ("?query=a&limit=0", "limit"),
        ("?query=a&limit=x", "limit"),
        ("?query=a&after=no%20id", "after"),
        ("?query=a&query=b", "query"),
    ] {
        let answer = app.get(&format!("/api/v1/users{query}"), Some(&bea)).await;
        let detail = answer.refused("invalid");
        assert!(detail.starts_with(field), "{query}: {detail}");
    }
    app.get("/api/v1/users/nobody", Some(&bea))
        .await
        .refused("not_found");
    app.get("/api/v1/users/no%20id", Some(&bea))
        .await
        .refused("not_found");
    app.stop().await;
}

#[tokio::test]
async fn many_users_come_in_pages() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for name in ["bee-a", "bee-b", "bee-c"] {
        ids.push(app.register(name).await.id);
    }
    let reader = app.register("ada").await;
    let first = app
        .get("/api/v1/users?query=bee&limit=2", Some(&reader))
        .await
        .expect(200);
    assert_eq!(
        (first["users"].as_array().unwrap().len(), &first["hasMore"]),
        (2, &json!(true))
    );
    let after = first["users"][1]["id"].as_str().unwrap();
    let rest = app
        .get(
            &format!("/api/v1/users?query=bee&limit=2&after={after}"),
            Some(&reader),
        )
        .await
        .expect(200);
    assert_eq!(
        (&rest["users"][0]["id"], &rest["hasMore"]),
        (&json!(ids[2]), &json!(false))
    );
    app.stop().await;
}

#[tokio::test]
async fn blocks_are_put_listed_and_taken_back() {
    let app = TestApp::start().await;
    let (ada, bea) = (app.register("ada").await, app.register("bea").await);
    let path = |id: &str| format!("/api/v1/me/blocks/{id}");
    for _ in 0..2 {
        app.request(Method::PUT, &path(&bea.id), Some(&ada), None)
            .await
            .expect(204);
    }
    let listed = app.get("/api/v1/me/blocks", Some(&ada)).await.expect(200);
    assert_eq!(listed["users"][0]["id"], json!(bea.id));
    let direct = json!({ "kind": "direct", "members": [ada.id] });
    app.post("/api/v1/rooms", Some(&bea), direct.clone())
        .await
        .refused("forbidden");
    for _ in 0..2 {
        app.delete(&path(&bea.id), &ada).await.expect(204);
    }
    app.post("/api/v1/rooms", Some(&bea), direct)
        .await
        .expect(201);
    let unknown = app
        .request(Method::PUT, &path("nobody"), Some(&ada), None)
        .await;
    unknown.refused("not_found");
    let oneself = app
        .request(Method::PUT, &path(&ada.id), Some(&ada), None)
        .await;
    assert!(oneself.refused("conflict").starts_with("userId"));
    app.stop().await;
}

#[tokio::test]
async fn a_deleted_account_is_gone_but_not_what_it_said() {
    let app = TestApp::start().await;
    let (ada, bea) = (app.register("ada").await, app.register("bea").await);
    let room = app
        .post(
            "/api/v1/rooms",
            Some(&ada),
            json!({ "name": "r", "kind": "public" }),
        )
        .await
        .expect(201);
    let room = format!("/api/v1/rooms/{}", room["room"]["id"].as_str().unwrap());
    let mut beas = app.connect(&bea).await;
    let room_id = room.rsplit('/').next().unwrap();
    beas.done("room:join", json!({ "roomId": room_id })).await;
    assert_eq!(beas.event("room:member").await["userId"], json!(bea.id));
    app.post(
        &format!("{room}/messages"),
        Some(&ada),
        json!({ "body": "stays" }),
    )
    .await
    .expect(201);

    app.delete(ME, &ada).await.expect(204);
    app.is_out(&ada).await;
    let login = json!({ "username": "ada", "password": "correct horse" });
    app.post("/api/v1/auth/login", None, login)
        .await
        .refused("unauthenticated");
    app.get(&format!("/api/v1/users/{}", ada.id), Some(&bea))
        .await
        .refused("not_found");
    let left = beas.event("room:member").await;
    assert_eq!(
        left,
        json!({ "roomId": room_id, "userId": ada.id, "role": null })
    );
    let messages = app
        .get(&format!("{room}/messages"), Some(&bea))
        .await
        .expect(200);
    assert_eq!(messages["messages"][0]["body"], "stays");
    assert_ne!(
        app.register("ada").await.id,
        ada.id,
        "the name is free again"
    );
    app.stop().await;
}
