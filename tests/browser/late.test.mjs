// Answers that come late: what was begun meanwhile is newer, and isn't touched by them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, open, PATIENCE_MS, signIn, write } from "./browser.mjs";
import { api, makeRoom, PASSWORD, register } from "./people.mjs";
import { Server } from "./server.mjs";

let server, browser, ana, kitchen, garden, page;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana");
  await register(server, "bruno", "Bruno");
  kitchen = await makeRoom(server, ana, "kitchen");
  garden = await makeRoom(server, ana, "garden");
  page = await open(browser, server, { path: `/rooms/${kitchen.id}`, init: holdBack });
  await signIn(page, "ana");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Runs in the page: events named by `globalThis.held` are sent only when `globalThis.release` is called. */
function holdBack() {
  const { send } = WebSocket.prototype;
  let waiting = [];
  globalThis.held = [];
  globalThis.change = (data) => data;
  globalThis.waiting = () => waiting.length;
  WebSocket.prototype.send = function (data) {
    const isHeld = globalThis.held.some((event) => typeof data === "string" && data.includes(`["${event}"`));
    if (isHeld) waiting.push(() => send.call(this, globalThis.change(data)));
    else send.call(this, data);
  };
  globalThis.release = () => {
    for (const go of waiting) go();
    waiting = [];
  };
}

const hold = (...events) => page.evaluate((events) => (globalThis.held = events), events);
const isHeld = (count = 1) => page.waitForFunction((count) => globalThis.waiting() === count, count);
const release = () => page.evaluate(() => globalThis.release());
const field = () => page.getByRole("textbox", { name: /^Message / });

async function edit(body, changed) {
  await message(page, body).hover();
  await message(page, body).getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Edit" }).click();
  await write(page, changed);
}

test("while an edit is on its way the next message is written and sent", async () => {
  await write(page, "first");
  await message(page, "first").waitFor();
  await hold("message:edit");
  await edit("first", "first, changed");
  await isHeld();
  await message(page, "first, changed").locator('[data-fate="editing"]').waitFor();
  await field().pressSequentially("second");
  await field().press("Enter");
  await message(page, "second").waitFor();
  await field().pressSequentially("third, unfinished");
  await release();
  await message(page, "first, changed").getByText("edited").waitFor();
  assert.equal(await page.locator('[data-fate="editing"]').count(), 0);
  assert.equal(await field().inputValue(), "third, unfinished");
  await field().press("Enter");
  await message(page, "third, unfinished").waitFor();
});

test("an edit that is overtaken by another one of the same message doesn't undo it", async () => {
  await hold("message:edit");
  await edit("second", "second, changed");
  await edit("second, changed", "second, changed again");
  await isHeld(2);
  await release();
  await message(page, "second, changed again").getByText("edited").waitFor();
  const { messages } = await api(server, ana.accessToken, "GET", `rooms/${kitchen.id}/messages`);
  assert.ok(messages.some(({ body }) => body === "second, changed again"));
});

test("an edit that fails late leaves the field alone, and can be tried again", async () => {
  await hold("message:edit");
  await page.evaluate(() => (globalThis.change = (data) => data.replace(/"seq":\d+/, '"seq":99999')));
  await edit("third, unfinished", "third, finished");
  await isHeld();
  await field().pressSequentially("fourth");
  await release();
  const row = message(page, "third, finished");
  await row.getByText("Not saved.").waitFor();
  assert.equal(await field().inputValue(), "fourth");
  await page.evaluate(() => (globalThis.change = (data) => data));
  await hold();
  await row.getByRole("button", { name: "Retry" }).click();
  await row.getByText("edited").waitFor();
  await row.getByText("Not saved.").waitFor({ state: "detached" });
  await field().press("Enter");
  await message(page, "fourth").waitFor();
});

