// Files on their way to the server, with each step broken.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { memoryStorage, TertuliaError, type PutBytes, type Tertulia } from "../../src/index.js";
import { putBytes as putBytesBy } from "../../src/uploads.js";
import { json, ModelServer, problem } from "./model-server.js";

const PUT_URL = "/media/uploads/u1?e=1&s=x";

let server: ModelServer;
let client: Tertulia;
/** What becomes of each transfer; done unless it is named. */
let transfers: (TertuliaError | "hang")[];
let puts: Parameters<PutBytes>[0][];
const file = new File(["0123456789"], "list.txt", { type: "text/plain;charset=utf-8" });

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const count = (request: string) => server.requests.filter((one) => one === request).length;
const created = () => json(201, { uploadId: "u1", method: "PUT", url: PUT_URL, headers: { "Content-Type": "text/plain" } });
const upload = (status: string, reason?: string) =>
  json(202, { upload: { id: "u1", kind: "file", fileName: "list.txt", size: 10, status, ...(reason && { reason }) } });

const putBytes: PutBytes = (request, { progress, signal }) => {
  puts.push(request);
  const outcome = transfers.shift();
  progress(5);
  if (outcome === "hang") return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  if (outcome) return Promise.reject(outcome);
  progress(10);
  return Promise.resolve();
};

beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new ModelServer();
  transfers = [];
  puts = [];
  client = server.client({ putBytes });
  await client.login({ username: "ana", password: "" });
  server.http.set("POST uploads", created);
  server.http.set("POST uploads/u1/complete", () => upload("ready"));
});

afterEach(() => {
  client.disconnect();
  vi.useRealTimers();
});

describe("sending", () => {
  test("a file is begun, sent to the address that was given, and completed", async () => {
    let begun: unknown;
    server.http.set("POST uploads", (request) => {
      begun = JSON.parse(String(request.body));
      return created();
    });
    const sent: number[] = [];
    const done = await client.uploads.send(file, { progress: (bytes) => sent.push(bytes) });
    expect(done).toMatchObject({ id: "u1", status: "ready" });
    expect(begun).toEqual({ fileName: "list.txt", contentType: "text/plain", size: 10 });
    expect(puts).toEqual([
      { url: `http://model${PUT_URL}`, method: "PUT", headers: { "Content-Type": "text/plain" }, body: file },
    ]);
    expect(sent).toEqual([0, 5, 10]);
  });

  test("of a type that says nothing it is bytes", async () => {
    let begun: { contentType?: string } = {};
    server.http.set("POST uploads", (request) => {
      begun = JSON.parse(String(request.body));
      return created();
    });
    await client.uploads.send(new Blob(["x"]));
    expect(begun).toEqual({ fileName: "file", contentType: "application/octet-stream", size: 1 });
  });

  test("a transfer that breaks is tried again a bounded number of times", async () => {
    const broken = () => new TertuliaError({ code: "network", message: "", retryable: true });
    transfers = [broken(), broken()];
    const sending = client.uploads.send(file);
    await later(10_000);
    expect((await sending).status).toBe("ready");
    expect(puts).toHaveLength(3);

    transfers = Array.from({ length: 20 }, broken);
    const failing = expect(client.uploads.send(file)).rejects.toMatchObject({ code: "network" });
    await later(120_000);
    await failing;
    expect(puts).toHaveLength(3 + 5);
    expect(count("POST uploads")).toBe(2);
  });

  test("an address that has ended is asked for anew, once", async () => {
    const ended = () => new TertuliaError({ code: "forbidden", message: "" });
    transfers = [ended()];
    expect((await client.uploads.send(file)).status).toBe("ready");
    expect(count("POST uploads")).toBe(2);
    transfers = [ended(), ended(), ended()];
    await expect(client.uploads.send(file)).rejects.toMatchObject({ code: "forbidden" });
    expect(count("POST uploads")).toBe(4);
  });

  test("what is refused for good is told at once", async () => {
    server.http.set("POST uploads", () => problem("too_large", 413));
    await expect(client.uploads.send(file)).rejects.toMatchObject({ code: "too_large" });
    expect(count("POST uploads")).toBe(1);
    expect(puts).toHaveLength(0);
  });

  test("a wait of hours is for people to decide on", async () => {
    server.http.set("POST uploads", () => problem("rate_limited", 429, "rate_limited", 3_600_000));
    await expect(client.uploads.send(file)).rejects.toMatchObject({ code: "rate_limited" });
    expect(count("POST uploads")).toBe(1);
  });

  test("one that is aborted sends nothing more, in a transfer and in a pause", async () => {
    transfers = ["hang"];
    const abort = new AbortController();
    const sending = expect(client.uploads.send(file, { signal: abort.signal })).rejects.toBe("enough");
    await later(10);
    abort.abort("enough");
    await sending;
    expect(count("POST uploads/u1/complete")).toBe(0);

    transfers = [new TertuliaError({ code: "network", message: "", retryable: true })];
    const other = new AbortController();
    const waiting = expect(client.uploads.send(file, { signal: other.signal })).rejects.toBe("enough");
    await later(10);
    other.abort("enough");
    await waiting;
    await later(60_000);
    expect(puts).toHaveLength(2);
  });
});

