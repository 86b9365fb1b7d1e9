//! Edits, deletions and reactions: places in the log that change what a message is.

use serde_json::{Value, json};

use super::{
    chat_client::ChatClient,
    test_app::{Person, TestApp},
};

/// A room of ana and bea, in which ana has said "one" and bea "two".
async fn a_room_with_two_messages(
    app: &TestApp,
) -> (Person, Person, ChatClient, ChatClient, String) {
    let (ana, bea) = (app.register("ana").await, app.guest("bea").await);
    let (mut anas, mut beas) = (app.connect(&ana).await, app.connect(&bea).await);
    let room = anas.create("public", "hall").await;
    beas.join(&room).await;
    anas.say(&room, "one").await;
    beas.say(&room, "two").await;
    for socket in [&mut anas, &mut beas] {
        socket.before("two").await;
    }
    (ana, bea, anas, beas, room)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_edits_ones_own_messages() {
    let app = TestApp::start().await;
    let (_, _, mut anas, mut beas, room) = a_room_with_two_messages(&app).await;
    let edit = |seq: u64, body: &str| json!({ "roomId": room, "seq": seq, "body": body });
    let edited = anas.done("message:edit", edit(1, "uno")).await;
    assert_eq!(
        (&edited["seq"], &edited["message"]["seq"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(edited["message"]["body"], "uno");
    assert!(edited["message"]["editedAt"].is_string());
    let heard = beas.event("message:edited").await;
    assert_eq!(
        (&heard["roomId"], &heard["seq"], &heard["of"]),
        (&json!(room), &json!(3), &json!(1))
    );
    assert_eq!(heard["message"]["body"], "uno");
    assert_eq!(
        anas.event("message:edited").await["message"],
        edited["message"]
    );

    assert_eq!(
        anas.refused("message:edit", edit(2, "x")).await.0,
        "forbidden"
    );
    // Places that hold no message.
    for seq in [3, 99] {
        assert_eq!(
            anas.refused("message:edit", edit(seq, "x")).await.0,
            "not_found"
        );
    }
    anas.done("message:delete", json!({ "roomId": room, "seq": 1 }))
        .await;
    assert_eq!(
        anas.refused("message:edit", edit(1, "x")).await.0,
        "conflict"
    );
    assert_eq!(beas.say(&room, "next").await["seq"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_keeps_its_place_and_nothing_else() {
    let app = TestApp::start().await;
    let (ana, bea, mut anas, mut beas, room) = a_room_with_two_messages(&app).await;
    let delete = |seq: u64| json!({ "roomId": room, "seq": seq });
    let react = json!({ "roomId": room, "seq": 2, "emoji": "👍", "on": true });
    anas.done("message:react", react).await;
    assert_eq!(
        beas.refused("message:delete", delete(1)).await.0,
        "forbidden"
    );
    for seq in [3, 99] {
        assert_eq!(
            beas.refused("message:delete", delete(seq)).await.0,
            "not_found"
        );
    }
    // One's own, and as an owner anybody's; again it is the same deletion, told once.
    for _ in 0..2 {
        assert_eq!(anas.done("message:delete", delete(2)).await["seq"], 4);
    }
    assert_eq!(anas.done("message:delete", delete(1)).await["seq"], 5);
    anas.say(&room, "end").await;
    let heard = beas.before("end").await;
    let deletions: Vec<_> = heard
        .iter()
        .filter(|(name, _)| name == "message:deleted")
        .collect();
    let told = |seq: u64, of: u64| json!({ "roomId": room, "seq": seq, "of": of });
    assert_eq!(deletions.len(), 2);
    assert_eq!(
        (&deletions[0].1, &deletions[1].1),
        (&told(4, 2), &told(5, 1))
    );

    // No way back to the text, neither from memory nor from the store.
    let mut app = app;
    for _ in 0..2 {
        for person in [&ana, &bea] {
            let mut socket = app.connect(person).await;
            let joined = socket
                .done("room:join", json!({ "roomId": room, "since": 0 }))
                .await;
            let events = socket
                .done("room:events", json!({ "roomId": room, "after": 0 }))
                .await;
            assert_eq!(joined["missed"], events["events"]);
            let history = socket
                .done("message:history", json!({ "roomId": room }))
                .await;
            for message in &history["messages"].as_array().unwrap()[..2] {
                assert_eq!(
                    (&message["body"], &message["reactions"]),
                    (&json!(""), &json!([]))
                );
                assert!(message["deletedAt"].is_string());
            }
            assert_eq!(history["messages"].as_array().unwrap().len(), 3);
            let mut resumed = app.resume(person, json!({ &room: { "seq": 0 } })).await;
            for _ in 0..2 {
                assert_eq!(resumed.event("message:new").await["body"], "");
            }
        }
        app = app.restart().await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_message_is_replayed_as_it_is() {
    let app = TestApp::start().await;
    let (_, bea, mut anas, _beas, room) = a_room_with_two_messages(&app).await;
    let edit = json!({ "roomId": room, "seq": 1, "body": "uno" });
    anas.done("message:edit", edit).await;
    let mut socket = app.connect(&bea).await;
    let joined = socket
        .done("room:join", json!({ "roomId": room, "since": 0 }))
        .await;
    let types: Vec<_> = of(&joined["missed"], "type");
    assert_eq!(types, ["message:new", "message:new", "message:edited"]);
    assert_eq!(joined["missed"][0]["body"], "uno");
    assert_eq!(joined["missed"][2]["message"]["body"], "uno");
}

fn of<'a>(list: &'a Value, field: &str) -> Vec<&'a Value> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| &item[field])
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reactions_are_counted_by_user() {
    let app = TestApp::start().await;
    let (ana, bea, mut anas, mut beas, room) = a_room_with_two_messages(&app).await;
    let react =
        |emoji: &str, on: bool| json!({ "roomId": room, "seq": 1, "emoji": emoji, "on": on });
    assert_eq!(
        anas.done("message:react", react("👍", true)).await["seq"],
        3
    );
    assert_eq!(
        anas.done("message:react", react("👍", true)).await["seq"],
        3
    );
    assert_eq!(
        beas.done("message:react", react("👍", true)).await["seq"],
        4
    );
    assert_eq!(
        beas.done("message:react", react("👩🏽‍❤️‍💋‍👨🏿", true)).await["seq"],
        5
    );
    assert_eq!(
        beas.done("message:react", react("👍", false)).await["seq"],
        6
    );
    // What was never put is taken back at the message itself.
    assert_eq!(
        beas.done("message:react", react("🦊", false)).await["seq"],
        1
    );
    anas.say(&room, "end").await;
    let heard = beas.before("end").await;
    let reacted = |seq: u64, person: &Person, emoji: &str, on: bool| {
        let told = json!({
            "roomId": room, "seq": seq, "of": 1, "emoji": emoji, "userId": person.id, "on": on
        });
        ("message:reacted".to_owned(), told)
    };
    let heard: Vec<_> = heard
        .into_iter()
        .filter(|(name, _)| name == "message:reacted")
        .collect();
    assert_eq!(
        heard,
        [
            reacted(3, &ana, "👍", true),
            reacted(4, &bea, "👍", true),
            reacted(5, &bea, "👩🏽‍❤️‍💋‍👨🏿", true),
            reacted(6, &bea, "👍", false),
        ]
    );
    for (socket, mine) in [(&mut anas, [true, false]), (&mut beas, [false, true])] {
        let history = socket
            .done("message:history", json!({ "roomId": room }))
            .await;
        let expected = json!([
            { "emoji": "👍", "count": 1, "mine": mine[0] },
            { "emoji": "👩🏽‍❤️‍💋‍👨🏿", "count": 1, "mine": mine[1] },
        ]);
        assert_eq!(history["messages"][0]["reactions"], expected);
    }
    for seq in [3, 99] {
        let react = json!({ "roomId": room, "seq": seq, "emoji": "👍", "on": true });
        assert_eq!(anas.refused("message:react", react).await.0, "not_found");
    }
    for animal in '🐀'..='🐑' {
        let animal = animal.to_string();
        anas.done("message:react", react(&animal, true)).await;
    }
    assert_eq!(
        anas.refused("message:react", react("🦊", true)).await.0,
        "conflict"
    );
    beas.done("message:react", react("🐑", true)).await;
    anas.done("message:delete", json!({ "roomId": room, "seq": 1 }))
        .await;
    assert_eq!(
        anas.refused("message:react", react("👍", true)).await.0,
        "conflict"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_is_an_emoji_however_it_is_spelled() {
    let app = TestApp::start().await;
    let (_, _, mut anas, mut beas, room) = a_room_with_two_messages(&app).await;
    let react =
        |emoji: &str, on: bool| json!({ "roomId": room, "seq": 1, "emoji": emoji, "on": on });
    anas.done("message:react", react("❤", true)).await;
    beas.done("message:react", react("❤\u{fe0f}", true)).await;
    let shown = async |socket: &mut ChatClient| {
        let history = json!({ "roomId": room });
        socket.done("message:history", history).await["messages"][0]["reactions"].clone()
    };
    let heart =
        |count: u64, mine: bool| json!([{ "emoji": "❤\u{fe0f}", "count": count, "mine": mine }]);
    assert_eq!(shown(&mut anas).await, heart(2, true));
    anas.done("message:react", react("❤\u{fe0f}", false)).await;
    assert_eq!(shown(&mut anas).await, heart(1, false));
    beas.done("message:react", react("❤", false)).await;
    assert_eq!(shown(&mut anas).await, json!([]));
    for other in ["idiot", "1", "👍👍", "\u{200d}", "🏽"] {
        let (code, message) = anas.refused("message:react", react(other, true)).await;
        assert_eq!(
            (code.as_str(), message.as_str()),
            ("invalid", "emoji: expected one emoji")
        );
    }
    for skin_tone_or_sequence in ["👍🏽", "👩🏽‍🚀", "🏳️‍🌈", "🇺🇳"] {
        let put = react(skin_tone_or_sequence, true);
        anas.done("message:react", put).await;
    }
    assert_eq!(shown(&mut anas).await.as_array().unwrap().len(), 4);
}
