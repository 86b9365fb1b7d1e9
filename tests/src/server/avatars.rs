//! Pictures of people: made of an upload, seen by everybody, and gone with what comes after them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    api::{Api, Person},
    media::{PHOTO, Place, fetch, until, upload, with},
    test_app::{TestApp, on_a_fleet},
};
use crate::deadline::within;

const ME: &str = "/api/v1/me";

const AVATAR: &str = "/api/v1/me/avatar";

/// An image of somebody's that can be had.
async fn image(app: &Api, person: &Person) -> String {
    let id = upload(app, person, "me.jpg", "image/jpeg", &PHOTO).await;
    until(app, person, &id, "ready").await;
    id
}

/// Makes it their avatar, and returns its URL.
async fn set(app: &Api, person: &Person, id: &str) -> String {
    let body = json!({ "uploadId": id });
    let user = app.put(AVATAR, person, body).await.expect(200)["user"].clone();
    user["avatarUrl"].as_str().unwrap().to_owned()
}

async fn refused(app: &Api, person: &Person, id: &str) -> String {
    let body = json!({ "uploadId": id });
    app.put(AVATAR, person, body).await.code().to_owned()
}

async fn gone(app: &Api, url: &str) {
    within("the end of an avatar", async {
        while fetch(app, url, &[]).await.0 != 404 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_avatar_is_what_everybody_sees() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut client = app.connect(&ana).await;
    let room = client.create("public", "Hall").await;
    let id = image(&app, &ana).await;
    let url = set(&app, &ana, &id).await;
    let (status, headers, bytes) = fetch(&app, &url, &[]).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (200, &"image/webp".parse().unwrap())
    );
    assert_eq!(
        headers["cache-control"],
        "public, max-age=31536000, immutable"
    );
    let picture = image::load_from_memory(&bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (200, 100));
    let is_shown = |user: &Value| assert_eq!(user["avatarUrl"], *url, "{user}");
    is_shown(&app.get(ME, Some(&ana)).await.expect(200)["user"]);
    let path = format!("/api/v1/users/{}", ana.id);
    is_shown(&app.get(&path, Some(&bea)).await.expect(200)["user"]);
    let path = "/api/v1/users?query=ana";
    is_shown(&app.get(path, Some(&bea)).await.expect(200)["users"][0]);
    let path = format!("/api/v1/rooms/{room}/members");
    is_shown(&app.get(&path, Some(&ana)).await.expect(200)["members"][0]["user"]);
    // The same again is the same.
    assert_eq!(set(&app, &ana, &id).await, url);
    app.stop().await;
}

#[tokio::test]
async fn an_avatar_is_a_ready_image_of_ones_own_and_nothing_else() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut client = app.connect(&ana).await;
    let room = client.create("public", "Hall").await;
    assert_eq!(refused(&app, &ana, "none").await, "conflict");
    let file = upload(&app, &ana, "me.txt", "text/plain", b"me").await;
    assert_eq!(refused(&app, &ana, &file).await, "conflict");
    let broken = upload(&app, &ana, "me.jpg", "image/jpeg", b"me").await;
    until(&app, &ana, &broken, "failed").await;
    assert_eq!(refused(&app, &ana, &broken).await, "conflict");
    let beas = image(&app, &bea).await;
    assert_eq!(refused(&app, &ana, &beas).await, "conflict");
    let sent = image(&app, &ana).await;
    client
        .done("message:send", with(&room, "c1", &[&sent]))
        .await;
    assert_eq!(refused(&app, &ana, &sent).await, "conflict");
    let user = app.get(ME, Some(&ana)).await.expect(200)["user"].clone();
    assert_eq!(user.get("avatarUrl"), None);
    // Nor is it attached to a message afterwards.
    let id = image(&app, &ana).await;
    let url = set(&app, &ana, &id).await;
    let (code, _) = client
        .refused("message:send", with(&room, "c2", &[&id]))
        .await;
    assert_eq!(code, "conflict");
    assert_eq!(fetch(&app, &url, &[]).await.0, 200);
    app.stop().await;
}

#[tokio::test]
async fn an_avatar_goes_when_there_is_another_or_none() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let ana = app.register("ana").await;
    let (first, second) = (image(&app, &ana).await, image(&app, &ana).await);
    let before = set(&app, &ana, &first).await;
    let now = set(&app, &ana, &second).await;
    gone(&app, &before).await;
    assert_eq!(fetch(&app, &now, &[]).await.0, 200);
    assert_eq!(refused(&app, &ana, &first).await, "conflict");
    let none = app.patch(ME, &ana, json!({ "avatarUrl": null })).await;
    assert_eq!(none.expect(200)["user"].get("avatarUrl"), None);
    gone(&app, &now).await;
    let third = image(&app, &ana).await;
    let now = set(&app, &ana, &third).await;
    let elsewhere = json!({ "avatarUrl": "https://example.org/me.png" });
    let user = app.patch(ME, &ana, elsewhere).await.expect(200)["user"].clone();
    assert_eq!(user["avatarUrl"], "https://example.org/me.png");
    gone(&app, &now).await;
    // Nobody names an upload by themselves.
    let named = json!({ "avatarUrl": format!("media:{third}-200.webp") });
    assert_eq!(app.patch(ME, &ana, named).await.code(), "invalid");
    app.stop().await;
}

#[tokio::test]
async fn an_avatar_goes_with_its_account() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let ana = app.register("ana").await;
    let id = image(&app, &ana).await;
    let url = set(&app, &ana, &id).await;
    app.delete(ME, &ana).await.expect(204);
    gone(&app, &url).await;
    app.stop().await;
}

#[tokio::test]
async fn an_avatar_that_nobody_got_to_have_is_removed() {
    if on_a_fleet() {
        return;
    }
    let app = TestApp::start_embedded().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (anas, beas) = (image(&app, &ana).await, image(&app, &bea).await);
    let (had, kept) = (set(&app, &ana, &anas).await, set(&app, &bea, &beas).await);
    // As if the server had died after it had taken the upload.
    let (app, ()) = app
        .changed_while_stopped(|data| {
            let users = rusqlite::Connection::open(data.join("messages.db")).unwrap();
            let without = "UPDATE users SET avatar_url = NULL WHERE id = ?1";
            assert_eq!(users.execute(without, [&ana.id]).unwrap(), 1);
            let tables = rusqlite::Connection::open(data.join("tables/tables.db")).unwrap();
            let due = "UPDATE uploads SET check_at = 0";
            assert_eq!(tables.execute(due, []).unwrap(), 2);
        })
        .await;
    gone(&app, &had).await;
    assert_eq!(fetch(&app, &kept, &[]).await.0, 200);
    app.stop().await;
}
