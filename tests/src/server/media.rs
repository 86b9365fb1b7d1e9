//! Files and images: uploaded, attached, processed, served, and gone with their messages.

use std::{sync::LazyLock, time::Duration};

use ::http::{HeaderMap, Method};
use image::{ImageFormat, Rgb, RgbImage};
use protocol::limits::ATTACHMENTS_MAX;
use serde_json::{Value, json};
use stack::PostgresDatabase;

use super::{
    api::{Api, Person},
    chat_client::ChatClient,
    test_app::{TestApp, on_a_fleet},
};
use crate::{client::http, deadline::within};

/// What a server needs to keep what people upload: of a fleet, a database and a bucket.
pub struct Place {
    database: Option<PostgresDatabase>,
    bucket: Vec<(&'static str, String)>,
}

impl Place {
    pub fn new() -> Self {
        let bucket = [
            "S3_ENDPOINT",
            "S3_BUCKET",
            "S3_PATH_STYLE",
            "S3_ACCESS_KEY_ID",
            "S3_SECRET_ACCESS_KEY",
        ];
        let bucket = bucket.iter().filter(|_| on_a_fleet());
        Self {
            database: on_a_fleet().then(PostgresDatabase::shared),
            bucket: bucket.map(|name| (*name, stack::address(name))).collect(),
        }
    }

