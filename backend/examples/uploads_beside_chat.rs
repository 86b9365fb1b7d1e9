//! What 100 images that are uploaded at once cost those who chat: how long their messages wait for their acks meanwhile and
//! while nothing else happens, in turn. The server is a process of its own, with its default configuration but for rate limits.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

use std::{
    io::{Cursor, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use tertulia::{
    config::Config,
    media::image_process,
    process,
    server::{self, Listeners},
};
use tungstenite::{Message, WebSocket};

/// Rounds of both, in turn.
const ROUNDS: usize = 3;
/// How long it is quiet in each round.
const QUIET: Duration = Duration::from_secs(10);
/// Uploads at once, each by another user.
const UPLOADS: usize = 100;
/// People who chat, in rooms of ten.
const PEOPLE: usize = 40;
const ROOM: usize = 10;
/// Between two messages of each: 200 a second in all.
const EVERY: Duration = Duration::from_millis(200);
/// The argument that makes this program the server.
const SERVE: &str = "serve";

fn main() -> ExitCode {
    if let Some(ended) = image_process::serve_if_asked() {
        return ended;
    }
    if std::env::args().nth(1).as_deref() == Some(SERVE) {
        return process::end(process::run(serve));
    }
    measure();
    ExitCode::SUCCESS
}

async fn serve(config: Config) -> Result<(), String> {
    let listeners = Listeners::bind(&config).await?;
    let ended = server::start(config, listeners, std::future::pending()).await;
    ended.map_err(|error| error.to_string())
}

/// The server's process, which ends with this.
struct Server {
    child: Child,
    address: SocketAddrV4,
    _data: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let limits = [
            "STRANGERS",
            "READS",
            "PEOPLE",
            "MESSAGES",
            "EVENTS",
            "CONNECTS",
            "REGISTRATIONS",
            "UPLOADS",
        ];
        let limits = limits.map(|tier| (format!("RATE_LIMIT_{tier}"), "100000/1m"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(SERVE)
            .env("DATA_DIR", data.path())
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("METRICS_PORT", "0")
            .envs(limits)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        while TcpStream::connect(address).is_err() {
            assert_eq!(child.try_wait().unwrap(), None, "the server has ended");
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            address,
            _data: data,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn measure() {
    let photo = Arc::new(photo(4_000, 3_000));
    println!(
        "{PEOPLE} people send {} messages a second; {UPLOADS} JPEGs of 4000 × 3000, {} KB each",
        PEOPLE as f64 / EVERY.as_secs_f64(),
        photo.len() / 1_024
    );
    println!(
        "load before: {}",
        std::fs::read_to_string("/proc/loadavg").unwrap().trim()
    );
    println!(
        "| round | quiet: ack p50, ms | p99 | with uploads: p50 | p99 | p99, × quiet | all shown after, s |"
    );
    println!("|---|---|---|---|---|---|---|");
    let server = Server::start();
    let uploaders: Vec<_> = (0..UPLOADS).map(|_| register(server.address)).collect();
    let (mut rooms, mut people) = (Vec::new(), Vec::new());
    for number in 0..PEOPLE {
        let token = register(server.address);
        if number % ROOM == 0 {
            let body = json!({ "name": "a room", "kind": "public" });
            let made = ask(server.address, "POST", "/api/v1/rooms", &token, &body);
            rooms.push(made["room"]["id"].as_str().unwrap().to_owned());
        }
        people.push((token, rooms.last().unwrap().clone()));
    }
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let quiet = chat(server.address, &people, || thread::sleep(QUIET));
        let began = Instant::now();
        let busy = chat(server.address, &people, || {
            upload_all(server.address, &uploaders, &photo);
        });
        let took = began.elapsed().as_secs_f64();
        let [(q50, q99), (b50, b99)] = [quiet, busy].map(|times| (at(&times, 50), at(&times, 99)));
        ratios.push(b99 / q99);
        println!(
            "| {round} | {q50:.2} | {q99:.2} | {b50:.2} | {b99:.2} | {:.2} | {took:.0} |",
            b99 / q99
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median of the ratios: {:.2}", ratios[ROUNDS / 2]);
}

/// Milliseconds that so many of a hundred don't exceed.
fn at(times: &[Duration], percent: usize) -> f64 {
    times[times.len() * percent / 100].as_secs_f64() * 1_000.0
}

/// How long acks took while something else happened, in order.
fn chat(
    server: SocketAddrV4,
    people: &[(String, String)],
    meanwhile: impl FnOnce(),
) -> Vec<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let talking: Vec<JoinHandle<Vec<Duration>>> = people
        .iter()
        .enumerate()
        .map(|(number, (token, room))| {
            let (token, room, stop) = (token.clone(), room.clone(), stop.clone());
            let first = EVERY * number as u32 / PEOPLE as u32;
            thread::spawn(move || talk(server, &token, &room, first, &stop))
        })
        .collect();
    // Until all are in their rooms.
    thread::sleep(Duration::from_secs(2));
    meanwhile();
    stop.store(true, Relaxed);
    let times = talking.into_iter().flat_map(|talk| talk.join().unwrap());
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times
}

/// Sends messages at a steady rate, and measures from when each was due to its ack.
fn talk(
    server: SocketAddrV4,
    token: &str,
    room: &str,
    first: Duration,
    stop: &AtomicBool,
) -> Vec<Duration> {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    let url = format!("ws://{server}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = tungstenite::client(url, stream).unwrap();
    until(&mut socket, "0");
    say(&mut socket, &format!("40{}", json!({ "token": token })));
    until(&mut socket, "40");
    say(
        &mut socket,
        &format!("420{}", json!(["room:join", { "roomId": room }])),
    );
    assert!(until(&mut socket, "430").contains("\"ok\":true"));
    thread::sleep(Duration::from_secs(1));
    let (began, mut times) = (Instant::now() + first, Vec::new());
    let run = rand::random::<u64>();
    for number in 1.. {
        if stop.load(Relaxed) {
            break;
        }
        let due = began + EVERY * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let message = json!(["message:send", {
            "roomId": room, "clientId": format!("{run}-{number}"), "body": "a message of people who talk in a room",
        }]);
        say(&mut socket, &format!("42{number}{message}"));
        let ack = until(&mut socket, &format!("43{number}["));
        assert!(ack.contains("\"ok\":true"), "{ack}");
        times.push(due.elapsed());
    }
    times
}

fn say(socket: &mut WebSocket<TcpStream>, text: &str) {
    socket.send(Message::text(text)).unwrap();
}

/// The next packet that begins so.
fn until(socket: &mut WebSocket<TcpStream>, beginning: &str) -> String {
    loop {
        let Message::Text(text) = socket.read().unwrap() else {
            continue;
        };
        if text.as_str() == "2" {
            say(socket, "3");
        } else if text.starts_with(beginning) {
            return text.as_str().to_owned();
        }
    }
}

/// Uploads one image for each user at once, and waits until all are shown.
fn upload_all(server: SocketAddrV4, users: &[String], photo: &Arc<Vec<u8>>) {
    let uploading: Vec<_> = users
        .iter()
        .map(|token| {
            let (token, photo) = (token.clone(), photo.clone());
            thread::spawn(move || upload(server, &token, &photo))
        })
        .collect();
    for upload in uploading {
        upload.join().unwrap();
    }
}

fn upload(server: SocketAddrV4, token: &str, photo: &[u8]) {
    let body = json!({ "fileName": "a.jpg", "contentType": "image/jpeg", "size": photo.len() });
    let created = ask(server, "POST", "/api/v1/uploads", token, &body);
    let (id, url) = (
        created["uploadId"].as_str().unwrap(),
        created["url"].as_str().unwrap(),
    );
    request(server, "PUT", url, token, "image/jpeg", photo);
    let path = format!("/api/v1/uploads/{id}");
    ask(
        server,
        "POST",
        &format!("{path}/complete"),
        token,
        &json!({}),
    );
    while ask(server, "GET", &path, token, &Value::Null)["upload"]["status"] != "ready" {
        thread::sleep(Duration::from_millis(500));
    }
}

fn register(server: SocketAddrV4) -> String {
    let name = format!("user-{:x}", rand::random::<u64>());
    let body = json!({ "username": name, "password": "correct horse battery" });
    let tokens = ask(server, "POST", "/api/v1/auth/register", "", &body);
    tokens["accessToken"].as_str().unwrap().to_owned()
}

fn ask(server: SocketAddrV4, method: &str, path: &str, token: &str, body: &Value) -> Value {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = request(
        server,
        method,
        path,
        token,
        "application/json",
        body.as_bytes(),
    );
    serde_json::from_slice(&answer).unwrap()
}

/// The body of an answer, which says success.
fn request(
    server: SocketAddrV4,
    method: &str,
    path: &str,
    token: &str,
    content_type: &str,
    body: &[u8],
) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).unwrap();
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
         {authorization}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {head}");
    answer.split_off(end + 4)
}

/// Something with edges, gradients and noise.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 28) as u8;
        let light = (x * 200 / width) as u8;
        let edge = if (x / 97 + y / 61) % 2 == 0 { 40 } else { 0 };
        Rgb([light + noise, edge + noise, (y * 200 / height) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}
