// Both storages keep the same promises; the one of browsers survives what becomes of databases.

import "fake-indexeddb/auto";

import { IDBFactory } from "fake-indexeddb";
import { beforeEach, describe, expect, test, vi } from "vitest";

import { indexedDbStorage, memoryStorage } from "../../src/index.js";

beforeEach(() => {
  vi.stubGlobal("indexedDB", new IDBFactory());
});

describe.each([
  ["memory", memoryStorage],
  ["IndexedDB", indexedDbStorage],
])("%s", (_, create) => {
  test("gives entries by prefix, in the order of their keys", async () => {
    const storage = create();
    for (const key of ["b/2", "a", "b/1", "c", "b/10"]) await storage.set(key, { key });
    await storage.set("b/1", { changed: true });
    await storage.delete("b/2");
    await storage.delete("absent");
    expect(await storage.entries("b/")).toEqual([
      ["b/1", { changed: true }],
      ["b/10", { key: "b/10" }],
    ]);
    expect(await storage.entries("none")).toEqual([]);
  });

  test("keeps a copy", async () => {
    const storage = create();
    const value = { list: [1] };
    await storage.set("k", value);
    value.list.push(2);
    const [[, first]] = (await storage.entries("k")) as [[string, { list: number[] }]];
    first.list.push(3);
    expect(await storage.entries("k")).toEqual([["k", { list: [1] }]]);
  });
});

test("another window sees the same", async () => {
  await indexedDbStorage().set("k", 1);
  expect(await indexedDbStorage().entries("k")).toEqual([["k", 1]]);
  expect(await indexedDbStorage("other").entries("k")).toEqual([]);
});

test("a database that is deleted meanwhile is opened anew", async () => {
  const storage = indexedDbStorage();
  await storage.set("k", 1);
  await new Promise((resolve, reject) => {
    const deletion = indexedDB.deleteDatabase("tertulia");
    deletion.onsuccess = resolve;
    deletion.onerror = reject;
  });
  expect(await storage.entries("k")).toEqual([]);
  await storage.set("k", 2);
  expect(await storage.entries("k")).toEqual([["k", 2]]);
});

test("a database that can't be opened now may be later", async () => {
  const real = indexedDB;
  vi.stubGlobal("indexedDB", {
    open() {
      throw new DOMException("denied", "SecurityError");
    },
  });
  const storage = indexedDbStorage();
  await expect(storage.set("k", 1)).rejects.toMatchObject({ name: "SecurityError" });
  vi.stubGlobal("indexedDB", real);
  await storage.set("k", 1);
  expect(await storage.entries("k")).toEqual([["k", 1]]);
});