    pub async fn start(&self, variables: &[(&str, &str)]) -> TestApp {
        let mut variables = variables.to_vec();
        if let Some(database) = &self.database {
            variables.push(("DATABASE_URL", &database.url));
        }
        variables.extend(
            self.bucket
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let app = TestApp::start_with(&variables).await;
        if on_a_fleet() {
            app.migrate().await;
        }
        app
    }
}

/// A photo of 600 × 300 with a place on earth in it.
pub static PHOTO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let picture = RgbImage::from_fn(600, 300, |x, y| Rgb([x as u8, y as u8, 100]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    let jpeg = bytes.into_inner();
    let comment = b"GPS 52.5N 13.4E";
    let length = (comment.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xfe], &length, comment, &jpeg[2..]].concat()
});

/// Begins an upload and sends its bytes.
pub async fn put(app: &Api, person: &Person, name: &str, kind: &str, bytes: &[u8]) -> String {
    let upload = json!({ "fileName": name, "contentType": kind, "size": bytes.len() });
    let created = app
        .post("/api/v1/uploads", Some(person), upload)
        .await
        .expect(201);
    assert!(sent(app, &created, kind, bytes).await < 300);
    created["uploadId"].as_str().unwrap().to_owned()
}

/// Sends bytes to where an upload's go.
async fn sent(app: &Api, created: &Value, kind: &str, bytes: &[u8]) -> u16 {
    assert_eq!(created["method"], "PUT");
    let url = created["url"].as_str().unwrap();
    let (address, target) = match url.strip_prefix("http://") {
        Some(elsewhere) => {
            let (host, path) = elsewhere.split_once('/').unwrap();
            (host.parse().unwrap(), format!("/{path}"))
        }
        None => (app.address(), url.to_owned()),
    };
    let headers = [("content-type", kind)];
    let put = http::request(address, Method::PUT, &target, &headers, bytes.to_vec());
    put.await.status.as_u16()
}

pub async fn complete(app: &Api, person: &Person, id: &str) -> Value {
    let path = format!("/api/v1/uploads/{id}/complete");
    app.post(&path, Some(person), json!({})).await.expect(202)["upload"].clone()
}

/// A complete upload.
pub async fn upload(app: &Api, person: &Person, name: &str, kind: &str, bytes: &[u8]) -> String {
    let id = put(app, person, name, kind, bytes).await;
    complete(app, person, &id).await;
    id
}

/// Waits until an upload is in this state.
pub async fn until(app: &Api, person: &Person, id: &str, status: &str) -> Value {
    within("the end of processing", async {
        loop {
            let path = format!("/api/v1/uploads/{id}");
            let upload = app.get(&path, Some(person)).await.expect(200)["upload"].clone();
            if upload["status"] == status {
                return upload;
            }
            assert!(
                ["awaited", "processing"].contains(&upload["status"].as_str().unwrap()),
                "{upload}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// What a URL of a message leads to.
pub async fn fetch(app: &Api, url: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    let answer = http::request(app.address(), Method::GET, url, headers, "").await;
    (answer.status.as_u16(), answer.headers, answer.body.to_vec())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

async fn ready(client: &mut ChatClient) -> Value {
    client.event("image:ready").await
}

/// Two people in a room of this kind.
async fn two(app: &TestApp, kind: &str) -> (Person, Person, ChatClient, ChatClient, String) {
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let (mut a, mut b) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = a.create(kind, "Photos").await;
    let path = format!("/api/v1/rooms/{room}/members/{}", bea.id);
    app.put(&path, &ana, json!({ "role": "member" })).await;
    b.join(&room).await;
    (ana, bea, a, b, room)
}

pub fn with(room: &str, client_id: &str, attachments: &[&str]) -> Value {
    json!({ "roomId": room, "clientId": client_id, "body": "", "attachments": attachments })
}

#[tokio::test]
async fn an_image_is_shown_to_the_room_once_it_is_processed() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, bea, mut a, mut b, room) = two(&app, "private").await;
    let id = put(&app, &ana, "../my cat.jpg", "image/jpeg", &PHOTO).await;
    let completed = complete(&app, &ana, &id).await;
    assert_eq!(
        (&completed["kind"], &completed["fileName"]),
        (&json!("image"), &json!("my cat.jpg"))
    );
    let answer = a.done("message:send", with(&room, "c1", &[&id])).await;
    let message = &answer["message"];
    assert_eq!(message["attachments"][0]["id"], id.as_str());
    let new = b.event("message:new").await;
    assert_eq!(new["attachments"][0]["fileName"], "my cat.jpg");
    // It may have been processed already when the message was sent.
    let shown = match new["attachments"][0]["status"].as_str().unwrap() {
        "ready" => new["attachments"][0].clone(),
        _ => {
            let event = ready(&mut b).await;
            assert_eq!(event["messageId"], message["id"]);
            assert_eq!(
                (&event["of"], &event["attachmentId"]),
                (&message["seq"], &json!(id))
            );
            assert!(event["seq"].as_u64() > message["seq"].as_u64());
            event
        }
    };
    assert_eq!(
        (&shown["width"], &shown["height"]),
        (&json!(600), &json!(300))
    );
    assert_eq!(shown["variants"].as_array().unwrap().len(), 4);
    // In history, and in a new copy of the message, it is ready, for everybody.
    until(&app, &ana, &id, "ready").await;
    let history = within("an image that is ready in history", async {
        loop {
            let path = format!("/api/v1/rooms/{room}/messages");
            let page = app.get(&path, Some(&bea)).await.expect(200);
            let attachment = page["messages"][0]["attachments"][0].clone();
            if attachment["status"] == "ready" {
                return attachment;
            }
        }
    })
    .await;
    assert!(history["placeholder"].as_str().unwrap().len() > 20);
    for url in [&history["url"], &history["variants"][0]["url"]] {
        let (status, headers, bytes) = fetch(&app, url.as_str().unwrap(), &[]).await;
        assert_eq!(status, 200);
        assert!(
            headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("image/")
        );
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(
            headers["cache-control"]
                .to_str()
                .unwrap()
                .starts_with("private, max-age=")
        );
        image::load_from_memory(&bytes).unwrap();
        assert!(!holds(&bytes, "GPS"));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_resume_brings_what_became_of_an_image() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, bea, mut a, b, room) = two(&app, "public").await;
    drop(b);
    let id = upload(&app, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
    let before = a.done("message:send", with(&room, "c1", &[&id])).await;
    let seq = before["message"]["seq"].as_u64().unwrap();
    until(&app, &ana, &id, "ready").await;
    let mut resumed = app.resume(&bea, json!({ &room: { "seq": seq - 1 } })).await;
    let new = resumed.event("message:new").await;
    if new["attachments"][0]["status"] == "processing" {
        ready(&mut resumed).await;
    }
    // The log has no gap, whatever happened in which order.
    a.say(&room, "after").await;
    let events = a
        .done("room:events", json!({ "roomId": room, "after": 0 }))
        .await;
    let seqs: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_image_is_shown_as_failed_with_the_reason() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, _, mut a, mut b, room) = two(&app, "private").await;
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let cut = &PHOTO[..PHOTO.len() / 2];
    let bomb = {
        let picture = image::RgbaImage::new(10, 10);
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Gif).unwrap();
        let mut gif = bytes.into_inner();
        gif[6..10].copy_from_slice(&[0xff; 4]);
        gif
    };
    for (index, (bytes, reason)) in [
        (&svg[..], "not_an_image"),
        (cut, "malformed"),
        (&bomb, "too_large"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = put(&app, &ana, "cat.png", "image/png", bytes).await;
        let client_id = format!("c{index}");
        complete(&app, &ana, &id).await;
        let answer = a
            .emit("message:send", with(&room, &client_id, &[&id]))
            .await;
        match answer["ok"] == true {
            true => {
                let failed = b.event("image:failed").await;
                assert_eq!(failed["reason"], reason);
                assert_eq!(failed["of"], answer["message"]["seq"]);
                let page = format!("/api/v1/rooms/{room}/messages");
                let page = app.get(&page, Some(&ana)).await.expect(200);
                let last = page["messages"].as_array().unwrap().last().unwrap().clone();
                let attachment = &last["attachments"][0];
                assert_eq!(
                    (&attachment["status"], &attachment["reason"]),
                    (&json!("failed"), &json!(reason))
                );
                assert_eq!(attachment.get("url"), None);
            }
            // It had failed before anybody could attach it.
            false => assert_eq!(answer["error"]["code"], "conflict", "{answer}"),
        }
        let upload = until(&app, &ana, &id, "failed").await;
        assert_eq!(upload["reason"], reason);
    }
    app.stop().await;
}

#[tokio::test]
async fn an_image_in_an_event_is_a_message() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, _, mut a, mut b, room) = two(&app, "private").await;
    let request = |client_id: &str, kind: &str| {
        json!({
            "roomId": room, "clientId": client_id, "fileName": "cat.jpg", "contentType": kind,
            "data": { "_placeholder": true, "num": 0 },
        })
    };
    let first = a
        .start_binary("image:upload", request("c1", "image/jpeg"), &PHOTO)
        .await;
    let first = a.ack(first).await;
    assert_eq!(first["ok"], true, "{first}");
    let ack = a.event("image:ack").await;
    assert_eq!(ack["messageId"], first["messageId"]);
    let new = b.event("message:new").await;
    assert_eq!(
        (&new["id"], &new["seq"]),
        (&first["messageId"], &first["seq"])
    );
    let shown = ready(&mut b).await;
    assert_eq!(shown["messageId"], first["messageId"]);
    let (status, ..) = fetch(&app, shown["url"].as_str().unwrap(), &[]).await;
    assert_eq!(status, 200);
    // The same again is the same message.
    let again = a
        .start_binary("image:upload", request("c1", "image/jpeg"), &PHOTO)
        .await;
    let again = a.ack(again).await;
    assert_eq!(
        (&again["ok"], &again["messageId"]),
        (&json!(true), &first["messageId"])
    );
    // Without bytes, of another type, and by who isn't in the room.
    let (code, message) = a.refused("image:upload", request("c2", "image/jpeg")).await;
    assert_eq!((&*code, &message[..5]), ("invalid", "data:"));
    let svg = a
        .start_binary("image:upload", request("c3", "image/svg+xml"), b"<svg/>")
        .await;
    assert_eq!(a.ack(svg).await["error"]["code"], "invalid");
    let eve = app.register("eve").await;
    let mut e = app.connect(&eve).await;
    let foreign = e
        .start_binary("image:upload", request("c4", "image/jpeg"), &PHOTO)
        .await;
    assert_eq!(e.ack(foreign).await["error"]["code"], "not_found");
    drop(ana);
    app.stop().await;
}

#[tokio::test]
async fn an_upload_is_its_owners_and_one_messages() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, bea, mut a, mut b, room) = two(&app, "private").await;
    let id = upload(&app, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
    for path in [
        format!("/api/v1/uploads/{id}"),
        "/api/v1/uploads/nowhere".to_owned(),
    ] {
        assert_eq!(app.get(&path, Some(&bea)).await.code(), "not_found");
        let complete = app
            .post(&format!("{path}/complete"), Some(&bea), json!({}))
            .await;
        assert_eq!(complete.code(), "not_found");
    }
    let refused = async |client: &mut ChatClient, client_id: &str, ids: &[&str], code: &str| {
        let (found, message) = client
            .refused("message:send", with(&room, client_id, ids))
            .await;
        assert_eq!(found, code, "{message}");
    };
    refused(&mut b, "c1", &[&id], "conflict").await;
    refused(&mut a, "c1", &["nowhere"], "conflict").await;
    refused(&mut a, "c1", &[&id, &id], "invalid").await;
    let awaited = put(&app, &ana, "b.jpg", "image/jpeg", &PHOTO).await;
    refused(&mut a, "c1", &[&id, &awaited], "conflict").await;
    // What was refused has taken nothing.
    let sent = a.done("message:send", with(&room, "c1", &[&id])).await;
    assert_eq!(sent["duplicate"], false);
    let again = a.done("message:send", with(&room, "c1", &[&id])).await;
    assert_eq!(
        (&again["duplicate"], &again["message"]["id"]),
        (&json!(true), &sent["message"]["id"])
    );
    refused(&mut a, "c2", &[&id], "conflict").await;
    let too_many = vec![id.as_str(); ATTACHMENTS_MAX + 1];
    refused(&mut a, "c3", &too_many, "invalid").await;
    // A room that was left meanwhile takes nothing, and what was to be attached is free again.
    let file = upload(&app, &bea, "notes.txt", "text/plain", b"hello").await;
    b.done("room:leave", json!({ "roomId": room })).await;
    refused(&mut b, "c1", &[&file], "not_found").await;
    let own = b.create("private", "Own").await;
    b.done("message:send", with(&own, "c1", &[&file])).await;
    // Over HTTP the same.
    let path = format!("/api/v1/rooms/{room}/messages");
    complete(&app, &ana, &awaited).await;
    let body = json!({ "clientId": "c9", "body": "", "attachments": [awaited] });
    let posted = app.post(&path, Some(&ana), body).await.expect(201);
    assert_eq!(posted["message"]["attachments"][0]["id"], awaited.as_str());
    app.stop().await;
}

#[tokio::test]
async fn an_upload_is_of_the_size_and_type_that_were_announced() {
    let place = Place::new();
    let app = place
        .start(&[("UPLOAD_MAX_MIB", "1"), ("UPLOAD_DAILY_FILES", "3")])
        .await;
    let ana = app.register("ana").await;
    let begin = async |size: usize| {
        let upload = json!({ "fileName": "a.txt", "contentType": "text/plain", "size": size });
        app.post("/api/v1/uploads", Some(&ana), upload).await
    };
    assert_eq!(begin((1 << 20) + 1).await.code(), "invalid");
    assert_eq!(begin(0).await.code(), "invalid");
    let created = begin(5).await.expect(201);
    let id = created["uploadId"].as_str().unwrap();
    let path = format!("/api/v1/uploads/{id}/complete");
    assert_eq!(
        app.post(&path, Some(&ana), json!({})).await.code(),
        "conflict"
    );
    assert!(sent(&app, &created, "text/plain", b"longer").await >= 400);
    assert!(sent(&app, &created, "text/plain", b"less").await >= 400);
    assert!(sent(&app, &created, "text/html", b"hello").await >= 400);
    let mut elsewhere = created.clone();
    let url = created["url"].as_str().unwrap();
    elsewhere["url"] = json!(url.replacen(id, "00000000000000000000000000000000", 1));
    assert!(sent(&app, &elsewhere, "text/plain", b"hello").await >= 400);
    assert_eq!(
        app.post(&path, Some(&ana), json!({})).await.code(),
        "conflict"
    );
    assert!(sent(&app, &created, "text/plain", b"hello").await < 300);
    app.post(&path, Some(&ana), json!({})).await.expect(202);
    // Once complete, nothing is put in its place; completing again changes nothing.
    app.post(&path, Some(&ana), json!({})).await.expect(202);
    if !on_a_fleet() {
        assert_eq!(sent(&app, &created, "text/plain", b"other").await, 409);
    }
    for _ in 0..2 {
        begin(5).await.expect(201);
    }
    assert_eq!(begin(5).await.code(), "rate_limited");
    app.stop().await;
}

#[tokio::test]
async fn an_upload_of_which_nothing_is_known_is_unavailable() {
    if on_a_fleet() {
        return;
    }
    let app = TestApp::start_embedded().await;
    let ana = app.register("ana").await;
    let upload = json!({ "fileName": "a.txt", "contentType": "text/plain", "size": 5 });
    let created = app
        .post("/api/v1/uploads", Some(&ana), upload)
        .await
        .expect(201);
    let id = created["uploadId"].as_str().unwrap();
    let complete = format!("/api/v1/uploads/{id}/complete");
    // It can't be looked whether somebody has moved it on.
    let served = app.data_dir().join("objects/media");
    std::os::unix::fs::symlink(&served, &served).unwrap();
    let answer = app.post(&complete, Some(&ana), json!({})).await;
    assert_eq!(answer.code(), "unavailable");
    std::fs::remove_file(&served).unwrap();
    let answer = app.post(&complete, Some(&ana), json!({})).await;
    assert_eq!(answer.code(), "conflict");
    app.stop().await;
}

#[tokio::test]
async fn a_file_is_saved_and_never_shown() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, _, mut a, mut b, room) = two(&app, "private").await;
    let page = b"<!doctype html><script>alert(1)</script>";
    let name = "a\\b/\u{202e}Füße\r\n.html";
    let id = upload(&app, &ana, name, "text/html", page).await;
    a.done("message:send", with(&room, "c1", &[&id])).await;
    let new = b.event("message:new").await;
    let attachment = &new["attachments"][0];
    assert_eq!(
        (&attachment["kind"], &attachment["status"]),
        (&json!("file"), &json!("ready"))
    );
    assert_eq!(attachment["fileName"], "Füße.html");
    let url = attachment["url"].as_str().unwrap();
    let (status, headers, bytes) = fetch(&app, url, &[]).await;
    assert_eq!((status, &bytes[..]), (200, &page[..]));
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("sandbox")
    );
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert_eq!(
        disposition,
        "attachment; filename=\"F__e.html\"; filename*=UTF-8''F%C3%BC%C3%9Fe.html"
    );
    // A part of it, and what is known already.
    let (status, headers, bytes) = fetch(&app, url, &[("range", "bytes=2-8")]).await;
    assert_eq!((status, &bytes[..]), (206, &b"doctype"[..]));
    assert_eq!(
        headers["content-range"],
        format!("bytes 2-8/{}", page.len())
    );
    let (status, beyond, _) = fetch(&app, url, &[("range", "bytes=1000-")]).await;
    assert_eq!(status, 416);
    assert_eq!(beyond["content-range"], format!("bytes */{}", page.len()));
    let tag = headers["etag"].to_str().unwrap();
    let (status, _, bytes) = fetch(&app, url, &[("if-none-match", tag)]).await;
    assert_eq!((status, bytes.len()), (304, 0));
    let (status, ..) = fetch(&app, &format!("{url}&w=200"), &[]).await;
    assert_eq!(status, 400);
    app.stop().await;
}

