//! Events from other programs over HTTP: who may send them, and whom they reach.

use ::http::Method;
use serde_json::{Value, json};

use super::{
    api::Answer,
    test_app::{Person, TestApp},
};
use crate::{client::http, deadline::within};

const KEY: &str = "a key of at least thirty-two bytes";
const PUBLISH: &str = "/api/v1/publish";

async fn publish(app: &TestApp, key: Option<&str>, body: &Value) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let mut headers = vec![("content-type", "application/json")];
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer));
    }
    let response = http::request(
        app.address(),
        Method::POST,
        PUBLISH,
        &headers,
        body.to_string(),
    );
    let response = response.await;
    Answer {
        status: response.status,
        body: serde_json::from_slice(&response.body).unwrap_or_default(),
    }
}

async fn published(app: &TestApp, to: Value, event: &str, data: Value) {
    let body = json!({ "namespace": "/", "to": to, "event": event, "data": data });
    publish(app, Some(KEY), &body).await.expect(204);
}

async fn app() -> (TestApp, Person, Person) {
    let app = TestApp::start_with(&[("PUBLISH_API_KEY", KEY)]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    (app, ana, bea)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reaches_those_it_is_for_and_no_others() {
    let (app, ana, bea) = app().await;
    let (mut anas, mut second) = (app.connect(&ana).await, app.connect(&ana).await);
    let mut beas = app.connect(&bea).await;
    let hall = anas.create("public", "hall").await;
    beas.join(&hall).await;
    let price = json!({ "amount": 5, "deep": [{ "ä\"": null }, 1.5, "\u{2028}"] });

    published(
        &app,
        json!({ "room": hall }),
        "price:changed",
        price.clone(),
    )
    .await;
    assert_eq!(anas.event("price:changed").await, price);
    assert_eq!(beas.event("price:changed").await, price);
    published(&app, json!({ "user": ana.id }), "invoice paid", json!(42)).await;
    for client in [&mut anas, &mut second] {
        assert_eq!(client.event("invoice paid").await, 42);
    }
    let topic = format!("user:{}", bea.id);
    published(
        &app,
        json!({ "topic": topic }),
        "x",
        json!({ "_placeholder": true, "num": 0 }),
    )
    .await;
    assert_eq!(beas.event("x").await["num"], 0);
    // Nobody is there.
    for to in [
        json!({ "room": "nobody" }),
        json!({ "topic": "orders:live" }),
    ] {
        published(&app, to, "x", json!(0)).await;
    }
    for client in [&mut anas, &mut second, &mut beas] {
        let told = client.so_far().await;
        assert!(
            !told
                .iter()
                .any(|(name, _)| name == "x" || name.contains("price")),
            "{told:?}"
        );
    }
    // It is no part of the room's log.
    assert_eq!(anas.say(&hall, "one").await["seq"], 1);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_contract_can_be_forged() {
    let (app, ana, _) = app().await;
    let mut anas = app.connect(&ana).await;
    let hall = anas.create("public", "hall").await;
    let before = anas.so_far().await;
    assert!(
        before.iter().all(|(name, _)| name != "message:new"),
        "{before:?}"
    );
    let body = json!({
        "namespace": "/", "to": { "room": hall }, "event": "price", "data": { "roomId": hall }
    });
    for event in [
        "message:new",
        "Message:New",
        "message :new",
        "message:new\u{200b}",
        "\u{ff4d}essage:new",
        "room:void",
        "ROOM:UPDATED",
        "room:anything",
        "session:revoked",
        "server:draining",
        "resync",
        "connect",
        "disconnect",
        "connect_error",
        "Disconnect",
        "newListener",
        "",
    ] {
        let mut body = body.clone();
        body["event"] = event.into();
        let answer = publish(&app, Some(KEY), &body).await;
        assert_eq!(answer.code(), "invalid", "{event}");
    }
    for (field, value) in [
        ("namespace", json!("/admin")),
        ("namespace", json!("/nowhere")),
        ("to", json!({ "topic": "admin:live" })),
        ("to", json!({ "topic": "session:s" })),
        ("to", json!({ "topic": "everybody" })),
        ("to", json!({})),
        ("to", json!({ "room": hall, "user": ana.id })),
        ("data", json!("x".repeat(70_000))),
    ] {
        let mut body = body.clone();
        body[field] = value;
        assert_eq!(
            publish(&app, Some(KEY), &body).await.code(),
            "invalid",
            "{body}"
        );
    }
    // The same is fine otherwise, and the connection has heard of nothing else.
    publish(&app, Some(KEY), &body).await.expect(204);
    assert_eq!(anas.event("price").await["roomId"], hall);
    assert_eq!(anas.so_far().await, []);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_key_may() {
    let (app, ana, _) = app().await;
    let body = json!({ "namespace": "/", "to": { "user": ana.id }, "event": "x", "data": 0 });
    let (shorter, longer) = (&KEY[1..], format!("{KEY}s"));
    for key in [
        None,
        Some(""),
        Some(shorter),
        Some(&longer),
        Some(&ana.access_token),
    ] {
        let answer = publish(&app, key, &body).await;
        assert_eq!(answer.code(), "unauthenticated", "{key:?}");
    }
    // Nor is the key any good for what takes a person.
    let program = Person {
        access_token: KEY.to_owned(),
        ..ana
    };
    let answer = app.get("/api/v1/me", Some(&program)).await;
    assert_eq!(answer.code(), "unauthenticated");
    app.stop().await;

    // Where there is no key there is no route, whatever is sent.
    let app = TestApp::start().await;
    for key in [None, Some(KEY), Some("")] {
        assert_eq!(publish(&app, key, &body).await.code(), "not_found");
        assert_eq!(
            publish(&app, key, &json!("nonsense")).await.code(),
            "not_found"
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_falls_behind_loses_these_before_anything_durable() {
    let (app, ana, bea) = app().await;
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let hall = anas.create("public", "hall").await;
    beas.join(&hall).await;
    beas.event("room:member").await;
    // Far more than a queue holds, while bea's client reads nothing.
    let filler = json!("x".repeat(60_000));
    for _ in 0..400 {
        published(&app, json!({ "user": bea.id }), "filler", filler.clone()).await;
    }
    anas.say(&hall, "end").await;
    let heard = beas.before("end").await;
    assert!(heard.len() < 400, "nothing was lost");
    let others: Vec<_> = heard.iter().filter(|(name, _)| name != "filler").collect();
    assert!(others.is_empty(), "no resync, nothing: {others:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_used_and_revoked_while_the_server_runs() {
    let (app, admin) = TestApp::start().await.with_administrator("ada").await;
    let body = json!({ "namespace": "/", "to": { "user": admin.id }, "event": "a:b", "data": 1 });
    const KEYS: &str = "/api/v1/admin/keys";
    assert_eq!(publish(&app, Some(KEY), &body).await.code(), "not_found");
    let create = async |name: &str, scopes: Value| {
        let request = json!({ "name": name, "scopes": scopes });
        app.post(KEYS, Some(&admin), request).await
    };
    for wrong in [
        json!([]),
        json!(["all"]),
        json!(["publish:/nowhere"]),
        json!("publish"),
    ] {
        assert_eq!(create("shop", wrong).await.code(), "invalid");
    }
    let first = create("shop", json!(["publish"])).await.expect(201);
    let second = create("billing", json!(["publish:/"])).await.expect(201);
    let secret = |created: &Value| created["secret"].as_str().unwrap().to_owned();
    let path = |created: &Value| format!("{KEYS}/{}", created["key"]["id"].as_str().unwrap());
    // Of a fleet the other instance hears of them a moment later.
    let becomes = async |key: &str, status: u16| {
        within("what a key is good for", async {
            let mut right = 0;
            while right < 2 {
                match publish(&app, Some(key), &body).await.status.as_u16() {
                    found if found == status => right += 1,
                    _ => right = 0,
                }
            }
        })
        .await;
    };
    becomes(&secret(&first), 204).await;
    becomes(&secret(&second), 204).await;
    let guess = secret(&first).replace("tk_", "tk_0");
    for wrong in [KEY, &guess, &secret(&first)[..40], "tk_", "tk__", "tk_x_y"] {
        assert_eq!(
            publish(&app, Some(wrong), &body).await.code(),
            "unauthenticated"
        );
    }
    let listed = app.get(KEYS, Some(&admin)).await.expect(200);
    assert_eq!(listed["keys"][0]["name"], "shop");
    assert_eq!(listed["keys"][1]["scopes"], json!(["publish:/"]));
    assert!(!listed.to_string().contains(&secret(&first)));
    // Connected since, she hears what is published to her.
    let mut adas = app.connect(&admin).await;
    publish(&app, Some(&secret(&second)), &body)
        .await
        .expect(204);
    adas.event("a:b").await;
    app.delete(&path(&first), &admin).await.expect(204);
    becomes(&secret(&first), 401).await;
    becomes(&secret(&second), 204).await;
    assert_eq!(app.delete(&path(&first), &admin).await.code(), "not_found");
    let app = app.restart().await;
    publish(&app, Some(&secret(&second)), &body)
        .await
        .expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_configured_keys_are_good_at_a_time() {
    const OTHER: &str = "another key of at least 32 bytes";
    let keys = format!("{KEY},{OTHER}");
    let app = TestApp::start_with(&[("PUBLISH_API_KEY", &keys)]).await;
    let body =
        json!({ "namespace": "/", "to": { "topic": "orders:live" }, "event": "a:b", "data": 1 });
    for key in [KEY, OTHER] {
        publish(&app, Some(key), &body).await.expect(204);
    }
    assert_eq!(
        publish(&app, Some(&keys), &body).await.code(),
        "unauthenticated"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_limited_where_there_are_no_keys_too() {
    let app = TestApp::start_with(&[("RATE_LIMIT_STRANGERS", "3/10m")]).await;
    let body = json!({});
    assert_eq!(publish(&app, None, &body).await.code(), "not_found");
    within("a refusal", async {
        while publish(&app, Some(KEY), &body).await.status != 429 {}
    })
    .await;
    app.stop().await;
}
