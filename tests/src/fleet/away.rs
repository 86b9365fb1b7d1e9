//! Who is away is told once by mail and by push, on a fleet whose jobs are run by workers: whichever worker dies in the middle
//! of one, and whatever becomes of the server that takes mail.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use ::http::Method;
use serde_json::json;
use stack::{PostgresDatabase, Stack};

use super::fleet::Fleet;
use crate::{
    client::http::request,
    deadline::{PATIENCE, within},
    server::{
        api::{Api, Person, person},
        mail::Email,
        push::{Given, KEYS, Service, web_device},
        server_process::ServerProcess,
    },
};

/// A fleet that sends mail to a server of its own.
struct World {
    smtp: Stack,
    fleet: Fleet,
    instance: ServerProcess,
    _database: PostgresDatabase,
}

impl World {
    async fn start() -> Self {
        let smtp = Stack::start(&["smtp"]);
        let database = PostgresDatabase::shared();
        let prefix = format!("test-{:016x}", rand::random::<u64>());
        let fleet = Fleet::new()
            .with("DATABASE_URL", &database.url)
            .with("RABBITMQ_URL", stack::address("RABBITMQ_URL"))
            .with("RABBITMQ_PREFIX", prefix)
            .with("SMTP_URL", smtp.get("SMTP_URL"))
            .with("MAIL_FROM", "Tertulia <tertulia@example.org>")
            .with("PUBLIC_URL", "https://chat.example.org")
            .with("PUSH_PRIVATE_ADDRESSES", "true")
            .with("PUSH_AFTER_SECONDS", "1")
            .with("MAIL_AFTER_SECONDS", "3")
            .with(KEYS[0].0, KEYS[0].1)
            .with(KEYS[1].0, KEYS[1].1);
        let (done, printed) = fleet.run(&["migrate"]).await;
        assert!(done, "{printed}");
        let instance = fleet.start().await;
        Self {
            smtp,
            fleet,
            instance,
            _database: database,
        }
    }

    /// What the server does with emails from now on.
    fn behaves(&self, behaviour: &str) {
        let file = self.smtp.member("smtp/server").join("behaviour");
        match behaviour {
            "" => fs::remove_file(file).unwrap(),
            behaviour => fs::write(file, behaviour).unwrap(),
        }
    }

    /// The emails that were sent (`attempts`) or taken (`emails`).
    fn now(&self, directory: &str) -> Vec<Email> {
        let directory = self.smtp.member("smtp/server").join(directory);
        let files = fs::read_dir(directory).into_iter().flatten();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "eml"));
        files.sort();
        let raw = files.iter().map(|file| fs::read_to_string(file).unwrap());
        raw.map(|raw| Email::read(&raw)).collect()
    }

    /// The same once there are so many.
    async fn once(&self, directory: &str, count: usize) -> Vec<Email> {
        patiently(directory, async || {
            let found = self.now(directory);
            assert!(found.len() <= count, "{} {directory}", found.len());
            (found.len() == count).then_some(found)
        })
        .await
    }

    /// Somebody whose address is known to be theirs, by the first email.
    async fn verified(&self, name: &str) -> Person {
        let email = format!("{name}@example.org");
        let body = json!({ "username": name, "password": "correct horse", "email": email });
        let tokens = self.instance.post("/api/v1/auth/register", None, body);
        let person = person(&tokens.await.expect(201));
        let token = self.once("emails", 1).await[0].behind("#verify-email=");
        let verify = json!({ "token": token });
        let verified = self
            .instance
            .post("/api/v1/auth/verify-email", None, verify);
        verified.await.expect(204);
        person
    }
}

/// Looks until there is something, for twice as long as usual: a server that doesn't answer is waited for as well.
async fn patiently<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn direct(api: &Api, one: &Person, other: &Person) -> String {
    let body = json!({ "kind": "direct", "members": [other.id] });
    let made = api.post("/api/v1/rooms", Some(one), body).await.expect(201);
    made["room"]["id"].as_str().unwrap().to_owned()
}

async fn say(api: &Api, person: &Person, room: &str, body: &str) {
    let path = format!("/api/v1/rooms/{room}/messages");
    let said = api.post(&path, Some(person), json!({ "body": body })).await;
    said.expect(201);
}

