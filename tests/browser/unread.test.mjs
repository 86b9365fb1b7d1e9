// The word on how much is unread goes when its reader has seen the end, or answered.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, open, signIn, write } from "./browser.mjs";
import { api, fill, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

let server, browser, ana, bruno;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana");
  bruno = await register(server, "bruno", "Bruno");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Runs in the page: nobody looks at it before `globalThis.isSeen` is set. */
function lookAway() {
  document.hasFocus = () => globalThis.isSeen === true;
}

async function comeBack(last) {
  const room = await makeRoom(server, ana, "kitchen");
  await api(server, ana.accessToken, "PUT", `rooms/${room.id}/members/${bruno.user.id}`, {});
  await fill(server, bruno, room.id, 300, (n) => (n === 300 ? last : `Message number ${n}`));
  const page = await open(browser, server, { path: `/rooms/${room.id}`, init: lookAway });
  await signIn(page, "ana");
  await message(page, last).waitFor();
  const unread = page.getByRole("button", { name: "300 unread messages" });
  await unread.waitFor();
  return { page, unread };
}

test("who answers has seen the end", async () => {
  const { page, unread } = await comeBack("the last of the first");
  await write(page, "an answer");
  await message(page, "an answer").waitFor();
  assert.equal(await unread.count(), 0);
  page.mustBeClean();
  await page.leave();
});

test("who stands at the end for a while has seen it", async () => {
  const { page, unread } = await comeBack("the last of the second");
  await page.evaluate(() => {
    globalThis.isSeen = true;
    dispatchEvent(new Event("focus"));
  });
  await unread.waitFor({ state: "detached" });
  page.mustBeClean();
  await page.leave();
});

test("it still leads to where the unread ones begin", async () => {
  const { page, unread } = await comeBack("the last of the third");
  await unread.click();
  await page.getByText("New", { exact: true }).waitFor();
  assert.equal(await unread.count(), 0);
  page.mustBeClean();
  await page.leave();
});
