//! Rooms: making, finding, changing and deleting them.

use ::http::Method;
use serde_json::{Value, json};

use super::each_is_invalid;
use crate::server::test_app::TestApp;

const ROOMS: &str = "/api/v1/rooms";

#[tokio::test]
async fn rooms_of_every_kind_are_made() {
    let app = TestApp::start().await;
    let (ada, bea) = (app.register("ada").await, app.register("bea").await);
    let make = |body: Value| app.post(ROOMS, Some(&ada), body);
    let public = make(json!({ "name": " Tea ", "kind": "public" }))
        .await
        .expect(201)["room"]
        .clone();
    assert_eq!(
        (&public["name"], &public["kind"], &public["role"]),
        (&json!("Tea"), &json!("public"), &json!("owner"))
    );
    assert_eq!(
        (
            &public["memberCount"],
            &public["headSeq"],
            &public["unread"],
            &public["readSeq"]
        ),
        (&json!(1), &json!(0), &json!(0), &json!(0)),
    );
    let private = json!({ "name": "Two", "kind": "private", "members": [bea.id, bea.id, ada.id] });
    assert_eq!(make(private).await.expect(201)["room"]["memberCount"], 2);

    let direct = make(json!({ "kind": "direct", "members": [bea.id] }))
        .await
        .expect(201)["room"]
        .clone();
    assert_eq!(
        (&direct["name"], &direct["memberCount"]),
        (&json!("bea"), &json!(2))
    );
    let back = app
        .post(
            ROOMS,
            Some(&bea),
            json!({ "kind": "direct", "members": [ada.id] }),
        )
        .await
        .expect(201);
    assert_eq!(
        (&back["room"]["id"], &back["room"]["name"]),
        (&direct["id"], &json!("ada"))
    );
    app.stop().await;
}

#[tokio::test]
async fn bad_rooms_are_refused_by_field() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let body = json!({ "name": "Tea", "kind": "private" });
    let many: Vec<_> = (0..101).map(|number| format!("u{number}")).collect();
    let changes = [
        ("name", Value::Null),
        ("name", json!(" ")),
        ("name", json!("x".repeat(129))),
        ("name", json!("a\u{7}b")),
        ("kind", Value::Null),
        ("kind", json!("secret")),
        ("members", json!("bea")),
        ("members", json!(many)),
        ("members[0]", json!(1)),
    ];
    let (indexed, plain): (Vec<_>, Vec<_>) = changes
        .into_iter()
        .partition(|(field, _)| field.contains('['));
    each_is_invalid(&app, Method::POST, ROOMS, Some(&ada), &body, &plain).await;
    for (field, value) in indexed {
        let body = json!({ "name": "Tea", "kind": "private", "members": [value] });
        assert!(
            app.post(ROOMS, Some(&ada), body)
                .await
                .refused("invalid")
                .starts_with(field)
        );
    }
    let nobody = json!({ "name": "Tea", "kind": "private", "members": ["nobody"] });
    let answer = app.post(ROOMS, Some(&ada), nobody).await;
    assert!(answer.refused("conflict").starts_with("members"));
    for members in [json!([]), json!([ada.id]), json!(["x", "y", "z"])] {
        let body = json!({ "kind": "direct", "members": members });
        assert!(
            app.post(ROOMS, Some(&ada), body)
                .await
                .refused("invalid")
                .starts_with("members")
        );
    }
    let guest = app.guest("Zoë").await;
    app.post(ROOMS, Some(&guest), body)
        .await
        .refused("forbidden");
    app.stop().await;
}