/// Waits until what is said from now on is derived.
async fn follows(api: &Api) {
    let (one, other) = (api.register("first").await, api.register("second").await);
    let room = direct(api, &one, &other).await;
    within("a reader of the logs", async {
        loop {
            say(api, &one, &room, "hello").await;
            let listed = api.get("/api/v1/notifications", Some(&other)).await;
            if !listed.body["notifications"][0].is_null() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

fn message_id(message: &Email) -> String {
    let (_, rest) = message.head.split_once("Message-ID: ").unwrap();
    rest.lines().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_email_and_one_push_whichever_worker_dies_in_the_middle() {
    let world = World::start().await;
    let api = &world.instance;
    let worker = world.fleet.start_worker().await;
    let mut service = Service::start().await;
    follows(api).await;
    let bea = world.verified("bea").await;
    let ana = api.register("ana").await;
    let room = direct(api, &ana, &bea).await;
    let device = web_device(&format!("http://{}/bea", service.address));
    api.put("/api/v1/devices/laptop", &bea, device)
        .await
        .expect(204);

    // The push has reached its service, and the worker dies before it hears so.
    service.gives(Given {
        after: Duration::from_secs(60),
        ..Given::default()
    });
    world.behaves("hold");
    say(api, &ana, &room, "@bea, are you there?").await;
    service.next().await;
    worker.kill().await;
    // The email is under way when the next one dies.
    let worker = world.fleet.start_worker().await;
    world.once("attempts", 2).await;
    worker.kill().await;
    world.behaves("");
    let worker = world.fleet.start_worker().await;
    let emails = world.once("emails", 2).await;
    assert!(emails[1].text.contains("are you there?"));
    assert!(service.is_quiet(), "a second push");

    // An email that was taken, which the worker doesn't hear: it comes again as the same email.
    world.behaves("hold taken");
    say(api, &ana, &room, "the second one").await;
    service.next().await;
    world.once("emails", 3).await;
    worker.kill().await;
    world.behaves("");
    let worker = world.fleet.start_worker().await;
    let emails = world.once("emails", 4).await;
    assert!(!emails[2].text.contains("are you there?"));
    assert_eq!(message_id(&emails[2]), message_id(&emails[3]));
    assert_ne!(message_id(&emails[1]), message_id(&emails[2]));

    // Nothing else was sent, and the next one holds nothing of those before.
    say(api, &ana, &room, "the third one").await;
    service.next().await;
    let emails = world.once("emails", 5).await;
    assert!(emails[4].text.contains("the third one"));
    assert!(!emails[4].text.contains("the second one"));
    assert!(service.is_quiet(), "one push more");
    assert!(worker.stop().await.success());
    assert!(world.instance.stop().await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn emails_wait_for_a_server_that_is_down_slow_full_or_cuts_them_off() {
    let world = World::start().await;
    let api = &world.instance;
    let worker = world.fleet.start_worker().await;
    // Her address isn't known to be hers, so nobody is told that it is a former one.
    let body =
        json!({ "username": "bea", "password": "correct horse", "email": "bea@example.org" });
    let tokens = api.post("/api/v1/auth/register", None, body).await;
    let bea = person(&tokens.expect(201));
    world.once("emails", 1).await;
    // Each address that is given is written to.
    let write_to = async |name: &str| {
        let email = format!("{name}@example.org");
        let body = json!({ "email": email, "currentPassword": "correct horse" });
        api.patch("/api/v1/me", &bea, body).await.expect(200);
    };
    let mut taken = 1;
    for behaviour in ["451 4.3.0 later", "452 4.2.2 full", "cut"] {
        let attempts = world.now("attempts").len();
        world.behaves(behaviour);
        write_to(&format!("bea-{taken}")).await;
        world.once("attempts", attempts + 1).await;
        world.behaves("");
        taken += 1;
        world.once("emails", taken).await;
        world.once("attempts", attempts + 2).await;
    }

    // What is refused for good isn't tried again.
    let attempts = world.now("attempts").len();
    world.behaves("552 5.2.2 full");
    write_to("bea-full").await;
    world.once("attempts", attempts + 1).await;
    let dead = async || {
        let list = ["admin", "jobs", "list", "mail.verification"];
        world.fleet.run(&list).await.1
    };
    within("a dead letter", async {
        while !dead().await.contains("552") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let dead = dead().await;
    assert!(!dead.contains("bea-full"), "{dead}");
    world.behaves("");

    let failed = r#"tertulia_emails_total{outcome="failed"} "#;
    let count = async || {
        let metrics = request(worker.operations(), Method::GET, "/metrics", &[], "").await;
        let metrics = metrics.text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(failed));
        value.map_or(0, |value| value.parse().unwrap())
    };

    // Down, and back.
    let before = count().await;
    world.smtp.signal("smtp/server", "KILL");
    write_to("bea-down").await;
    let more = async || (count().await > before).then_some(());
    patiently("an attempt that fails", more).await;
    world.smtp.up();
    taken += 1;
    world.once("emails", taken).await;

    // So slow that nobody waits for it.
    world.smtp.signal("smtp/server", "STOP");
    write_to("bea-slow").await;
    let before = count().await;
    let more = async || (count().await > before).then_some(());
    patiently("an attempt that fails", more).await;
    world.smtp.signal("smtp/server", "CONT");
    taken += 1;
    let emails = world.once("emails", taken).await;
    assert!(emails[taken - 1].head.contains("bea-slow@example.org"));
    assert!(worker.stop().await.success());
    assert!(world.instance.stop().await.0.success());
}
