// The real server, as a process of its own that can be killed.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../..", import.meta.url));
const START_MS = 20_000;

export class RealServer {
  readonly url: string;
  readonly #binary: string;
  readonly #directory: string;
  readonly #ports: [number, number];
  #process: ChildProcess | undefined;

  private constructor(binary: string, directory: string, ports: [number, number]) {
    this.#binary = binary;
    this.#directory = directory;
    this.#ports = ports;
    this.url = `http://127.0.0.1:${ports[0]}`;
  }

  /** Starts a server with nothing in it. `TERTULIA_BINARY` names the program; else it is what cargo built last. */
  static async start(): Promise<RealServer> {
    const binary = process.env["TERTULIA_BINARY"] ?? (await builtLast());
    const directory = await mkdtemp(join(tmpdir(), "tertulia-sdk-"));
    const server = new RealServer(binary, directory, [await freePort(), await freePort()]);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const [port, operations] = this.#ports;
    const env = {
      PATH: process.env["PATH"],
      HOST: "127.0.0.1",
      PORT: String(port),
      METRICS_PORT: String(operations),
      DATA_DIR: this.#directory,
      DRAIN_SECONDS: "2",
      LOG_LEVEL: "warn",
    };
    const started = spawn(this.#binary, [], { env, cwd: this.#directory, stdio: ["ignore", "ignore", "inherit"] });
    this.#process = started;
    const deadline = Date.now() + START_MS;
    while (!(await fetch(`${this.url}/health/ready`).catch(() => undefined))?.ok) {
      if (Date.now() > deadline || started.exitCode !== null) throw new Error(`${this.#binary} doesn't start`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Ends the process, at once with SIGKILL, in order with SIGTERM. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const process = this.#process;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    const ended = new Promise((resolve) => process.once("exit", resolve));
    process.kill(signal);
    await ended;
  }

  async remove(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.#directory, { recursive: true });
  }
}

async function builtLast(): Promise<string> {
  const paths = ["debug/server-under-test", "debug/tertulia", "release/tertulia"].map((path) => join(REPOSITORY, "target", path));
  const built = await Promise.all(
    paths.map(async (path) => ({ path, at: (await stat(path).catch(() => null))?.mtimeMs ?? 0 })),
  );
  const last = built.sort((a, b) => b.at - a.at)[0];
  if (!last?.at) throw new Error("there is no server to test against; run `cargo test --workspace --test all --no-run` first");
  return last.path;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
