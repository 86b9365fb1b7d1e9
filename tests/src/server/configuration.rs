//! A server that can't start as it was told says why, all at once, and doesn't start.

use std::{path::Path, process::Output};

use tempfile::TempDir;

use super::server_process::{ServerProcess, command};
use crate::deadline::within;

async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let child = command(arguments, variables).await.spawn().unwrap();
    within("the command's end", child.wait_with_output())
        .await
        .unwrap()
}

/// What a command printed that has to fail.
async fn failure(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(arguments, variables).await;
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_listed_at_once() {
    let data = TempDir::new().unwrap();
    let directory = data.path().join("never").display().to_string();
    let wrong = [
        ("TERTULIA_ENV", "staging"),
        ("HOST", "localhost"),
        ("PORT", "70000"),
        ("JWT_SECRET", "too-short-xyzzy"),
        ("ALLOWED_ORIGINS", "chat.example.org"),
        ("TRUSTED_PROXIES", "nginx"),
        ("METRICS_HOST", "metrics"),
        ("METRICS_PORT", "many"),
        ("INTERNAL_HOST", "backend-1"),
        ("INTERNAL_PORT", "many"),
        ("INTERNAL_ADDRESS", "backend-1:9091"),
        ("GUESTS", "maybe"),
        ("SINGLE_INSTANCE", "perhaps"),
        ("MAX_PAYLOAD", "1"),
        ("MAX_CONNECTIONS", "0"),
        ("PING_INTERVAL_MS", "soon"),
        ("PING_TIMEOUT_MS", "-1"),
        ("DRAIN_SECONDS", "x"),
        ("WORKER_THREADS", "0"),
        ("LOG_LEVEL", "tertulia=loud"),
        ("LOG_FORMAT", "xml"),
    ];
    let all = [&wrong[..], &[("DATA_DIR", &directory)]].concat();
    let printed = failure(&["serve"], &all).await;
    for (name, _) in wrong {
        let lines = printed
            .lines()
            .filter(|line| line.trim_start().starts_with(&format!("{name}: ")));
        assert_eq!(lines.count(), 1, "{name} in {printed}");
    }
    assert!(!printed.contains("xyzzy"), "{printed}");
    assert!(!Path::new(&directory).exists());

    let production = failure(
        &["serve"],
        &[("TERTULIA_ENV", "production"), ("ALLOWED_ORIGINS", "*")],
    )
    .await;
    for name in ["SINGLE_INSTANCE", "ALLOWED_ORIGINS"] {
        assert!(production.contains(&format!("{name}: ")), "{production}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_belongs_to_one_server() {
    let data = TempDir::new().unwrap();
    let first = ServerProcess::start(data.path(), &[]).await;
    let directory = data.path().to_str().unwrap();
    let second = [
        ("DATA_DIR", directory),
        ("PORT", "0"),
        ("HOST", "127.0.0.1"),
    ];
    let printed = failure(&["serve"], &second).await;
    assert!(printed.contains(directory), "{printed}");
    let printed = failure(&["admin", "grant", "ana"], &second).await;
    assert!(printed.contains(directory), "{printed}");
    // The first one doesn't mind.
    let ana = first.register("ana").await;
    let port = first.address().port().to_string();
    let on_port = [
        ("PORT", port.as_str()),
        ("HOST", "127.0.0.1"),
        ("DATA_DIR", directory),
    ];
    assert!(run(&["health"], &on_port).await.status.success());
    let other = TempDir::new().unwrap();
    let taken = [
        ("PORT", port.as_str()),
        ("HOST", "127.0.0.1"),
        ("DATA_DIR", other.path().to_str().unwrap()),
    ];
    let printed = failure(&["serve"], &taken).await;
    assert!(printed.contains(&port), "{printed}");

    let (status, _) = first.stop().await;
    assert!(status.success());
    failure(&["health"], &on_port).await;
    assert!(
        run(&["admin", "grant", "ana"], &second)
            .await
            .status
            .success()
    );
    failure(&["admin", "grant", "nobody"], &second).await;
    let again = ServerProcess::start(data.path(), &[]).await;
    let me = again.get("/api/v1/me", Some(&ana)).await.expect(200);
    assert_eq!(me["user"]["role"], "admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cant_be_used_is_named() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    for directory in [file.clone(), file.join("below")] {
        let directory = directory.to_str().unwrap();
        let printed = failure(&["serve"], &[("DATA_DIR", directory), ("PORT", "0")]).await;
        assert!(printed.contains(directory), "{printed}");
    }
    // Somebody else's database.
    std::fs::write(data.path().join("messages.db"), "x".repeat(8_192)).unwrap();
    let directory = data.path().to_str().unwrap();
    failure(&["serve"], &[("DATA_DIR", directory), ("PORT", "0")]).await;
    let kept = std::fs::read(data.path().join("messages.db")).unwrap();
    assert_eq!(kept, "x".repeat(8_192).into_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_doesnt_exist_shows_those_that_do() {
    let printed = failure(&["sreve"], &[]).await;
    assert!(
        printed.contains("usage: tertulia") && printed.contains("serve"),
        "{printed}"
    );
    let version = run(&["version"], &[]).await;
    assert!(version.status.success() && version.stdout.starts_with(b"tertulia "));
}
