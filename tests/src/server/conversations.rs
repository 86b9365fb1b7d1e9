//! What people do together, from the first message to coming back after a break.

use serde_json::json;

use super::test_app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_and_one_comes_back() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.register("ana").await, app.register("bea").await);
    let mut anas = app.connect(&ana).await;
    let mut beas = app.connect(&bea).await;
    let room = anas
        .done(
            "room:create",
            json!({ "name": "kitchen", "kind": "public" }),
        )
        .await["room"]
        .clone();
    let room_id = &room["id"];
    assert_eq!(
        (&room["role"], &room["headSeq"]),
        (&json!("owner"), &json!(0))
    );
    let joined = beas.done("room:join", json!({ "roomId": room_id })).await;
    assert_eq!(
        (&joined["headSeq"], &joined["missed"]),
        (&json!(0), &json!([]))
    );

    let sent = anas
        .done(
            "message:send",
            json!({ "roomId": room_id, "clientId": "a1", "body": "hola" }),
        )
        .await;
    assert_eq!(
        (&sent["duplicate"], &sent["message"]["seq"]),
        (&json!(false), &json!(1))
    );
    let (heard, own) = (
        beas.event("message:new").await,
        anas.event("message:new").await,
    );
    assert_eq!(
        (&heard["body"], &heard["clientId"]),
        (&json!("hola"), &json!(null))
    );
    assert_eq!(own["clientId"], "a1");
    let again = anas
        .done(
            "message:send",
            json!({ "roomId": room_id, "clientId": "a1", "body": "hola" }),
        )
        .await;
    assert_eq!(
        (&again["duplicate"], &again["message"]),
        (&json!(true), &sent["message"])
    );

    drop(beas);
    for (seq, body) in [(2, "one"), (3, "two")] {
        let sent = anas
            .done(
                "message:send",
                json!({ "roomId": room_id, "clientId": body, "body": body }),
            )
            .await;
        assert_eq!(sent["message"]["seq"], seq);
    }
    let resume = json!({ room_id.as_str().unwrap(): { "seq": 1, "epoch": room["epoch"] } });
    let mut beas = app.resume(&bea, resume).await;
    for body in ["one", "two"] {
        assert_eq!(beas.event("message:new").await["body"], body);
    }
    let resumed = beas.event("room:resumed").await;
    assert_eq!(
        resumed,
        json!({ "roomId": room_id, "headSeq": 3, "complete": true })
    );
    app.stop().await;
}
