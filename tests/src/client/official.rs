//! The official clients, as processes: `socket.io-client` under Node and `python-socketio` under Python, both installed
//! by `make test-clients`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

/// How long all cases of one script may take.
const RUN: Duration = Duration::from_secs(300);

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Node, in the directory of its scripts.
///
/// # Panics
/// If the client isn't installed.
pub fn javascript() -> Command {
    let directory = clients().join("js");
    assert!(
        directory.join("node_modules/socket.io-client").exists(),
        "socket.io-client isn't installed: run `make test-clients`"
    );
    let mut command = Command::new("node");
    command.current_dir(directory);
    command
}

/// Python with the client in its path, in the directory of its scripts.
///
/// # Panics
/// If the client isn't installed.
pub fn python() -> Command {
    let directory = clients().join("python");
    let python = directory.join(".venv/bin/python");
    assert!(
        python.exists(),
        "python-socketio isn't installed: run `make test-clients`"
    );
    let mut command = Command::new(python);
    command
        .current_dir(directory)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a script of Node's test runner.
///
/// # Panics
/// If a test fails, or if there is none; with all that the script printed.
pub async fn javascript_tests(script: &str, environment: &[(&str, &str)]) {
    let mut command = javascript();
    command.args(["--test-reporter=tap", script]);
    let output = run(command, environment).await;
    let passed: u32 = output
        .lines()
        .find_map(|line| line.strip_prefix("# pass ")?.parse().ok())
        .unwrap_or_default();
    assert!(passed > 0, "{script} tested nothing:\n{output}");
}

/// Runs a module of Python's `unittest`.
///
/// # Panics
/// As [`javascript_tests`].
pub async fn python_tests(module: &str, environment: &[(&str, &str)]) {
    let mut command = python();
    command.args(["-m", "unittest", "-v", module]);
    let output = run(command, environment).await;
    let tested = output
        .lines()
        .any(|line| line.starts_with("Ran ") && !line.starts_with("Ran 0"));
    assert!(tested, "{module} tested nothing:\n{output}");
}

async fn run(mut command: Command, environment: &[(&str, &str)]) -> String {
    let child = command
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the client's interpreter");
    let output = tokio::time::timeout(RUN, child.wait_with_output())
        .await
        .expect("an end of the client's cases")
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(output.status.success(), "{}:\n{printed}", output.status);
    printed
}