describe("without progress", () => {
  const body = new Blob([new Uint8Array(16_000 * 10)]);
  const request = { url: "http://model/put", method: "PUT", headers: {}, body };
  const hangs = (_: unknown, init?: RequestInit) =>
    new Promise<Response>((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));

  test("a transfer that never ends is one that failed, after a time by its size", async () => {
    let error: unknown;
    void putBytesBy(hangs)(request, { progress: () => {}, signal: undefined }).catch((reason) => (error = reason));
    await later(39_000);
    expect(error).toBeUndefined();
    await later(2_000);
    expect(error).toMatchObject({ code: "timeout", retryable: true });
  });

  test("it is aborted by its reason", async () => {
    const abort = new AbortController();
    const aborted = expect(putBytesBy(hangs)(request, { progress: () => {}, signal: abort.signal })).rejects.toBe("enough");
    abort.abort("enough");
    await aborted;
  });

  test("when to try again is said in seconds or as a date", async () => {
    const refuses = (after: string) => () => Promise.resolve(new Response(null, { status: 503, headers: { "Retry-After": after } }));
    for (const [after, ms] of [
      ["7", 7_000],
      [new Date(Date.now() + 9_000).toUTCString(), 9_000],
      [new Date(Date.now() - 9_000).toUTCString(), 0],
      ["soon", undefined],
    ] as const) {
      const error = await putBytesBy(refuses(after))(request, { progress: () => {}, signal: undefined }).catch((error) => error);
      expect(error).toMatchObject({ code: "unavailable", retryable: true });
      if (ms === undefined) expect(error.retryAfterMs).toBeUndefined();
      else expect(Math.abs(error.retryAfterMs - ms)).toBeLessThan(1_001);
    }
  });
});

test("what becomes of an image is asked for until it is known", async () => {
  const answers = ["processing", "processing", "failed"];
  server.http.set("GET uploads/u1", () => {
    const status = answers.shift() ?? "failed";
    return upload(status, status === "failed" ? "malformed" : undefined);
  });
  const settled = client.uploads.settled("u1");
  await later(5_000);
  expect(await settled).toMatchObject({ status: "failed", reason: "malformed" });
  expect(count("GET uploads/u1")).toBe(3);
});

test("a message goes with its attachments, also after a reload, and needs no text then", async () => {
  server.room("r");
  const storage = memoryStorage();
  let writer = server.client({ storage });
  await writer.login({ username: "ana", password: "" });
  await later(50);
  const room = writer.room("r");
  expect(() => room.send({ body: "" })).toThrow(/body: expected 1/);
  const many = Array.from({ length: 11 }, (_, n) => `u${n}`);
  expect(() => room.send({ body: "", attachments: many })).toThrow(/attachments/);
  writer.disconnect();
  room.send({ body: "", attachments: ["u1", "u2"] });
  await later(50);
  writer = server.client({ storage });
  await writer.restore();
  await later(50);
  expect(server.payloadsOf("message:send")).toEqual([
    { roomId: "r", clientId: expect.any(String), body: "", attachments: ["u1", "u2"] },
  ]);
  writer.disconnect();
});
