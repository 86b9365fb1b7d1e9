//! Pages that end by their bytes: whatever JSON makes of a text, an answer stays within 1 MiB, and `hasMore` leads on.

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use super::{
    chat_client::ChatClient,
    slow_consumer::NO_HEARTBEAT,
    test_app::{Person, TestApp},
};
use crate::deadline::within;

const PAGE_BYTES: usize = 1 << 20;

/// Messages in the room: together more than any queue holds.
const MESSAGES: u64 = 50;

/// As long as a body may be, of characters that JSON writes in six bytes.
fn body() -> String {
    format!("fox {}", "\u{1}".repeat(15_990))
}

/// A room with [`MESSAGES`] messages, of which the last was changed as often.
async fn room_of_long_messages(anas: &mut ChatClient) -> String {
    let room = anas.create("public", "hall").await;
    let mut acks = Vec::new();
    for n in 0..MESSAGES {
        let send = json!({ "roomId": room, "clientId": n.to_string(), "body": body() });
        acks.push(anas.start("message:send", send).await);
        if acks.len() == 8 {
            done(anas, &mut acks).await;
        }
    }
    done(anas, &mut acks).await;
    for _ in 0..MESSAGES {
        let edit = json!({ "roomId": room, "seq": MESSAGES, "body": body() });
        acks.push(anas.start("message:edit", edit).await);
        if acks.len() == 8 {
            done(anas, &mut acks).await;
        }
    }
    done(anas, &mut acks).await;
    room
}

async fn done(socket: &mut ChatClient, acks: &mut Vec<u64>) {
    for ack in acks.drain(..) {
        let answer = socket.ack(ack).await;
        assert_eq!(answer["ok"], true, "{}", answer["error"]);
    }
}

/// The places of a page of `list`, which has to be as full as it may be unless it's the last.
fn places(page: &Value, list: &str) -> Vec<u64> {
    let bytes = page.to_string().len();
    assert!(bytes <= PAGE_BYTES, "{bytes}");
    if page["hasMore"] == true {
        assert!(bytes > PAGE_BYTES - 110_000, "{bytes}");
    }
    let entries = page[list].as_array().unwrap().iter();
    entries
        .map(|entry| entry["seq"].as_u64().unwrap())
        .collect()
}

/// Goes on from page to page by `hasMore`, from the place that the last one ended with.
async fn walk(
    list: &str,
    from: u64,
    last_of: impl Fn(&[u64]) -> u64,
    mut page: impl AsyncFnMut(u64) -> Value,
) -> Vec<u64> {
    let (mut all, mut at) = (Vec::new(), from);
    loop {
        let answer = page(at).await;
        let seqs = places(&answer, list);
        at = last_of(&seqs);
        all.extend(seqs);
        if answer["hasMore"] == false {
            all.sort_unstable();
            return all;
        }
    }
}

fn first(seqs: &[u64]) -> u64 {
    seqs[0]
}

fn last(seqs: &[u64]) -> u64 {
    seqs[seqs.len() - 1]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_back_comes_in_pages_of_bounded_bytes() {
    let app = TestApp::start().await;
    let ana = app.register("ana").await;
    let mut anas = app.connect(&ana).await;
    let room = room_of_long_messages(&mut anas).await;
    let messages: Vec<u64> = (1..=MESSAGES).collect();
    let events: Vec<u64> = (1..=2 * MESSAGES).collect();
    let end = 2 * MESSAGES + 1;

    let history = |request: Value| merged(json!({ "roomId": room, "limit": 200 }), request);
    let found = walk("messages", 0, last, async |after| {
        anas.done("message:history", history(json!({ "after": after })))
            .await
    });
    assert_eq!(found.await, messages);
    let found = walk("messages", end, first, async |before| {
        anas.done("message:history", history(json!({ "before": before })))
            .await
    });
    assert_eq!(found.await, messages);
    let found = walk("events", 0, last, async |after| {
        anas.done("room:events", json!({ "roomId": room, "after": after }))
            .await
    });
    assert_eq!(found.await, events);
    let found = walk("messages", end, last, async |before| {
        let search = json!({ "query": "fox", "limit": 100, "before": before });
        anas.done("message:search", merged(search, json!({ "roomId": room })))
            .await
    });
    assert_eq!(found.await, messages);

    // The routes.
    let get = async |path: String| {
        let answer = app
            .get(&format!("/api/v1/rooms/{room}/{path}"), Some(&ana))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let found = walk("messages", 0, last, async |after| {
        get(format!("messages?limit=200&after={after}")).await
    });
    assert_eq!(found.await, messages);
    let found = walk("messages", end, first, async |before| {
        get(format!("messages?limit=200&before={before}")).await
    });
    assert_eq!(found.await, messages);
    let found = walk("events", 0, last, async |after| {
        get(format!("events?after={after}")).await
    });
    assert_eq!(found.await, events);
    let found = walk("messages", end, last, async |before| {
        get(format!("search?query=fox&limit=100&before={before}")).await
    });
    assert_eq!(found.await, messages);

    // What was missed: a first part in the answer, the rest in pages.
    for socket in [&mut app.connect(&ana).await, &mut anas] {
        let since = json!({ "roomId": room, "since": 0 });
        let joined = socket.done("room:join", since).await;
        let bytes = joined.to_string().len();
        assert!(
            (PAGE_BYTES - 110_000..=PAGE_BYTES).contains(&bytes),
            "{bytes}"
        );
        assert_eq!(joined["complete"], false);
        let seqs: Vec<u64> = joined["missed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    }
}

fn merged(mut one: Value, other: Value) -> Value {
    for (name, value) in other.as_object().unwrap() {
        one[name] = value.clone();
    }
    one
}

/// A connection whose kernel holds little for whoever doesn't read.
async fn narrow(app: &TestApp, person: &Person) -> ChatClient {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream: TcpStream = socket.connect(app.address()).await.unwrap();
    let connect = format!("40{}", json!({ "token": person.access_token }));
    ChatClient::try_connect_on(stream, &connect).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reaches_a_slow_reader_while_others_write() {
    let app = TestApp::start_with(&NO_HEARTBEAT).await;
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let mut anas = app.connect(&ana).await;
    let room = room_of_long_messages(&mut anas).await;
    let mut slow = narrow(&app, &bea).await;
    slow.join(&room).await;
    // All that was asked for before the client reads: the page stays whole while the room goes on and is left out.
    let asked = [
        ("room:events", json!({ "roomId": room, "after": 0 })),
        (
            "message:history",
            json!({ "roomId": room, "after": 0, "limit": 200 }),
        ),
    ];
    let mut acks = Vec::new();
    for (event, request) in asked {
        acks.push(slow.start(event, request).await);
    }
    for n in 0..MESSAGES {
        let send = json!({ "roomId": room, "clientId": format!("later {n}"), "body": body() });
        anas.done("message:send", send).await;
    }
    for (ack, list) in acks.into_iter().zip(["events", "messages"]) {
        let page = slow.ack(ack).await;
        assert_eq!(
            (&page["ok"], &page["hasMore"]),
            (&json!(true), &json!(true))
        );
        let seqs = places(&page, list);
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    }
    slow.event("resync").await;
    // It is served on.
    let joined = within("a subscription", async {
        loop {
            let request = json!({ "roomId": room, "since": 0 });
            let answer = slow.emit("room:join", request).await;
            if answer["ok"] == true {
                return answer;
            }
            assert_eq!(answer["error"]["retryable"], true, "{answer}");
        }
    });
    assert_eq!(joined.await["headSeq"], 3 * MESSAGES);
}
