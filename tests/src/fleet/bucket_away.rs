//! The bucket of images and files breaks and comes back.

use std::{sync::Arc, time::Duration};

use ::http::Method;
use serde_json::json;
use stack::Stack;

use crate::{
    client::http,
    deadline::within,
    server::{chat_client::ChatClient, test_app::TestApp},
};

/// A job that failed waits about as long as the bucket was away, which on a loaded machine starts slowly.
const NEXT_RUN: Duration = Duration::from_secs(180);

fn picture() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::new(300, 200);
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_waits_for_the_bucket_and_chat_doesnt() {
    let stack = Arc::new(Stack::start(&["s3"]));
    let names = [
        "S3_ENDPOINT",
        "S3_BUCKET",
        "S3_PATH_STYLE",
        "S3_ACCESS_KEY_ID",
        "S3_SECRET_ACCESS_KEY",
    ];
    let values = names.map(|name| (name, stack.get(name)));
    let mut variables: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    variables.push(("CIRCUIT_OBJECT_STORE", "50%/1s"));
    let app = TestApp::start_alone_with(&variables).await;
    let ana = app.register("ana").await;
    let mut client: ChatClient = app.connect(&ana).await;
    let room = client.create("private", "Photos").await;

    // All is well until the bytes are there.
    let bytes = picture();
    let body = json!({ "fileName": "a.png", "contentType": "image/png", "size": bytes.len() });
    let created = app
        .post("/api/v1/uploads", Some(&ana), body.clone())
        .await
        .expect(201);
    let url = created["url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    let (host, path) = url.split_once('/').unwrap();
    let (path, headers) = (format!("/{path}"), [("content-type", "image/png")]);
    let put = http::request(host.parse().unwrap(), Method::PUT, &path, &headers, bytes).await;
    assert_eq!(put.status, 200);
    let id = created["uploadId"].as_str().unwrap();
    let complete = format!("/api/v1/uploads/{id}/complete");
    // It hangs: nothing is known, and nothing happened.
    stack.signal("s3/member-0", "STOP");
    assert_eq!(
        app.post(&complete, Some(&ana), json!({})).await.code(),
        "unavailable"
    );
    assert_eq!(client.say(&room, "still here").await["body"], "still here");
    stack.signal("s3/member-0", "CONT");
    within("an upload that is completed", async {
        while app.post(&complete, Some(&ana), json!({})).await.status != 202 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;

    // It is gone: what was sent meanwhile is shown later.
    stack.signal("s3/member-0", "KILL");
    let message = json!({ "roomId": room, "clientId": "c1", "body": "", "attachments": [id] });
    let sent = client.done("message:send", message).await;
    let answer = app.post("/api/v1/uploads", Some(&ana), body).await;
    // Signing takes no bucket.
    answer.expect(201);
    let starting = stack.clone();
    tokio::task::spawn_blocking(move || starting.up())
        .await
        .unwrap();
    let history = json!({ "roomId": room });
    let status = async {
        loop {
            let history = client.done("message:history", history.clone()).await;
            let last = history["messages"].as_array().unwrap().last().unwrap();
            assert_eq!(last["id"], sent["message"]["id"]);
            let status = last["attachments"][0]["status"].as_str().unwrap();
            if status != "processing" {
                return status.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let status = tokio::time::timeout(NEXT_RUN, status).await;
    assert_eq!(status.expect("an image"), "ready");
    if sent["message"]["attachments"][0]["status"] != "ready" {
        let shown = client.event_that(|(name, _)| name.starts_with("image:"));
        let (name, shown) = shown.await;
        assert_eq!(name, "image:ready", "{shown}");
        assert_eq!(shown["messageId"], sent["message"]["id"]);
    }
    app.stop().await;
}
