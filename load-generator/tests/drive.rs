//! The program as it is used: `drive` against `bare`, each a process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_load-generator");

/// The bare server, killed at the end of the test.
struct Bare {
    process: Child,
    address: SocketAddr,
}

impl Bare {
    fn start() -> Self {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        let process = Command::new(PROGRAM)
            .arg("bare")
            .env("PORT", address.port().to_string())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bare = Self { process, address };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(bare.address).is_err() {
            assert!(Instant::now() < deadline, "the bare server doesn't accept");
            std::thread::yield_now();
        }
        bare
    }

    fn drive(&self, options: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(["drive", &self.address.to_string()])
            .args(options)
            .output()
            .unwrap()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn every_delivery_is_counted() {
    let bare = Bare::start();
    let pid = bare.process.id().to_string();
    let load = ["--connections", "300", "--room", "100", "--rooms", "3"];
    let amount = ["--in-flight", "8", "--publishes", "20", "--pid", &pid];
    let output = bare.drive(&[load.as_slice(), &amount].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("\n6000 deliveries, "), "{text}");
    assert!(text.contains("; 0 out of order;"), "{text}");
    assert!(text.contains("a delivery: "), "{text}");
}

#[test]
fn too_few_connections_for_the_rooms_are_an_error() {
    let bare = Bare::start();
    let output = bare.drive(&["--connections", "10", "--room", "100"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.trim(), "10 connections fill only 0 such rooms");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let output = Command::new(PROGRAM)
        .args(["drive", &free.to_string()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("Connection refused"), "{text}");
}
