//! Images are decoded in a process of their own, which is this program with another argument. A decoder that loops, takes all
//! memory or is taken over takes nothing else with it: it ends by its limits, it has no file, connection or secret, and chat goes
//! before it, since it has the lower priority. A thread could be bounded in none of these.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitCode, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use images::{
    Refusal,
    exchange::{self, Done, OUTPUT_MAX, Task},
};
use rustix::process::{Resource, Rlimit, Signal, nice, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::Semaphore,
    time::timeout,
};

/// The argument that makes this program decode images.
const ARGUMENT: &str = "decode-image";

/// The signals by which programs are ended from outside.
const ENDED: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// This program, even if another has taken its place on the disk since.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Seconds of a core.
const CPU_SECONDS: u64 = 15;

/// Bytes of address space: an image of 50 megapixels and what is made of it.
const MEMORY: u64 = 1 << 30;

/// How long it may take in all; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much lower its priority is.
const NICENESS: i32 = 10;

/// How a program ends that has panicked.
const PANICKED: i32 = 101;

/// Why an image has no result.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It reached one of its limits.
    #[error("decoding took too long, or too much memory")]
    Limit,
    /// It couldn't be started, or what it wrote couldn't be read.
    #[error("the process that decodes images: {0}")]
    Io(#[from] io::Error),
}

/// Starts processes that decode images, a few at once.
pub struct ImageProcess {
    program: PathBuf,
    places: Semaphore,
    in_progress: AtomicU64,
}

impl ImageProcess {
    /// `program` in place of this one, `at_once` at once.
    pub fn new(program: Option<PathBuf>, at_once: usize) -> Self {
        Self {
            program: program.unwrap_or_else(|| OWN_PROGRAM.into()),
            places: Semaphore::new(at_once),
            in_progress: AtomicU64::new(0),
        }
    }

    /// Images that wait, or are being decoded.
    pub fn in_progress(&self) -> u64 {
        self.in_progress.load(Relaxed)
    }

    /// Does something with the file of an image.
    pub async fn run(
        &self,
        task: Task,
        file: Bytes,
    ) -> Result<Result<Done, Refusal>, ProcessError> {
        self.in_progress.fetch_add(1, Relaxed);
        let _counted = Counted(&self.in_progress);
        let closed = |_| io::Error::other("it isn't used any more");
        let _place = self.places.acquire().await.map_err(closed)?;
        let mut child = Command::new(&self.program)
            .arg(ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        match timeout(PATIENCE, exchanged(&mut child, task, file)).await {
            Ok(answer) => answer,
            // Others had the machine; another try may have more of it.
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}

struct Counted<'a>(&'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

async fn exchanged(
    child: &mut Child,
    task: Task,
    file: Bytes,
) -> Result<Result<Done, Refusal>, ProcessError> {
    let unconnected = || io::Error::other("it has no pipes");
    let mut input = child.stdin.take().ok_or_else(unconnected)?;
    let output = child.stdout.take().ok_or_else(unconnected)?;
    let request = exchange::request(task)?;
    let write = async move {
        input.write_all(&request).await?;
        input.write_all(&file).await
    };
    let read = async move {
        let mut answer = Vec::new();
        let mut output = output.take(OUTPUT_MAX as u64 + 1);
        output.read_to_end(&mut answer).await.map(|_| answer)
    };
    let (written, answer) = tokio::join!(write, read);
    let status = child.wait().await?;
    match status.code() {
        Some(0) => {}
        // As this server is, with which a supervisor or a terminal ends its children: another run may have the time.
        None if ENDED
            .map(|signal| Some(signal.as_raw()))
            .contains(&status.signal()) =>
        {
            return Err(io::Error::other("it was ended").into());
        }
        // By a signal: of its limits, or because it couldn't have more memory.
        None => return Err(ProcessError::Limit),
        Some(PANICKED) => return Ok(Err(Refusal::Malformed)),
        Some(_) => return Err(io::Error::other("it has failed").into()),
    }
    written?;
    Ok(exchange::read_answer(&answer?)?)
}

/// Decodes an image if this process was started for that, and says how it ended. Every program with this library whose jobs include
/// images calls it first of all.
pub fn serve_if_asked() -> Option<ExitCode> {
    let is_asked = std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == ARGUMENT);
    is_asked.then(|| match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// Decodes the image that is written to this process, which has no other use.
fn serve() -> io::Result<()> {
    let limit = |resource, most| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)
    };
    limit(Resource::As, MEMORY)?;
    limit(Resource::Cpu, CPU_SECONDS)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    // The three that there are.
    limit(Resource::Nofile, 3)?;
    nice(NICENESS)?;
    exchange::answer(io::stdin().lock(), io::stdout().lock())
}