test("an edit goes on in another room, and the draft there stays", async () => {
  await hold("message:edit");
  await edit("fourth", "fourth, changed");
  await isHeld();
  await page.getByRole("link", { name: /garden/ }).click();
  await field().pressSequentially("in the garden");
  await release();
  await page.getByRole("heading", { name: "garden", exact: true }).waitFor();
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const { messages } = await api(server, ana.accessToken, "GET", `rooms/${kitchen.id}/messages`);
    if (messages.some(({ body }) => body === "fourth, changed")) break;
    assert.ok(Date.now() < until, "the edit never comes");
  }
  assert.equal(await field().inputValue(), "in the garden");
  await page.getByRole("link", { name: /kitchen/ }).click();
  await message(page, "fourth, changed").getByText("edited").waitFor();
  await page.getByRole("link", { name: /garden/ }).click();
  await hold();
});

/** Lets requests to a route wait until the returned function is called. */
async function late(method, route) {
  let go;
  const held = new Promise((resolve) => (go = resolve));
  let asked;
  const began = new Promise((resolve) => (asked = resolve));
  await page.route(`**/api/v1/${route}`, async (request) => {
    if (request.request().method() === method) {
      asked();
      await held;
    }
    await request.continue();
  });
  return {
    began,
    end: async () => {
      const answered = page.waitForResponse((response) => response.url().includes("/api/v1/") && response.request().method() === method);
      go();
      await (await answered).finished();
      await page.unroute(`**/api/v1/${route}`);
    },
  };
}

test("a room that is made late doesn't take away who has gone elsewhere", async () => {
  const making = await late("POST", "rooms");
  await page.getByRole("button", { name: "New room" }).click();
  await page.getByLabel("Name of the room").fill("attic");
  await page.getByRole("dialog").getByRole("button", { name: "New room" }).click();
  await making.began;
  await page.keyboard.press("Escape");
  await making.end();
  await page.getByRole("link", { name: "attic" }).waitFor();
  await page.getByRole("heading", { name: "garden", exact: true }).waitFor();
  assert.match(page.url(), new RegExp(garden.id));
});

test("a direct room that opens late doesn't close another dialog", async () => {
  const making = await late("POST", "rooms");
  await page.getByRole("button", { name: "Write to somebody" }).click();
  await page.getByLabel("Find people").fill("bruno");
  await page.getByRole("button", { name: "Message: Bruno" }).click();
  await making.began;
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("dialog", { name: "Settings" }).waitFor();
  await making.end();
  await page.getByRole("link", { name: /Bruno/ }).waitFor({ state: "attached" });
  assert.equal(await page.getByRole("dialog", { name: "Settings" }).count(), 1);
  assert.match(page.url(), new RegExp(garden.id));
});

test("a password that is changed late doesn't clear what is typed meanwhile", async () => {
  const changing = await late("POST", "me/password");
  await page.getByLabel("Current password").fill(PASSWORD);
  await page.getByLabel("New password").fill("another good password");
  await page.getByRole("button", { name: "Change password" }).click();
  await changing.began;
  await page.getByLabel("Current password").fill("typed meanwhile");
  await changing.end();
  await page.getByText("All your other devices were signed out").waitFor();
  assert.equal(await page.getByLabel("Current password").inputValue(), "typed meanwhile");
  await page.keyboard.press("Escape");
});

test("a room that is renamed late doesn't close another dialog; one that is left late doesn't lead away", async () => {
  const renaming = await late("PATCH", `rooms/${garden.id}`);
  await page.getByRole("button", { name: "Room menu" }).click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await page.getByLabel("Name of the room").fill("orchard");
  await page.getByRole("button", { name: "Save" }).click();
  await renaming.began;
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Room menu" }).click();
  await page.getByRole("menuitem", { name: "Add people" }).click();
  await page.getByLabel("Find people").waitFor();
  await renaming.end();
  await page.getByRole("link", { name: /orchard/ }).waitFor({ state: "attached" });
  assert.equal(await page.getByLabel("Find people").count(), 1);
  await page.keyboard.press("Escape");

  await hold("room:leave");
  await page.getByRole("button", { name: "Room menu" }).click();
  await page.getByRole("menuitem", { name: "Leave room" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Leave room" }).click();
  await isHeld();
  await page.getByRole("link", { name: /kitchen/ }).click();
  await release();
  await page.getByRole("link", { name: /orchard/ }).waitFor({ state: "detached" });
  assert.match(page.url(), new RegExp(kitchen.id));
  page.mustBeClean();
});
