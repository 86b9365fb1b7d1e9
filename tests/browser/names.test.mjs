// Names and texts that are invisible, turn the direction of writing, or pile up marks: they stay within their own bounds.
// A server refuses such names, but may have some from before; the page gets them here in place of others.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, open, signIn } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

const MARKS = "\u0301\u0323\u0310\u0317".repeat(15);

let server, browser, ana, room, page;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana");
  room = await makeRoom(server, ana, "Blank room");
  await makeRoom(server, ana, "Marked room");
  const say = async (person, body) => {
    await api(server, person.accessToken, "POST", `rooms/${room.id}/messages`, { body });
  };
  await say(ana, "the one before");
  for (const name of ["Blank", "Marked", "Turned"]) {
    const person = await register(server, name.toLowerCase(), `${name} name`);
    await api(server, ana.accessToken, "PUT", `rooms/${room.id}/members/${person.user.id}`, {});
    await say(person, `of ${name}`);
    await api(server, person.accessToken, "POST", "rooms", { kind: "direct", members: [ana.user.id] });
  }
  await say(ana, "the one between");
  await say(ana, `marks: ${`x${MARKS}`.repeat(5)}`);
  await say(ana, "שלום, abc");
  page = await open(browser, server, { path: `/rooms/${room.id}`, init: changeNames });
  await signIn(page, "ana");
  await message(page, "the one between").waitFor();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Runs in the page before its own scripts. */
function changeNames() {
  const marks = "\u0301\u0323\u0310\u0317".repeat(15);
  const change = (text) =>
    text
      .replaceAll(/Blank (name|room)/g, "\u3164")
      .replaceAll(/Marked (name|room)/g, `Z${marks}o${marks}e${marks}`)
      .replaceAll("Turned name", "\u202e\u2069eve");
  const { get } = Object.getOwnPropertyDescriptor(MessageEvent.prototype, "data");
  Object.defineProperty(MessageEvent.prototype, "data", {
    get() {
      const data = get.call(this);
      return typeof data === "string" ? change(data) : data;
    },
  });
  const { text } = Response.prototype;
  Response.prototype.json = async function () {
    return JSON.parse(change(await text.call(this)));
  };
}

const header = (body) => message(page, body).locator("header");

test("who has no visible name is called something all the same", async () => {
  await header("of Blank").getByText("Somebody").waitFor();
  await page.getByRole("heading", { level: 1, name: "A room without a name" }).waitFor();
  await page.getByRole("navigation").getByRole("link", { name: "A room without a name" }).first().waitFor();
  await page.getByRole("button", { name: "Members" }).click();
  await page.getByRole("complementary").getByRole("button", { name: "@blank" }).waitFor();
  await page.getByRole("complementary").getByRole("button", { name: "Close" }).click();
});

test("a name doesn't turn what stands around it", async () => {
  assert.equal(await header("of Turned").locator("bdi").textContent(), "eve");
  await page.getByRole("textbox", { name: /^Message / }).pressSequentially("@turn");
  await page.getByRole("option", { name: /eve.*@turned/ }).waitFor();
  await page.getByRole("textbox", { name: /^Message / }).fill("");
  const turned = await page.evaluate(() => /[\u202a-\u202e\u2066\u2067\u2069]/.test(document.body.innerText));
  assert.equal(turned, false);
});

test("a text is written in its own direction", async () => {
  const direction = (body) =>
    message(page, body)
      .locator("[dir=auto]")
      .evaluate((element) => getComputedStyle(element).direction);
  assert.equal(await direction("שלום"), "rtl");
  assert.equal(await direction("the one before"), "ltr");
});

test("marks reach over no other line", async () => {
  // As they are drawn: what is around looks the same with the marks and without.
  for (const body of ["of Marked", "marks: "]) {
    const row = message(page, body);
    const others = ["of Blank", "of Turned", "the one between", "שלום"].map((other) => message(page, other));
    const seen = async () => Promise.all(others.map(async (other) => (await other.screenshot()).toString("base64")));
    await page.mouse.move(0, 0);
    const before = await seen();
    const hide = (element, hidden) => (element.style.visibility = hidden ? "hidden" : "");
    await row.evaluate(hide, true);
    assert.deepEqual(
      (await seen()).map((picture, index) => picture === before[index]),
      others.map(() => true),
      body,
    );
    await row.evaluate(hide, false);
  }
  // Wherever names stand: their boxes are as high as a line, and clipped.
  const high = await page.locator("bdi").evaluateAll((names) =>
    names
      .filter((name) => name.getBoundingClientRect().height > 32 || getComputedStyle(name).overflowY === "visible")
      .map((name) => name.outerHTML),
  );
  assert.deepEqual(high, []);
  // And within sentences.
  await message(page, "of Marked").hover();
  await message(page, "of Marked").getByRole("button", { name: "Reply" }).click();
  await mustBeClipped(page.getByText("Replying to Z"));
  await header("of Marked").getByRole("button").click();
  await page.getByRole("menuitem", { name: "Block" }).click();
  await mustBeClipped(page.getByRole("alertdialog").getByRole("heading"));
  page.mustBeClean();
});

async function mustBeClipped(words) {
  assert.notEqual(await words.evaluate((element) => getComputedStyle(element).overflowY), "visible");
}
