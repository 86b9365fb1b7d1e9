//! Payloads of polling: several packets in one body.

use super::{
    case::{
        Case,
        Expected::{Closed, Open},
        Way, check,
    },
    mirror::MAX_PAYLOAD,
    script::Step,
};

fn body(packets: &[&str]) -> Vec<Step> {
    vec![
        Step::Payload("40".into()),
        Step::Payload(packets.join("\u{1e}")),
    ]
}

/// A packet with one attachment.
const HEADER: &str = r#"451-["bytes",{"_placeholder":true,"num":0}]"#;

const GREETING: [&str; 2] = [r#"40{"sid":"…"}"#, r#"42["auth",{}]"#];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies() {
    let large = "x".repeat(MAX_PAYLOAD / 2);
    let large = format!("42[\"echo\",\"{large}\"]");
    let cases = vec![
        Case::same(
            body(&[r#"42["echo",1]"#, "3", r#"427["ack",2]"#]),
            Open(&[GREETING[0], GREETING[1], r#"42["echo",1]"#, "437[2]"]),
        ),
        Case::same(
            body(&[HEADER, "bAQID", r#"42["echo",1]"#]),
            Open(&[GREETING[0], GREETING[1], HEADER, "bAQID", r#"42["echo",1]"#]),
        ),
        // Attachments may come with the next request.
        Case::same(
            [body(&[HEADER]), vec![Step::Payload("bAQID".into())]].concat(),
            Open(&[GREETING[0], GREETING[1], HEADER, "bAQID"]),
        ),
        Case::same(body(&[r#"42["echo",1]"#, "7"]), Closed(&[])),
        Case::same(body(&[r#"42["echo",1]"#, "1"]), Closed(&[])),
        Case::same(body(&[HEADER, "b="]), Closed(&[])),
        Case::same(body(&[&large, &large]), Closed(&[])),
    ];
    check(
        cases
            .into_iter()
            .map(|case| case.over(Way::Polling))
            .collect(),
    )
    .await;
}
