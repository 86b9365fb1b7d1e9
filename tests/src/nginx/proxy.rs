//! nginx as a process of its own, with the files of `nginx/`: of those in `nginx/site` only what has to differ between
//! two that run on one machine, and what a test says.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
};

use http::Method;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    process::{Child, Command},
};

use crate::{
    client::http::{Response, request},
    deadline::within,
};

/// In a file of `nginx/`, a text and what takes its place.
pub type Change<'a> = (&'a str, &'a str, &'a str);

/// A running nginx; dropping it stops it.
pub struct Nginx {
    /// Without TLS.
    pub http: SocketAddr,
    pub https: SocketAddr,
    /// Where everything that asks without TLS is sent to `https`.
    pub redirect: SocketAddr,
    directory: TempDir,
    child: Child,
    _ports: [Port; 3],
}

impl Nginx {
    /// Starts it before these instances, as it is shipped.
    pub async fn start(instances: &[SocketAddr]) -> Self {
        Self::start_with(instances, &[]).await
    }

    /// Starts it with changes.
    ///
    /// # Panics
    /// If it doesn't listen within the deadline, or a text to change isn't there.
    pub async fn start_with(instances: &[SocketAddr], changes: &[Change<'_>]) -> Self {
        let directory = TempDir::new().unwrap();
        let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
        let [http, https, redirect] = ports.each_ref().map(|port| port.address);
        configure(directory.path(), [http, https, redirect], changes);
        write_instances(directory.path(), instances);
        certify(directory.path()).await;
        let child = command(directory.path())
            .args(["-g", "daemon off;"])
            .spawn()
            .expect("nginx");
        let mut nginx = Self {
            http,
            https,
            redirect,
            directory,
            child,
            _ports: ports,
        };
        within("nginx", async {
            while TcpStream::connect(http).await.is_err() {
                assert_eq!(nginx.child.try_wait().unwrap(), None, "{}", nginx.log());
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        nginx
    }

    /// Has it read its configuration again, for other instances. Workers with the old one go on for a moment.
    pub fn reload(&self, instances: &[SocketAddr]) {
        write_instances(self.directory.path(), instances);
        rustix::process::kill_process(self.pid(), Signal::HUP).unwrap();
    }

    /// Stops it and returns all that it wrote to its logs.
    pub async fn stop(mut self) -> String {
        rustix::process::kill_process(self.pid(), Signal::TERM).unwrap();
        within("nginx's end", self.child.wait()).await.unwrap();
        self.log()
    }

    /// All logs so far.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.directory.path().join(name));
        ["stderr.log", "error.log", "access.log"]
            .map(|name| read(name).unwrap_or_default())
            .concat()
    }

    /// The certificate of who signed the server's.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("tls/ca.pem")
    }

    pub async fn get(&self, target: &str) -> Response {
        request(self.http, Method::GET, target, &[], "").await
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().expect("a running process");
        Pid::from_raw(id.try_into().unwrap()).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        if self.child.id().is_some() {
            rustix::process::kill_process(self.pid(), Signal::TERM).unwrap();
        }
    }
}

/// A port of ours: bound, but not listened on, by a socket that shares it with nginx's. Whoever connects is refused.
pub struct Port {
    pub address: SocketAddr,
    socket: TcpSocket,
}

impl Port {
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self {
            address: socket.local_addr().unwrap(),
            socket,
        }
    }

    /// Listens after all.
    pub fn listen(self) -> TcpListener {
        self.socket.listen(16).unwrap()
    }
}

/// Copies `nginx/` and changes what can't be the same for two of them.
fn configure(directory: &Path, [http, https, redirect]: [SocketAddr; 3], changes: &[Change<'_>]) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nginx");
    fs::create_dir(directory.join("site")).unwrap();
    for place in ["", "site"] {
        for entry in fs::read_dir(shipped.join(place)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let to = directory.join(place).join(entry.file_name());
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let user = match rustix::process::geteuid().is_root() {
        true => "user root;",
        false => "",
    };
    let path = directory.display();
    let logs = format!("{path}/");
    let pid = format!("pid {path}/nginx.pid;");
    // Directories for bodies and answers that are too large for memory; the built-in ones are the machine's.
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
        .concat();
    let access_log = format!("{temporary}access_log ");
    let listen = format!("listen {https} ssl http2 reuseport;\nlisten {http} reuseport;");
    let tls = format!("{path}/tls");
    let to_https = format!("listen {redirect} reuseport;");
    let own: [Change<'_>; 11] = [
        ("site/process.conf", "user www-data;", user),
        ("site/process.conf", "pid /run/nginx.pid;", &pid),
        ("site/process.conf", "/var/log/nginx/", &logs),
        (
            "site/process.conf",
            "worker_processes auto;",
            "worker_processes 2;",
        ),
        ("site/process.conf", "worker_rlimit_nofile 65536;", ""),
        (
            "site/process.conf",
            "worker_connections 32768;",
            "worker_connections 1024;",
        ),
        ("site/http.conf", "access_log ", &access_log),
        ("site/http.conf", "/var/log/nginx/", &logs),
        (
            "site/http.conf",
            "listen 80;\n    listen [::]:80;",
            &to_https,
        ),
        (
            "site/server.conf",
            "listen 443 ssl http2 backlog=4096;\nlisten [::]:443 ssl http2 backlog=4096;",
            &listen,
        ),
        ("site/server.conf", "/etc/nginx/certificates", &tls),
    ];
    for (file, text, other) in own.iter().chain(changes) {
        let file = directory.join(file);
        let content = fs::read_to_string(&file).unwrap();
        assert!(content.contains(text), "{} without {text}", file.display());
        fs::write(&file, content.replace(text, other)).unwrap();
    }
}

fn write_instances(directory: &Path, instances: &[SocketAddr]) {
    let file = directory.join("site/instances.conf");
    let line = |instance| format!("server {instance} max_fails=2 fail_timeout=5s;\n");
    let lines: String = instances.iter().map(line).collect();
    fs::write(file, lines).unwrap();
}

async fn certify(directory: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/credentials");
    let made = Command::new(script)
        .arg(directory.join("tls"))
        .status()
        .await
        .expect("scripts/credentials");
    assert!(made.success(), "no certificate");
}

fn command(directory: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("nginx");
    command
        // Where Debian has it, which isn't in everybody's path.
        .env("PATH", format!("{path}:/usr/sbin"))
        .arg("-p")
        .arg(directory)
        .arg("-c")
        .arg(directory.join("nginx.conf"))
        .args(["-e", "stderr"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(directory.join("stderr.log")).unwrap());
    command
}
