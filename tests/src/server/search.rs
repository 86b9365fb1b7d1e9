//! Finding messages by their words, whatever a query looks like.

use serde_json::{Value, json};

use super::{chat_client::ChatClient, test_app::TestApp};

async fn find(socket: &mut ChatClient, room: &str, query: &str) -> Vec<u64> {
    let found = socket
        .done("message:search", json!({ "roomId": room, "query": query }))
        .await;
    let messages = found["messages"].as_array().unwrap().iter();
    messages
        .map(|message: &Value| message["seq"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn search_follows_what_messages_are_now() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let (room, other) = (
        anas.create("public", "hall").await,
        anas.create("public", "other").await,
    );
    anas.say(&room, "The quick brown fox").await;
    anas.say(&room, "a Brown bear").await;
    anas.say(&room, "Füchse sind schnell").await;
    anas.say(&other, "brown elsewhere").await;
    assert_eq!(find(&mut anas, &room, "brown").await, [2, 1]);
    assert_eq!(find(&mut anas, &room, "fox BROWN").await, [1]);
    assert_eq!(find(&mut anas, &room, "fuchs").await, [3]);
    assert_eq!(find(&mut anas, &room, "purple").await, [0; 0]);
    let one = json!({ "roomId": room, "query": "brown", "limit": 1 });
    let one = anas.done("message:search", one).await;
    assert_eq!(
        (&one["messages"][0]["seq"], &one["hasMore"]),
        (&json!(2), &json!(true))
    );

    anas.done(
        "message:edit",
        json!({ "roomId": room, "seq": 1, "body": "a purple fox" }),
    )
    .await;
    assert_eq!(find(&mut anas, &room, "brown").await, [2]);
    assert_eq!(find(&mut anas, &room, "purple").await, [1]);
    anas.done("message:delete", json!({ "roomId": room, "seq": 2 }))
        .await;
    assert_eq!(find(&mut anas, &room, "brown").await, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_query_is_syntax() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    anas.say(&room, "cats AND dogs").await;
    anas.say(&room, "cats dogs").await;
    anas.say(&room, "near miss").await;
    anas.say(&room, "body:text").await;
    for (query, expected) in [
        ("cats AND dogs", vec![1]),
        ("cats OR nothing", vec![]),
        ("cats NOT dogs", vec![]),
        ("\"cats dogs\"", vec![2, 1]),
        ("\"", vec![]),
        ("\"\"\"", vec![]),
        ("c*", vec![2, 1]),
        ("cat*", vec![2, 1]),
        ("*", vec![]),
        ("NEAR(cats dogs, 5)", vec![]),
        ("NEAR", vec![3]),
        ("body:cats", vec![]),
        ("body:text", vec![4]),
        ("messages_index:cats", vec![]),
        ("^cats", vec![2, 1]),
        ("(cats", vec![2, 1]),
        ("cats)", vec![2, 1]),
        ("{body} : cats", vec![]),
        ("- cats", vec![2, 1]),
        ("cats + dogs", vec![2, 1]),
        ("'; DROP TABLE messages; --", vec![]),
        ("%", vec![]),
        ("\\", vec![]),
    ] {
        assert_eq!(find(&mut anas, &room, query).await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_meets_what_is_stored_in_every_script() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "王小明之家").await;
    anas.say(&room, "我家在上海东边").await;
    anas.say(&room, "検索機能のテスト ｶﾞﾗｽ").await;
    anas.say(&room, "cafe\u{301} 👍🏽 C++").await;
    for (query, expected) in [
        ("上海", vec![1]),
        ("東", vec![]),
        ("機能", vec![2]),
        ("ガラス", vec![2]),
        ("CAF\u{c9}", vec![3]),
        ("👍", vec![3]),
        ("c++", vec![3]),
    ] {
        assert_eq!(find(&mut anas, &room, query).await, expected, "{query}");
    }
    let name = json!({ "displayName": "王小明" });
    let renamed = app.request(::http::Method::PATCH, "/api/v1/me", Some(&ana), Some(name));
    renamed.await.expect(200);
    let encoded = "%E5%B0%8F%E6%98%8E"; // 小明
    for (path, found) in [("users", "users"), ("rooms", "rooms")] {
        let path = format!("/api/v1/{path}?query={encoded}");
        let answer = app.get(&path, Some(&ana)).await.expect(200);
        assert_eq!(answer[found].as_array().unwrap().len(), 1, "{path}");
    }
}
