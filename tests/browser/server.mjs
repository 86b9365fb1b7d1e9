// A server of its own for a test: the built binary on a free port, with a directory that goes with it.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../", import.meta.url));
const START_MS = 60_000;

const PROGRAMS = ["target/debug/server-under-test", "target/debug/tertulia", "target/release/tertulia"];

/** The program that `TERTULIA` names, or the one that was built last. */
function program() {
  if (process.env.TERTULIA) return process.env.TERTULIA;
  const built = PROGRAMS.map((path) => join(root, path)).filter(existsSync);
  if (built.length === 0) throw new Error("no server: cargo test --workspace --test all --no-run");
  const builtAt = (path) => statSync(path).mtimeMs;
  return built.sort((a, b) => builtAt(b) - builtAt(a))[0];
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** What a server has of the environment: none of its settings, nor of its services. */
const INHERITED = ["HOME", "PATH", "RUST_BACKTRACE", "TMPDIR"];

export class Server {
  #process;
  #log = "";

  /** With other settings in `env`. */
  static async start(env = {}) {
    const server = new Server();
    server.env = env;
    server.directory = await mkdtemp(join(tmpdir(), "tertulia-browser-"));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    await server.run();
    return server;
  }

  /** Starts, or starts again with what there is, and resolves once it is ready. */
  async run() {
    const child = spawn(program(), ["serve"], { env: this.#environment(), stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (this.#log = (this.#log + text).slice(-20_000)));
    const until = Date.now() + START_MS;
    while (Date.now() < until) {
      if (child.exitCode !== null) throw new Error(`the server ended:\n${this.#log}`);
      const ready = await fetch(`${this.url}/health/ready`).catch(() => null);
      if (ready?.ok) return;
      await pause(50);
    }
    throw new Error(`the server isn't ready:\n${this.#log}`);
  }

  /** Makes somebody an administrator, as whoever runs it would: from the command line, while it is stopped. */
  async grant(username) {
    await this.drain();
    await promisify(execFile)(program(), ["admin", "grant", username], { env: this.#environment() });
    await this.run();
  }

  #environment() {
    return {
      ...Object.fromEntries(INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))),
      HOST: "127.0.0.1",
      PORT: String(this.port),
      METRICS_PORT: "0",
      // Everybody here has one address, and tests are faster than people.
      ...Object.fromEntries(
        ["STRANGERS", "REGISTRATIONS", "GUESTS", "REFRESHES", "CONNECTS", "PEOPLE", "READS", "MESSAGES", "EVENTS", "SEARCHES", "ADDITIONS"].map((tier) => [`RATE_LIMIT_${tier}`, "100000/1m"]),
      ),
      DATA_DIR: this.directory,
      DRAIN_SECONDS: "1",
      LOG_LEVEL: "warn",
      ...this.env,
    };
  }

  /** Ends it as a power cut would. */
  kill = () => this.#end("SIGKILL");

  /** Lets it say goodbye first. */
  drain = () => this.#end("SIGTERM");

  /** Lets nothing in or out until `resume`, as a machine that has too much to do. */
  pause = () => this.#process.kill("SIGSTOP");

  resume = () => this.#process.kill("SIGCONT");

  async stop() {
    await this.drain();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #end(signal) {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    this.resume();
    child.kill(signal);
    await ended;
  }
}