#[tokio::test]
async fn nobody_has_other_urls_than_those_they_were_given() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, _, mut a, mut b, room) = two(&app, "private").await;
    let id = upload(&app, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
    until(&app, &ana, &id, "ready").await;
    a.done("message:send", with(&room, "c1", &[&id])).await;
    let new = b.event("message:new").await;
    let url = new["attachments"][0]["url"].as_str().unwrap().to_owned();
    let (path, query) = url.split_once('?').unwrap();
    let expires: u64 = query
        .strip_prefix("e=")
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    for wrong in [
        path.to_owned(),
        format!(
            "{path}?{}",
            query.replacen(&expires.to_string(), &(expires + 3_600).to_string(), 1)
        ),
        format!("{path}?{}", query.split_once('&').unwrap().1),
        format!("{}?{query}", path.replacen("full", "800", 1)),
        format!(
            "{}?{query}",
            path.replacen("/media/", "/media/incoming%2f", 1)
        ),
    ] {
        let (status, ..) = fetch(&app, &wrong, &[]).await;
        assert_eq!(status, 404, "{wrong}");
    }
    // In a public room a URL stays what it is.
    let open = a.create("public", "Open").await;
    let id = upload(&app, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
    until(&app, &ana, &id, "ready").await;
    let sent = a.done("message:send", with(&open, "c1", &[&id])).await;
    let url = sent["message"]["attachments"][0]["url"].as_str().unwrap();
    assert!(!url.contains("e="), "{url}");
    let (status, headers, _) = fetch(&app, url, &[]).await;
    assert_eq!(status, 200);
    assert_eq!(
        headers["cache-control"],
        "public, max-age=31536000, immutable"
    );
    app.stop().await;
}

#[tokio::test]
async fn an_image_is_made_smaller_once_however_many_ask() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, _, mut a, _, room) = two(&app, "public").await;
    let id = upload(&app, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
    until(&app, &ana, &id, "ready").await;
    let sent = a.done("message:send", with(&room, "c1", &[&id])).await;
    let url = sent["message"]["attachments"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let small = format!("{url}&w=100&q=60");
    let resized = async |expected: u32| {
        if !on_a_fleet() {
            let operators = app.operations().address();
            let metrics = http::request(operators, Method::GET, "/metrics", &[], "").await;
            let line = format!("tertulia_images_resized_total {expected}\n");
            assert!(metrics.text().contains(&line), "{line}");
        }
    };
    // Who has a copy from another instance, or from before, has what would be made.
    let key = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let tag = format!("\"{key}-w100-h16384-q60\"");
    let (status, ..) = fetch(&app, &small, &[("if-none-match", &tag)]).await;
    assert_eq!(status, 304);
    resized(0).await;
    let asked = (0..20).map(|_| fetch(&app, &small, &[]));
    let answers = futures_util::future::join_all(asked).await;
    for (status, headers, bytes) in &answers {
        assert_eq!((*status, bytes), (200, &answers[0].2));
        assert_eq!(headers["content-type"], "image/jpeg");
    }
    let picture = image::load_from_memory(&answers[0].2).unwrap();
    assert_eq!((picture.width(), picture.height()), (100, 50));
    let tag = answers[0].1["etag"].to_str().unwrap();
    let (status, ..) = fetch(&app, &small, &[("if-none-match", tag)]).await;
    assert_eq!(status, 304);
    resized(1).await;
    for wrong in ["w=101", "h=-1", "w=200&q=1"] {
        let (status, ..) = fetch(&app, &format!("{url}&{wrong}"), &[]).await;
        assert_eq!(status, 400, "{wrong}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_was_attached_goes_with_its_message() {
    let place = Place::new();
    let app = place.start(&[]).await;
    let (ana, _, mut a, mut b, room) = two(&app, "public").await;
    let id = upload(&app, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
    until(&app, &ana, &id, "ready").await;
    let sent = a.done("message:send", with(&room, "c1", &[&id])).await;
    let url = sent["message"]["attachments"][0]["url"].as_str().unwrap();
    let (status, headers, _) = fetch(&app, url, &[]).await;
    assert_eq!(status, 200);
    let seq = &sent["message"]["seq"];
    a.done("message:delete", json!({ "roomId": room, "seq": seq }))
        .await;
    b.event("message:deleted").await;
    within("the end of an image", async {
        while fetch(&app, url, &[]).await.0 != 404 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    // Nor is it kept for longer by whoever has it.
    let tag = headers["etag"].to_str().unwrap();
    let (status, ..) = fetch(&app, url, &[("if-none-match", tag)]).await;
    assert_eq!(status, 404);
    let page = app
        .get(&format!("/api/v1/rooms/{room}/messages"), Some(&ana))
        .await
        .expect(200);
    assert_eq!(page["messages"][0]["attachments"], json!([]));
    assert_eq!(
        app.get(&format!("/api/v1/uploads/{id}"), Some(&ana))
            .await
            .code(),
        "not_found"
    );
    app.stop().await;
}

#[tokio::test]
async fn what_nobody_attached_is_removed() {
    if on_a_fleet() {
        return;
    }
    let app = TestApp::start_embedded().await;
    let ana = app.register("ana").await;
    let (kept, lost) = (
        put(&app, &ana, "a.txt", "text/plain", b"kept").await,
        put(&app, &ana, "b.txt", "text/plain", b"lost").await,
    );
    let (app, path) = app
        .changed_while_stopped(|data| {
            let tables = rusqlite::Connection::open(data.join("tables/tables.db")).unwrap();
            let due = "UPDATE uploads SET check_at = 0, created_at = 0 WHERE id = ?1";
            assert_eq!(tables.execute(due, [&lost]).unwrap(), 1);
            data.join("objects/incoming")
        })
        .await;
    within("the end of an upload", async {
        while path.join(&lost).exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let gone = app
        .get(&format!("/api/v1/uploads/{lost}"), Some(&ana))
        .await;
    assert_eq!(gone.code(), "not_found");
    assert!(path.join(&kept).exists());
    complete(&app, &ana, &kept).await;
    app.stop().await;
}

#[tokio::test]
async fn what_is_sent_again_after_its_upload_is_complete_is_removed() {
    if on_a_fleet() {
        return;
    }
    let app = TestApp::start_embedded().await;
    let ana = app.register("ana").await;
    let mut client = app.connect(&ana).await;
    let room = client.create("private", "Photos").await;
    let id = upload(&app, &ana, "cat.jpg", "image/jpeg", &PHOTO).await;
    until(&app, &ana, &id, "ready").await;
    client.done("message:send", with(&room, "c1", &[&id])).await;
    let tables = app.data_dir().join("tables/tables.db");
    let tables = rusqlite::Connection::open(tables).unwrap();
    let announced = "SELECT announced FROM uploads WHERE id = ?1";
    within("an upload whose message is known", async {
        while tables.query_row(announced, [&id], |row| row.get(0)) != Ok(1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    drop(tables);
    // As whoever has the URL to a bucket may do until it ends.
    let (app, path) = app
        .changed_while_stopped(|data| {
            let incoming = data.join("objects/incoming");
            std::fs::create_dir_all(&incoming).unwrap();
            std::fs::write(incoming.join(&id), &*PHOTO).unwrap();
            let tables = rusqlite::Connection::open(data.join("tables/tables.db")).unwrap();
            let due = "UPDATE uploads SET check_at = 0 WHERE id = ?1";
            assert_eq!(tables.execute(due, [&id]).unwrap(), 1);
            incoming.join(&id)
        })
        .await;
    within("the end of what was sent again", async {
        while path.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // What is shown stays.
    until(&app, &ana, &id, "ready").await;
    app.stop().await;
}
