//! Members of a room: listing, adding, promoting and removing them.

use ::http::Method;
use serde_json::{Value, json};

use super::each_is_invalid;
use crate::server::test_app::TestApp;

#[tokio::test]
async fn members_come_go_and_rise() {
    let app = TestApp::start().await;
    let (ada, bea, cyd) = (
        app.register("ada").await,
        app.register("bea").await,
        app.register("cyd").await,
    );
    let room = json!({ "name": "Three", "kind": "private" });
    let room = app
        .post("/api/v1/rooms", Some(&ada), room)
        .await
        .expect(201)["room"]["id"]
        .clone();
    let members = format!("/api/v1/rooms/{}/members", room.as_str().unwrap());
    let path = |id: &str| format!("{members}/{id}");
    let put = async |by, id: &str, body: Option<Value>| {
        app.request(Method::PUT, &path(id), Some(by), body).await
    };

    let added = put(&ada, &bea.id, None).await.expect(200)["member"].clone();
    assert_eq!(
        (&added["user"]["id"], &added["role"]),
        (&json!(bea.id), &json!("member"))
    );
    assert!(added["joinedAt"].is_string());
    put(&bea, &cyd.id, None).await.refused("forbidden");
    put(&cyd, &cyd.id, None).await.refused("not_found");
    let risen = put(&ada, &bea.id, Some(json!({ "role": "moderator" })))
        .await
        .expect(200);
    assert_eq!(risen["member"]["role"], "moderator");
    put(&bea, &cyd.id, Some(json!({ "role": "owner" })))
        .await
        .refused("forbidden");
    put(&bea, &cyd.id, Some(json!({}))).await.expect(200);
    put(&ada, &ada.id, Some(json!({ "role": "member" })))
        .await
        .refused("conflict");
    put(&ada, "nobody", None).await.refused("not_found");
    each_is_invalid(
        &app,
        Method::PUT,
        &path(&bea.id),
        Some(&ada),
        &json!({}),
        &[("role", json!("king")), ("role", json!(1))],
    )
    .await;

    let listed = app.get(&members, Some(&cyd)).await.expect(200);
    let roles: Vec<_> = listed["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| &member["role"])
        .collect();
    assert_eq!(
        (roles, &listed["hasMore"]),
        (
            vec![&json!("owner"), &json!("moderator"), &json!("member")],
            &json!(false)
        )
    );
    let first = app
        .get(&format!("{members}?limit=1"), Some(&cyd))
        .await
        .expect(200);
    assert_eq!(
        (&first["members"][0]["user"]["id"], &first["hasMore"]),
        (&json!(ada.id), &json!(true))
    );
    let next = app
        .get(&format!("{members}?limit=1&after={}", ada.id), Some(&cyd))
        .await
        .expect(200);
    assert_eq!(next["members"][0]["user"]["id"], json!(bea.id));
    assert!(
        app.get(&format!("{members}?limit=1000"), Some(&cyd))
            .await
            .refused("invalid")
            .starts_with("limit")
    );

    app.delete(&path(&ada.id), &bea).await.refused("forbidden");
    app.delete(&path(&cyd.id), &bea).await.expect(204);
    app.delete(&path(&cyd.id), &bea).await.refused("not_found");
    app.get(&members, Some(&cyd)).await.refused("not_found");
    app.delete(&path(&bea.id), &bea).await.expect(204);
    app.delete(&path(&bea.id), &bea).await.refused("not_found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_found_by_part_of_a_name() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let room = json!({ "name": "Crowd", "kind": "public" });
    let room = app.post("/api/v1/rooms", Some(&ada), room).await;
    let room = room.expect(201)["room"]["id"].clone();
    let members = format!("/api/v1/rooms/{}/members", room.as_str().unwrap());
    for name in ["Béatrice", "王小明", "Zoë"] {
        let guest = app.guest(name).await;
        let path = format!("{members}/{}", guest.id);
        app.request(Method::PUT, &path, Some(&ada), None)
            .await
            .expect(200);
    }
    let beatrice = app.guest("Beatrice, who isn't in it").await;
    let found = async |query: &str| {
        let page = app
            .get(&format!("{members}?query={query}"), Some(&ada))
            .await
            .expect(200);
        assert_eq!(page["hasMore"], false);
        let members = page["members"].as_array().unwrap().clone();
        members
            .into_iter()
            .map(|member| member["user"]["displayName"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found("beatr").await, ["Béatrice"]);
    assert_eq!(found("%E5%B0%8F%E6%98%8E").await, ["王小明"]);
    assert_eq!(found("ADA").await, ["ada"]);
    assert_eq!(found("nobody").await, [""; 0]);
    let too_long = format!("{members}?query={}", "x".repeat(257));
    for path in [format!("{members}?query="), too_long] {
        let answer = app.get(&path, Some(&beatrice)).await;
        assert!(answer.refused("invalid").starts_with("query"));
    }
    app.stop().await;
}