#[tokio::test]
async fn public_rooms_are_found_and_private_ones_are_not() {
    let app = TestApp::start().await;
    let (ada, bea) = (app.register("ada").await, app.register("bea").await);
    for (name, kind) in [
        ("Green tea", "public"),
        ("Black tea", "public"),
        ("Coffee", "public"),
        ("Secret tea", "private"),
    ] {
        app.post(ROOMS, Some(&ada), json!({ "name": name, "kind": kind }))
            .await
            .expect(201);
    }
    let names = |page: &Value| -> Vec<String> {
        let rooms = page["rooms"].as_array().unwrap();
        rooms
            .iter()
            .map(|room| room["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = app.get(ROOMS, Some(&bea)).await.expect(200);
    assert_eq!(
        (names(&all), &all["hasMore"]),
        (
            vec!["Green tea".into(), "Black tea".into(), "Coffee".into()],
            &json!(false)
        )
    );
    assert_eq!(
        all["rooms"][0].get("role"),
        None,
        "what a member would see is left out"
    );
    let found = app
        .get(&format!("{ROOMS}?query=TEA"), Some(&bea))
        .await
        .expect(200);
    assert_eq!(names(&found), ["Green tea", "Black tea"]);
    let first = app
        .get(&format!("{ROOMS}?limit=2"), Some(&bea))
        .await
        .expect(200);
    let after = first["rooms"][1]["id"].as_str().unwrap();
    assert_eq!(first["hasMore"], true);
    let rest = app
        .get(&format!("{ROOMS}?limit=2&after={after}"), Some(&bea))
        .await
        .expect(200);
    assert_eq!(
        (names(&rest), &rest["hasMore"]),
        (vec!["Coffee".into()], &json!(false))
    );
    for (query, field) in [
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("after=no%20id", "after"),
        ("query=%20", "query"),
    ] {
        let answer = app.get(&format!("{ROOMS}?{query}"), Some(&bea)).await;
        assert!(
            answer.refused("invalid").starts_with(field),
            "{query}: {}",
            answer.body
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn ones_own_rooms_say_what_is_unread() {
    let app = TestApp::start().await;
    let (ada, bea) = (app.register("ada").await, app.register("bea").await);
    let room = json!({ "name": "Two", "kind": "private", "members": [bea.id] });
    let room = app.post(ROOMS, Some(&ada), room).await.expect(201)["room"]["id"].clone();
    for body in ["one", "two"] {
        let path = format!("{ROOMS}/{}/messages", room.as_str().unwrap());
        app.post(&path, Some(&ada), json!({ "body": body }))
            .await
            .expect(201);
    }
    let mine = |person| app.get("/api/v1/me/rooms", Some(person));
    let beas = mine(&bea).await.expect(200);
    let one = &beas["rooms"][0];
    assert_eq!(
        (
            &one["id"],
            &one["unread"],
            &one["headSeq"],
            &beas["hasMore"]
        ),
        (&room, &json!(2), &json!(2), &json!(false))
    );
    assert_eq!(
        mine(&ada).await.expect(200)["rooms"][0]["unread"],
        0,
        "one's own messages aren't unread"
    );
    let bad = app.get("/api/v1/me/rooms?limit=0", Some(&ada)).await;
    assert!(bad.refused("invalid").starts_with("limit"));
    app.stop().await;
}

#[tokio::test]
async fn who_may_see_a_room_may_not_always_change_it() {
    let app = TestApp::start().await;
    let (ada, bea, cyd) = (
        app.register("ada").await,
        app.register("bea").await,
        app.register("cyd").await,
    );
    let private = json!({ "name": "Two", "kind": "private", "members": [bea.id] });
    let room = app.post(ROOMS, Some(&ada), private).await.expect(201)["room"]["id"].clone();
    let path = format!("{ROOMS}/{}", room.as_str().unwrap());
    let patch = |person, body| app.request(Method::PATCH, &path, Some(person), Some(body));

    assert_eq!(
        app.get(&path, Some(&bea)).await.expect(200)["room"]["role"],
        "member"
    );
    app.get(&path, Some(&cyd)).await.refused("not_found");
    patch(&cyd, json!({ "name": "Mine" }))
        .await
        .refused("not_found");
    patch(&bea, json!({ "name": "Mine" }))
        .await
        .refused("forbidden");
    app.delete(&path, &cyd).await.refused("not_found");
    app.delete(&path, &bea).await.refused("forbidden");

    assert_eq!(
        patch(&ada, json!({ "name": " Three " })).await.expect(200)["room"]["name"],
        "Three"
    );
    assert_eq!(
        patch(&ada, json!({})).await.expect(200)["room"]["name"],
        "Three"
    );
    each_is_invalid(
        &app,
        Method::PATCH,
        &path,
        Some(&ada),
        &json!({}),
        &[("name", json!("")), ("name", json!([]))],
    )
    .await;
    app.delete(&path, &ada).await.expect(204);
    for person in [&ada, &bea] {
        app.get(&path, Some(person)).await.refused("not_found");
    }
    for path in ["nothing", "no%20id", "%ff", &"x".repeat(65)] {
        app.get(&format!("{ROOMS}/{path}"), Some(&ada))
            .await
            .refused("not_found");
    }
    app.stop().await;
}
