// A browser that keeps nothing for the page, in all the ways that browsers have of saying so: it works from memory.

import { after, before, test } from "node:test";
import { launch, message, open, signIn, write } from "./browser.mjs";
import { makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

let server, browser, room;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  room = await makeRoom(server, await register(server, "ana", "Ana"), "kitchen");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const ways = {
  "never opens its database": () => {
    globalThis.IDBFactory.prototype.open = () => ({});
  },
  "says that its database is blocked, and no more": () => {
    globalThis.IDBFactory.prototype.open = () => {
      const request = {};
      setTimeout(() => request.onblocked?.(new Event("blocked")));
      return request;
    };
  },
  "refuses its database": () => {
    globalThis.IDBFactory.prototype.open = () => {
      throw new DOMException("denied", "SecurityError");
    };
  },
  "throws when it is asked for anything": () => {
    for (const name of ["indexedDB", "localStorage", "sessionStorage"]) {
      Object.defineProperty(globalThis, name, {
        get() {
          throw new DOMException("denied", "SecurityError");
        },
      });
    }
  },
  "never completes a transaction": () => {
    const { transaction } = globalThis.IDBDatabase.prototype;
    globalThis.IDBDatabase.prototype.transaction = function (...args) {
      const real = transaction.apply(this, args);
      // Its events never come.
      return { objectStore: (name) => real.objectStore(name) };
    };
  },
  "has a full disk": () => {
    globalThis.IDBObjectStore.prototype.put = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
  },
};

for (const [way, init] of Object.entries(ways)) {
  test(`a browser that ${way}`, async () => {
    const page = await open(browser, server, { path: `/rooms/${room.id}`, init });
    // It is said for a while only, and may be said before or after.
    const told = page.getByText("This browser keeps nothing for this page").waitFor();
    await signIn(page, "ana");
    await told;
    await write(page, `written: ${way}`);
    await message(page, `written: ${way}`).waitFor();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Sign out" }).first().click();
    await page.getByLabel("Username").waitFor();
    page.mustBeClean();
    await page.leave();
  });
}
