//! Packets of Engine.IO and Socket.IO, over both transports.

use super::{
    case::{
        Case,
        Expected::{Closed, Open},
        Way, answer, binary, check, text,
    },
    mirror::MAX_PAYLOAD,
    script::Step,
};

/// A packet that has to follow the connection to "/".
fn connected(steps: &[&str]) -> Vec<Step> {
    [&["40"], steps].concat().into_iter().map(text).collect()
}

/// A packet with one attachment, which is missing yet.
const HEADER: &str = r#"451-["bytes",{"_placeholder":true,"num":0}]"#;

const UNREADABLE: &str = "what an event holds is the application's to refuse";

/// What the application sends first.
const AUTH: &str = r#"42["auth",{}]"#;
const SID: &str = r#"40{"sid":"…"}"#;

macro_rules! greeted {
    ($($packet:expr),* $(,)?) => {
        &[SID, AUTH, $($packet),*]
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_acks() {
    check(vec![
        Case::same(
            connected(&[r#"42["echo",1]"#]),
            Open(greeted!(r#"42["echo",1]"#)),
        ),
        Case::same(
            connected(&[r#"421["ack",{"a":[1.5,null]}]"#, r#"420["ack","é"]"#]),
            Open(greeted!(r#"431[{"a":[1.5,null]}]"#, r#"430["é"]"#)),
        ),
        Case::same(
            connected(&[r#"42["echo",1,2]"#]),
            Open(greeted!(r#"42["echo",1]"#)),
        ),
        Case::same(
            connected(&[r#"42["echo"]"#, r#"420["ack"]"#]),
            Open(greeted!()),
        ),
        Case::same(
            connected(&[r#"42 [ "echo" , 1 ] "#]),
            Open(greeted!(r#"42["echo",1]"#)),
        ),
        Case::same(
            connected(&[r#"42["echo","é\ud83d\ude00\u0000"]"#]),
            Open(greeted!(r#"42["echo","é😀\u0000"]"#)),
        ),
        // Half a surrogate is no Unicode: the application can't read it, and the connection goes on.
        Case::same(connected(&[r#"42["echo","\ud83d"]"#]), Open(greeted!())),
        Case::same(
            connected(&[r#"429223372036854775807["ack",1]"#]),
            Open(greeted!("439223372036854775807[1]")),
        ),
        // An id beyond 64 bits is taken for none.
        Case::same(
            connected(&[r#"4299999999999999999999["ack",1]"#]),
            Open(greeted!()),
        ),
        Case::differs(
            UNREADABLE,
            connected(&[r#"42-1["ack",1]"#]),
            Open(greeted!()),
            Closed(greeted!()),
        ),
        Case::same(
            connected(&[r#"42["",1]"#, r#"42["unknown",1]"#, r#"42["echo",1]"#]),
            Open(greeted!(r#"42["echo",1]"#)),
        ),
        Case::differs(
            "python-socketio escapes what isn't ASCII, in names too",
            connected(&[r#"42["ec\u0068o",1]"#]),
            Open(greeted!(r#"42["echo",1]"#)),
            Closed(greeted!()),
        ),
        Case::same(
            connected(&[r#"42["echo",{"a":1,"a":2}]"#, r#"42["echo",1e400]"#]),
            Open(greeted!(r#"42["echo",{"a":2}]"#)),
        ),
        Case::same(
            connected(&[&format!(
                "42[\"echo\",{}{}]",
                "[".repeat(1000),
                "]".repeat(1000)
            )]),
            Open(greeted!()),
        ),
        Case::same(
            connected(&[&format!("42[\"echo\",\"{}\"]", "x".repeat(MAX_PAYLOAD))]),
            Closed(greeted!()),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_events() {
    let same = [r#"44{"message":"x"}"#, "47", "4x", "4"];
    let mut cases: Vec<_> = same
        .into_iter()
        .map(|packet| Case::same(connected(&[packet]), Closed(greeted!())))
        .collect();
    for packet in [
        r#"42["echo""#,
        r#"42["echo",{]"#,
        r#"42["echo",]"#,
        "42{}",
        "42",
        "42[]",
        "42[1]",
        "42[null]",
        r#"42"echo""#,
        r#"427["ba\ud800d"]"#,
    ] {
        cases.push(Case::differs(
            UNREADABLE,
            connected(&[packet]),
            Open(greeted!()),
            Closed(greeted!()),
        ));
    }
    // Both read no further than the arguments they need.
    cases.push(Case::same(
        connected(&[r#"42["echo",1]x"#]),
        Open(greeted!(r#"42["echo",1]"#)),
    ));
    for reserved in [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
    ] {
        cases.push(Case::same(
            connected(&[&format!("42[\"{reserved}\"]")]),
            Open(greeted!()),
        ));
    }
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces() {
    const LATE: &str = "a client may not know yet that it left, or was put out of, a namespace";
    check(vec![
        Case::same(
            [
                text("40/custom,"),
                text(r#"42/custom,["echo",1]"#),
                text(r#"42/custom,7["ack",1]"#),
            ],
            Open(&[
                r#"40/custom,{"sid":"…"}"#,
                r#"42/custom,["auth",{}]"#,
                r#"42/custom,["echo",1]"#,
                "43/custom,7[1]",
            ]),
        ),
        Case::same(
            [text("40/custom")],
            Open(&[r#"40/custom,{"sid":"…"}"#, r#"42/custom,["auth",{}]"#]),
        ),
        Case::same(
            [text("40/,"), text(r#"42/,["echo",1]"#)],
            Open(greeted!(r#"42["echo",1]"#)),
        ),
        Case::differs(
            "the official server takes what follows \"?\" for a query",
            [text("40/custom?x=1,")],
            Open(&[r#"40/custom,{"sid":"…"}"#, r#"42/custom,["auth",{}]"#]),
            Open(&[r#"44/custom?x=1,{"message":"Invalid namespace"}"#]),
        ),
        Case::same(
            connected(&[
                "40/custom,",
                r#"42/custom,["echo",1]"#,
                "41",
                r#"42/custom,["echo",2]"#,
            ]),
            Open(greeted!(
                r#"40/custom,{"sid":"…"}"#,
                r#"42/custom,["auth",{}]"#,
                r#"42/custom,["echo",1]"#,
                r#"42/custom,["echo",2]"#,
            )),
        ),
        Case::same(
            [text("40/unknown,"), text("40")],
            Open(&[r#"44/unknown,{"message":"Invalid namespace"}"#, SID, AUTH]),
        ),
        Case::same(
            connected(&[r#"42/unknown,["echo",1]"#, "41/unknown,"]),
            Open(greeted!()),
        ),
        Case::same(
            connected(&["41", "40", r#"42["echo",1]"#]),
            Open(greeted!(SID, AUTH, r#"42["echo",1]"#)),
        ),
        Case::same(
            connected(&[r#"42["disconnect-me"]"#, "40", r#"42["echo",1]"#]),
            Open(greeted!("41", SID, AUTH, r#"42["echo",1]"#)),
        ),
        Case::same(
            connected(&[r#"41{"a":1}"#, "40"]),
            Open(greeted!(SID, AUTH)),
        ),
        Case::differs(
            "the official server closes for a second CONNECT",
            connected(&["40"]),
            Closed(greeted!()),
            Open(greeted!()),
        ),
        Case::differs(LATE, [text(r#"42["echo",1]"#)], Open(&[]), Closed(&[])),
        Case::differs(LATE, [text(HEADER), binary(&[1])], Open(&[]), Closed(&[])),
        Case::differs(
            LATE,
            [text("41"), text("40")],
            Open(greeted!()),
            Closed(&[]),
        ),
        Case::differs(
            LATE,
            connected(&["41", r#"42["echo",1]"#]),
            Open(greeted!()),
            Closed(greeted!()),
        ),
        Case::differs(
            LATE,
            connected(&[r#"42["disconnect-me"]"#, r#"42["echo",1]"#]),
            Open(greeted!("41")),
            Closed(greeted!("41")),
        ),
        Case::differs(
            LATE,
            connected(&[r#"42/custom,["echo",1]"#]),
            Open(greeted!()),
            Closed(greeted!()),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth() {
    let mut cases = vec![
        Case::same(
            [text(r#"40{"a":[1]}"#)],
            Open(&[SID, r#"42["auth",{"a":[1]}]"#]),
        ),
        Case::same(
            [text(r#"40/custom,{"a":1}"#)],
            Open(&[r#"40/custom,{"sid":"…"}"#, r#"42/custom,["auth",{"a":1}]"#]),
        ),
        // Digits are an id, which a CONNECT has no use for.
        Case::same([text("401")], Open(greeted!())),
        // What is cut is for the application to refuse.
        Case::same([text(r#"40{"a""#)], Open(&[SID, r#"42["auth",null]"#])),
    ];
    for (packet, theirs) in [
        (
            "40[1]",
            &[SID, r#"42["auth",[1]]"#] as &'static [&'static str],
        ),
        (r#"40"x""#, &[SID, r#"42["auth","x"]"#]),
        ("40null", &[SID, r#"42["auth",null]"#]),
        (r#"40 {"a":1}"#, &[SID, r#"42["auth",{"a":1}]"#]),
    ] {
        cases.push(Case::differs(
            "auth is an object, for the official server too, and clients put no space before it",
            [text(packet)],
            Closed(&[]),
            Open(theirs),
        ));
    }
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_clients() {
    let asked = |more: &[Step]| {
        let mut steps = connected(&[r#"42["ask",1]"#]);
        steps.extend_from_slice(more);
        steps
    };
    const QUESTION: &str = r#"42["question",1]"#;
    check(vec![
        Case::same(
            asked(&[answer(r#"["yes"]"#)]),
            Open(greeted!(QUESTION, r#"42["answer","yes"]"#)),
        ),
        Case::same(
            asked(&[answer("[1]"), text(r#"42["ask",1]"#), answer("[2]")]),
            Open(greeted!(
                QUESTION,
                r#"42["answer",1]"#,
                QUESTION,
                r#"42["answer",2]"#
            )),
        ),
        Case::same(asked(&[answer("[]")]), Open(greeted!(QUESTION))),
        Case::same(
            asked(&[text(r#"4399["x"]"#), answer("[1]")]),
            Open(greeted!(QUESTION, r#"42["answer",1]"#)),
        ),
        Case::same(asked(&[answer("")]), Closed(greeted!(QUESTION))),
        Case::same(asked(&[answer("{}")]), Open(greeted!(QUESTION))),
        Case::same(connected(&[r#"435["x"]"#]), Open(greeted!())),
        Case::same(connected(&[r#"43["x"]"#]), Closed(greeted!())),
        Case::same(
            connected(&[r#"43999999999999999999999999["x"]"#]),
            Closed(greeted!()),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments() {
    let sent = |packets: &[&str], attachments: &[&[u8]]| {
        let mut steps = connected(packets);
        steps.extend(attachments.iter().map(|bytes| binary(bytes)));
        steps
    };
    let mut cases = vec![
        Case::same(
            sent(&[HEADER], &[&[1, 2, 3]]),
            Open(greeted!(HEADER, "bAQID")),
        ),
        Case::same(sent(&[HEADER], &[&[]]), Open(greeted!(HEADER, "b"))),
        Case::same(
            sent(
                &[r#"451-9["bytes-ack",{"_placeholder":true,"num":0}]"#],
                &[&[1]],
            ),
            Open(greeted!(r#"461-9[{"_placeholder":true,"num":0}]"#, "bAQ==")),
        ),
        Case::same(
            connected(&[r#"450-["echo",1]"#]),
            Open(greeted!(r#"42["echo",1]"#)),
        ),
        Case::same(
            [
                sent(&[r#"451-["echo",1]"#], &[&[1]]),
                vec![text(r#"42["echo",2]"#)],
            ]
            .concat(),
            Open(greeted!(r#"42["echo",1]"#, r#"42["echo",2]"#)),
        ),
        // A pong is no message: it may come between.
        Case::same(
            [connected(&[HEADER, "3"]), vec![binary(&[1])]].concat(),
            Open(greeted!(HEADER, "bAQ==")),
        ),
        Case::same(
            connected(&[r#"42["echo",{"_placeholder":true,"num":0}]"#]),
            Open(greeted!(r#"42["echo",{"_placeholder":true,"num":0}]"#)),
        ),
        Case::same(sent(&[], &[&[1]]), Closed(greeted!())),
        Case::same(
            sent(&[HEADER], &[&[1], &[2]]),
            Closed(greeted!(HEADER, "bAQ==")),
        ),
        Case::same(connected(&[HEADER, r#"42["echo",1]"#]), Closed(greeted!())),
        Case::same(
            sent(&[r#"452-["bytes",{"_placeholder":true,"num":0}]"#], &[&[1]]),
            Closed(greeted!()),
        ),
        Case::same(connected(&[HEADER, "b!"]), Closed(greeted!())),
        Case::same(
            connected(&[HEADER, "bAQID"]),
            Open(greeted!(HEADER, "bAQID")),
        )
        .over(Way::Polling),
        Case::differs(
            "the official server decodes base64 over any transport",
            connected(&[HEADER, "bAQID"]),
            Open(greeted!(HEADER, "bAQID")),
            Closed(greeted!()),
        )
        .over(Way::WebSocket),
        Case::differs(
            "maxPayload holds for a packet with all its attachments",
            sent(
                &[r#"452-["echo",1]"#],
                &[&[1; MAX_PAYLOAD / 2], &[1; MAX_PAYLOAD / 2 + 1]],
            ),
            Closed(greeted!()),
            Open(greeted!(r#"42["echo",1]"#)),
        ),
    ];
    for header in [
        r#"451["echo",1]"#,
        r#"45["echo",1]"#,
        r#"45-["echo",1]"#,
        r#"45x-["echo",1]"#,
        r#"4599999999999999999999-["echo",1]"#,
        r#"45100000-["echo",1]"#,
    ] {
        cases.push(Case::same(connected(&[header]), Closed(greeted!())));
    }
    // They are taken in the order of their attachments, whatever their numbers say.
    cases.push(Case::same(
        sent(&[r#"451-["bytes",{"_placeholder":true,"num":5}]"#], &[&[1]]),
        Open(greeted!(HEADER, "bAQ==")),
    ));
    for placeholder in ["-1", "\"0\"", "null"] {
        let packet = format!(r#"451-["bytes",{{"_placeholder":true,"num":{placeholder}}}]"#);
        let mut steps = sent(&[&packet], &[&[1]]);
        steps.push(text(r#"42["echo",2]"#));
        cases.push(Case::same(steps, Open(greeted!(r#"42["echo",2]"#))));
    }
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engine_packets() {
    let mut cases = vec![
        Case::same(connected(&["3"]), Open(greeted!())),
        Case::same(connected(&["3hello"]), Open(greeted!())),
        Case::same(connected(&["1"]), Closed(greeted!())),
        Case::differs(
            "the server pings, the official one too",
            connected(&["2"]),
            Closed(greeted!()),
            Open(greeted!()),
        ),
        Case::same(connected(&["6"]), Open(greeted!())).over(Way::Polling),
        Case::differs(
            "the official server ignores a noop over any transport",
            connected(&["6"]),
            Open(greeted!()),
            Closed(greeted!()),
        )
        .over(Way::WebSocket),
        Case::same(connected(&[""]), Closed(greeted!())).over(Way::WebSocket),
        Case::same(connected(&[""]), Open(greeted!())).over(Way::Polling),
    ];
    for packet in ["0{}", "7", "é", "x"] {
        cases.push(Case::same(connected(&[packet]), Closed(greeted!())));
    }
    for packet in ["2probe", "3probe", "5"] {
        cases.push(Case::same(connected(&[packet]), Closed(greeted!())).over(Way::WebSocket));
        cases.push(
            Case::differs(
                "an upgrade has a connection of its own",
                connected(&[packet]),
                Closed(greeted!()),
                Open(greeted!()),
            )
            .over(Way::Polling),
        );
    }
    check(cases).await;
}
