//! What the program prints: when it's true, and whether or not anybody reads it.

use std::{io::pipe, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::{io::AsyncReadExt, process::Command};

use super::server_process::{ServerProcess, command};
use crate::deadline::within;

/// The end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (_, writer) = pipe().unwrap();
    writer.into()
}

/// What a command printed to standard output, having succeeded.
async fn printed(arguments: &[&str]) -> String {
    let output = command(arguments, &[]).await.output();
    let output = within("the command's end", output).await.unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn version_and_help_are_printed_as_everywhere() {
    let version = format!("tertulia {}\n", env!("CARGO_PKG_VERSION"));
    for argument in ["version", "--version", "-V"] {
        assert_eq!(printed(&[argument]).await, version);
    }
    for argument in ["help", "--help", "-h"] {
        let help = printed(&[argument]).await;
        assert!(help.starts_with("usage: tertulia"), "{help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reads_ends_nothing_by_a_panic() {
    let data = TempDir::new().unwrap();
    let variables = [
        ("DATA_DIR", data.path().to_str().unwrap()),
        ("PORT", "0"),
        ("HOST", "127.0.0.1"),
        ("DRAIN_SECONDS", "0"),
        ("LOG_LEVEL", "trace"),
    ];
    // As `tertulia serve | true`, at once and with a reader that goes after the first line.
    for arguments in [&["serve"][..], &["version"], &["--help"]] {
        let mut quiet = command(arguments, &variables).await;
        let ran = quiet.stdout(closed()).spawn().unwrap();
        let ended = within("the end", ran.wait_with_output()).await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            (ended.status.code(), &*said),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
    // A mistake that can't be told is the same mistake.
    for arguments in [&["nonsense"][..], &["health"]] {
        let mut quiet = command(arguments, &[("PORT", "1")]).await;
        quiet.stdout(closed()).stderr(closed());
        let status = within("the end", quiet.status()).await.unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_outlives_the_reader_of_its_log() {
    let data = TempDir::new().unwrap();
    let variables = [
        ("DATA_DIR", data.path().to_str().unwrap()),
        ("PORT", "0"),
        ("HOST", "127.0.0.1"),
        ("DRAIN_SECONDS", "0"),
        ("LOG_LEVEL", "trace"),
    ];
    let mut command: Command = command(&["serve"], &variables).await;
    let mut server = command.stderr(closed()).spawn().unwrap();
    let mut output = server.stdout.take().unwrap();
    let mut greeting = Vec::new();
    within("the greeting", async {
        while !greeting.ends_with(b"Ctrl-C.\n") {
            output.read_buf(&mut greeting).await.unwrap();
        }
    })
    .await;
    drop(output);
    let greeting = String::from_utf8(greeting).unwrap();
    let (_, rest) = greeting.split_once("http://localhost:").unwrap();
    let port = rest.lines().next().unwrap().parse().unwrap();
    let api = super::api::Api::of(vec![([127, 0, 0, 1], port).into()]);
    api.register("ana").await;
    for _ in 0..20 {
        api.get("/health/live", None).await.expect(200);
    }
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_not_listened_on() {
    let data = TempDir::new().unwrap();
    let server = ServerProcess::start(data.path(), &[]).await;
    let variables = [
        ("DATA_DIR", data.path().to_str().unwrap()),
        ("PORT", "0"),
        ("HOST", "127.0.0.1"),
    ];
    let second = command(&["serve"], &variables).await.output();
    let second = within("the end of the second", second).await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let printed = String::from_utf8([second.stdout, second.stderr].concat()).unwrap();
    assert!(printed.contains("in use by another process"), "{printed}");
    assert!(!printed.contains("listens on"), "{printed}");
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_for_its_owner_alone() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("a/data");
    let server = ServerProcess::start(&data, &[]).await;
    server.register("ana").await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let (mut directories, mut files) = (vec![data], 0);
    while let Some(directory) = directories.pop() {
        assert_eq!(mode(&directory), 0o700, "{directory:?}");
        for entry in directory.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{path:?}");
                files += 1;
            }
        }
    }
    assert!(files >= 6, "{files}");
    server.kill().await;
}
