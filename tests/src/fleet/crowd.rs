//! People on the official client who write, change and reconnect whatever happens to the servers, in a process of their
//! own, which checks all that they were told.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout},
};

use crate::{client::official, deadline::within, server::api::Person};

/// How long a fault may keep a crowd from going on.
const GO_ON: Duration = Duration::from_secs(90);

/// Lines, four a second, that tell of nothing new when nothing goes on.
const STILL: u32 = 8;

/// Running; dropping it kills it.
pub struct Crowd {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What was wrong, once the process has ended.
    errors: ChildStderr,
    /// Events of each room that everybody has seen.
    seen: Vec<u64>,
}

impl Crowd {
    /// Has these people connect to these addresses, in turn, and begin.
    pub async fn start(addresses: &[SocketAddr], people: &[Person]) -> Self {
        let urls: Vec<_> = addresses
            .iter()
            .map(|address| format!("http://{address}"))
            .collect();
        let people = people
            .iter()
            .map(|person| json!({ "id": person.id, "token": person.access_token }));
        let mut process = official::javascript()
            .arg("crowd.mjs")
            .env("URLS", json!(urls).to_string())
            .env("PEOPLE", people.collect::<Value>().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let errors = process.stderr.take().unwrap();
        Self {
            process,
            lines,
            errors,
            seen: vec![0],
        }
    }

    /// Waits until everybody has seen so many more events of each room.
    ///
    /// # Panics
    /// If they don't, or if anything was wrong.
    pub async fn go_on(&mut self, events: u64) {
        let goal: Vec<_> = self.seen.iter().map(|seen| seen + events).collect();
        let is_there = |seen: &[u64]| seen.iter().zip(&goal).all(|(seen, goal)| seen >= goal);
        let going_on = async {
            while !is_there(&self.seen) {
                self.next().await;
            }
        };
        let in_time = tokio::time::timeout(GO_ON, going_on).await;
        in_time.unwrap_or_else(|_| panic!("{:?} and not {goal:?}", self.seen));
    }

    /// Waits until nobody sees anything new for two seconds.
    ///
    /// # Panics
    /// If they go on, or if anything was wrong.
    pub async fn stand_still(&mut self) {
        let mut still = 0;
        while still < STILL {
            let before = self.seen.clone();
            self.next().await;
            still = if self.seen == before { still + 1 } else { 0 };
        }
    }

    /// Takes the next line of those that come all the time.
    async fn next(&mut self) {
        let line = self.line().await;
        let seen = line.strip_prefix("seen ").expect("what was seen");
        self.seen = seen.split(' ').map(|seen| seen.parse().unwrap()).collect();
    }

    /// Ends the writing, has everything checked, and returns what was counted.
    ///
    /// # Panics
    /// If anything was wrong.
    pub async fn check(mut self) -> Value {
        let mut stdin = self.process.stdin.take().unwrap();
        stdin.write_all(b"stop\n").await.unwrap();
        loop {
            let line = self.line().await;
            if let Some(counts) = line.strip_prefix("checked ") {
                return serde_json::from_str(counts).unwrap();
            }
        }
    }

    async fn line(&mut self) -> String {
        if let Some(line) = within("a line", self.lines.next_line()).await.unwrap() {
            return line;
        }
        let mut wrong = String::new();
        self.errors.read_to_string(&mut wrong).await.unwrap();
        panic!("the crowd found something wrong: {wrong}");
    }
}
