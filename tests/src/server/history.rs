//! Reading a room back, page by page.

use serde_json::{Value, json};

use super::{chat_client::ChatClient, test_app::TestApp};

async fn seqs(socket: &mut ChatClient, room: &str, page: Value) -> (Vec<u64>, bool) {
    let mut request = page;
    request["roomId"] = json!(room);
    let page = socket.done("message:history", request).await;
    let messages = page["messages"].as_array().unwrap().iter();
    (
        messages.map(|m| m["seq"].as_u64().unwrap()).collect(),
        page["hasMore"].as_bool().unwrap(),
    )
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_pages_both_ways() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    assert_eq!(seqs(&mut anas, &room, json!({})).await, (vec![], false));
    let mut acks = Vec::new();
    for n in 0..230 {
        let send = json!({ "roomId": room, "clientId": n.to_string(), "body": "x" });
        acks.push(anas.start("message:send", send).await);
    }
    for ack in acks {
        assert_eq!(anas.ack(ack).await["ok"], true);
    }
    for (page, expected) in [
        (json!({}), (range(181, 230), true)),
        (json!({ "limit": 200 }), (range(31, 230), true)),
        (json!({ "before": 31 }), (range(1, 30), false)),
        (json!({ "before": 1 }), (vec![], false)),
        (json!({ "before": 52, "limit": 50 }), (range(2, 51), true)),
        (json!({ "before": 51, "limit": 50 }), (range(1, 50), false)),
        (json!({ "after": 0, "limit": 1 }), (range(1, 1), true)),
        (json!({ "after": 180 }), (range(181, 230), false)),
        (json!({ "after": 179 }), (range(180, 229), true)),
        (json!({ "after": 230 }), (vec![], false)),
        (
            json!({ "after": 9_007_199_254_740_991_u64 }),
            (vec![], false),
        ),
        (json!({ "after": 10, "before": 20 }), (range(11, 19), false)),
        (
            json!({ "after": 10, "before": 20, "limit": 3 }),
            (range(11, 13), true),
        ),
    ] {
        assert_eq!(
            seqs(&mut anas, &room, page.clone()).await,
            expected,
            "{page}"
        );
    }
    // Changes take places, but aren't messages.
    anas.done("message:delete", json!({ "roomId": room, "seq": 230 }))
        .await;
    anas.say(&room, "after").await;
    let last = seqs(&mut anas, &room, json!({ "after": 228 })).await;
    assert_eq!(last, (vec![229, 230, 232], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_pages_without_gaps() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = anas.create("public", "hall").await;
    anas.say(&room, "one").await;
    anas.done(
        "message:edit",
        json!({ "roomId": room, "seq": 1, "body": "uno" }),
    )
    .await;
    anas.done(
        "message:react",
        json!({ "roomId": room, "seq": 1, "emoji": "👍", "on": true }),
    )
    .await;
    anas.done("message:delete", json!({ "roomId": room, "seq": 1 }))
        .await;
    let mut after = 0;
    let mut types = Vec::new();
    loop {
        let page = json!({ "roomId": room, "after": after, "limit": 1 });
        let page = anas.done("room:events", page).await;
        let [event] = &page["events"].as_array().unwrap()[..] else {
            panic!("{page}")
        };
        after += 1;
        assert_eq!(event["seq"], after);
        assert_eq!(event["roomId"], json!(room));
        types.push(event["type"].as_str().unwrap().to_owned());
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!(
        types,
        [
            "message:new",
            "message:edited",
            "message:reacted",
            "message:deleted"
        ]
    );
    let none = anas
        .done("room:events", json!({ "roomId": room, "after": 4 }))
        .await;
    assert_eq!(
        (&none["events"], &none["hasMore"]),
        (&json!([]), &json!(false))
    );
}
