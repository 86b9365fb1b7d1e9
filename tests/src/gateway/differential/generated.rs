//! Sequences that nobody thought of: valid ones, and valid ones with something changed.
//!
//! The client stays connected to both namespaces, and what comes after its packet's type is what gets changed: everything
//! else leads to the differences that the tables list. The seed is fixed; `PROPTEST_CASES` goes further on the same road.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json, value::RawValue};

use super::{
    case::{answer, binary, text},
    mirror, reference,
    script::{Outcome, Step, over_polling, over_websocket},
};

/// Sequences of one run; a few seconds.
const CASES: u32 = 150;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            // The parser of both reads no key with an escape in it.
            vec(("[^\\p{C}\"\\\\]{0,6}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// The part of a packet between its type and its arguments, for each namespace.
fn namespace() -> impl Strategy<Value = &'static str> {
    select(vec!["", "/,", "/custom,"])
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        any::<u16>().prop_map(|id| id.to_string()),
    ]
}

fn event() -> impl Strategy<Value = String> {
    let name = select(vec!["echo", "ack", "bytes", "unknown", ""]);
    (namespace(), id(), name, vec(json(), 0..3)).prop_map(|(namespace, id, name, arguments)| {
        let mut data = vec![Value::from(name)];
        data.extend(arguments);
        format!("42{namespace}{id}{}", Value::from(data))
    })
}

/// An event with attachments, of which there may be more or fewer than it says.
fn binary_event() -> impl Strategy<Value = (String, Vec<Vec<u8>>)> {
    let said = prop_oneof![5 => Just(None), 1 => (0_usize..4).prop_map(Some)];
    let name = select(vec!["bytes", "bytes-ack", "echo"]);
    let attachments = vec(vec(any::<u8>(), 0..40), 0..3);
    (namespace(), id(), name, attachments, said).prop_map(
        |(namespace, id, name, attachments, said)| {
            let mut data = vec![Value::from(name)];
            data.extend((0..attachments.len()).map(|n| json!({ "_placeholder": true, "num": n })));
            let count = said.unwrap_or(attachments.len());
            let data = Value::from(data);
            (format!("45{count}-{namespace}{id}{data}"), attachments)
        },
    )
}

/// The packet with one character changed, added or left out, or its end cut off.
fn changed(packet: String) -> impl Strategy<Value = String> {
    let characters: Vec<char> = "[]{}\",:0123456789/-e _né".chars().collect();
    (any::<Index>(), select(characters), 0..4).prop_map(move |(place, new, how)| {
        let mut characters: Vec<char> = packet.chars().collect();
        let place = 2 + place.index(characters.len() - 2);
        match how {
            0 => characters[place] = new,
            1 => characters.insert(place, new),
            2 => drop(characters.remove(place)),
            _ => characters.truncate(place),
        }
        characters.into_iter().collect()
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let binary_event = || {
        binary_event().prop_map(|(header, attachments)| {
            let mut steps = vec![text(&header)];
            steps.extend(attachments.iter().map(|bytes| binary(bytes)));
            steps
        })
    };
    prop_oneof![
        8 => event().prop_map(|packet| vec![text(&packet)]),
        4 => binary_event(),
        2 => json().prop_map(|question| {
            let ask = json!(["ask", question]);
            vec![text(&format!("42{ask}")), answer(&json!([question]).to_string())]
        }),
        1 => Just(vec![text("41/custom,"), text("40/custom,")]),
        1 => Just(vec![text(r#"42["disconnect-me"]"#), text("40")]),
        1 => Just(vec![text("3")]),
        1 => Just(vec![text("40/unknown,")]),
        3 => event().prop_flat_map(changed).prop_map(|packet| vec![text(&packet)]),
        1 => (binary_event(), any::<Index>()).prop_map(|(mut steps, left_out)| {
            steps.remove(left_out.index(steps.len()));
            steps
        }),
        1 => vec(any::<u8>(), 0..40).prop_map(|bytes| vec![binary(&bytes)]),
    ]
}

/// The reference handles each event in a task of its own, and both answer a reply whenever its turn comes: under load
/// the order of what comes out is chance. That ours keeps it is tested where it can be told.
fn unordered(mut outcome: Outcome) -> Outcome {
    outcome.packets.sort_unstable();
    outcome
}

/// The steps without the events that can't be read: ours drops them, the reference closes.
fn readable(steps: &[Step]) -> Vec<Step> {
    let is_readable = |step: &Step| match step {
        Step::Text(packet) => packet.strip_prefix("42").is_none_or(|event| {
            let event = match event.strip_prefix('/') {
                Some(namespaced) => namespaced.split_once(',').map_or("", |(_, event)| event),
                None => event,
            };
            let digits = event.trim_start_matches(|c: char| c.is_ascii_digit());
            // Digits are an id only before arguments.
            let event = if digits.starts_with(['[', '{']) {
                digits
            } else {
                event
            };
            let mut arrays =
                serde_json::Deserializer::from_str(event).into_iter::<Vec<&RawValue>>();
            let name = arrays
                .next()
                .and_then(Result::ok)
                .and_then(|e| e.first().copied());
            name.is_some_and(|name| name.get().starts_with('"'))
        }),
        _ => true,
    };
    steps
        .iter()
        .filter(|step| is_readable(step))
        .cloned()
        .collect()
}

#[test]
fn sequences() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let ours = runtime.block_on(mirror::start());
    let theirs = runtime.block_on(reference::start());
    let config = Config {
        cases: std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&vec(steps(), 1..8), |steps| {
            let connect = [text("40"), text("40/custom,")];
            let steps = [&connect[..], &steps.concat()].concat();
            runtime.block_on(async {
                let (we, they) = (
                    over_websocket(ours.address, &steps).await,
                    over_websocket(theirs.address, &readable(&steps)).await,
                );
                prop_assert_eq!(unordered(we), unordered(they));
                let (we, they) = (
                    over_polling(ours.address, &steps).await,
                    over_polling(theirs.address, &readable(&steps)).await,
                );
                prop_assert_eq!(unordered(we), unordered(they));
                Ok(())
            })
        })
        .unwrap();
}
