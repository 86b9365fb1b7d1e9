// A storage that fails or hangs: nobody waits for it, and what it didn't take it gets once it works again.

import "fake-indexeddb/auto";

import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { indexedDbStorage, memoryStorage, type Storage } from "../../src/index.js";
import { FallbackStorage } from "../../src/fallback-storage.js";
import { ModelServer } from "./model-server.js";

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const never = () => new Promise<never>(() => {});

let kept: Storage;
/** What the storage does before it does what it is asked to. */
let before: () => Promise<void>;
let failures: unknown[];
let storage: FallbackStorage;

beforeEach(() => {
  vi.useFakeTimers();
  kept = memoryStorage();
  before = async () => {};
  failures = [];
  const broken: Storage = {
    entries: (prefix) => before().then(() => kept.entries(prefix)),
    set: (key, value) => before().then(() => kept.set(key, value)),
    delete: (key) => before().then(() => kept.delete(key)),
  };
  storage = new FallbackStorage(broken, (error) => failures.push(error));
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** What becomes of a promise within a while. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let settled: (() => T) | undefined;
  promise.then(
    (value) => (settled = () => value),
    (error: unknown) => {
      settled = () => {
        throw error;
      };
    },
  );
  await later(ms);
  if (!settled) throw new Error(`nothing within ${ms} ms`);
  return settled();
}

test.each([
  ["hangs", never],
  ["fails", () => Promise.reject(new Error("full"))],
])("what is written while it %s is read, and stored once it works", async (_, fault) => {
  await storage.set("old", 1);
  await storage.set("gone", 1);
  before = fault;
  await within(4_000, storage.set("new", 1));
  await within(10, storage.set("new", 2));
  await within(10, storage.set("old", 2));
  await within(10, storage.delete("gone"));
  // What lies in the storage can't be read now.
  expect(await within(10, storage.entries(""))).toEqual([
    ["new", 2],
    ["old", 2],
  ]);
  expect(failures).toHaveLength(1);
  before = async () => {};
  await later(31_000);
  expect(await kept.entries("")).toEqual([
    ["new", 2],
    ["old", 2],
  ]);
  before = fault;
  await within(4_000, storage.set("new", 3));
  expect(failures).toHaveLength(2);
});

test("an answer that comes late ends the waiting", async () => {
  before = () => new Promise((resolve) => setTimeout(resolve, 5_000));
  await within(3_500, storage.set("a", 1));
  await within(10, storage.set("b", 1));
  before = async () => {};
  await later(2_000);
  expect(await kept.entries("")).toEqual([
    ["a", 1],
    ["b", 1],
  ]);
});

test("what is too large for it doesn't hold up the others", async () => {
  const small = kept;
  kept = {
    ...small,
    set: (key, value) => (value === "large" ? Promise.reject(new Error("full")) : small.set(key, value)),
  };
  await within(10, storage.set("a", "large"));
  await within(10, storage.set("b", "small"));
  await later(60_000);
  expect(await small.entries("")).toEqual([["b", "small"]]);
  expect(await storage.entries("a")).toEqual([["a", "large"]]);
});

describe("a client whose IndexedDB", () => {
  const faults: [string, () => void][] = [
    ["never answers", () => vi.spyOn(indexedDB, "open").mockImplementation(() => ({}) as IDBOpenDBRequest)],
    [
      "throws",
      () =>
        vi.spyOn(indexedDB, "open").mockImplementation(() => {
          throw new DOMException("denied", "SecurityError");
        }),
    ],
    [
      "may not even be asked for",
      () =>
        Object.defineProperty(globalThis, "indexedDB", {
          configurable: true,
          get() {
            throw new DOMException("denied", "SecurityError");
          },
        }),
    ],
    ["is null", () => vi.stubGlobal("indexedDB", null)],
    [
      "never completes a transaction",
      () => {
        const { transaction } = IDBDatabase.prototype;
        vi.spyOn(IDBDatabase.prototype, "transaction").mockImplementation(function (this: IDBDatabase, names, mode) {
          if (mode !== "readonly" && mode !== "readwrite") return transaction.call(this, names, mode);
          return { objectStore: () => ({ getAll() {}, getAllKeys() {}, put() {}, delete() {} }) } as never;
        });
      },
    ],
    [
      "is full",
      () =>
        vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
          throw new DOMException("full", "QuotaExceededError");
        }),
    ],
  ];
  const real = Object.getOwnPropertyDescriptor(globalThis, "indexedDB")!;

  afterEach(() => {
    vi.restoreAllMocks();
    Object.defineProperty(globalThis, "indexedDB", real);
  });

  test.each(faults)("%s works from memory within seconds", async (_, fault) => {
    vi.stubGlobal("indexedDB", new IDBFactory());
    fault();
    const server = new ModelServer();
    server.room("r");
    const client = server.client({ storage: undefined as never });
    expect(await within(5_000, client.restore())).toBeUndefined();
    await within(5_000, client.login({ username: "ana", password: "" }));
    await later(1_000);
    expect(client.connection.status).toBe("connected");
    const sending = client.room("r").send({ body: "hello" });
    expect((await within(5_000, sending.delivered())).body).toBe("hello");
    await within(5_000, client.logout());
    expect(client.user).toBeUndefined();
  });

  test("is deleted while it is open is opened anew", async () => {
    vi.useRealTimers();
    vi.stubGlobal("indexedDB", new IDBFactory());
    const database = indexedDbStorage();
    await database.set("k", 1);
    const transaction = vi.spyOn(IDBDatabase.prototype, "transaction").mockImplementationOnce(() => {
      throw new DOMException("closing", "InvalidStateError");
    });
    await expect(database.set("k", 2)).rejects.toMatchObject({ name: "InvalidStateError" });
    await database.set("k", 3);
    expect(await database.entries("k")).toEqual([["k", 3]]);
    expect(transaction).toHaveBeenCalledTimes(3);
  });
});
