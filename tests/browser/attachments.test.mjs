// Pictures and files in messages: sent in every way, on their way, broken, and looked at.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, mustBeAccessible, open, signIn, write } from "./browser.mjs";
import { makeRoom, register } from "./people.mjs";
import { choose, give, picture, textFile } from "./pictures.mjs";
import { Server } from "./server.mjs";

let server, browser, kitchen, anas, brunos;
const UPLOADS = "**/media/uploads/**";

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  const ana = await register(server, "ana", "Ana Lafuente");
  await register(server, "bruno", "Bruno Díaz");
  kitchen = await makeRoom(server, ana, "kitchen");
  const path = `/rooms/${kitchen.id}`;
  [anas, brunos] = await Promise.all([open(browser, server, { path, refused: [413] }), open(browser, server, { path })]);
  await Promise.all([signIn(anas, "ana"), signIn(brunos, "bruno")]);
  await brunos.getByRole("button", { name: "Join" }).click();
  await brunos.getByRole("textbox", { name: /^Message / }).waitFor();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const uploads = (page, state) => page.locator(state ? `[data-upload="${state}"]` : "[data-upload]");
const shown = (page, body) => message(page, body).locator('button[data-attachment="ready"]');
const loaded = (locator) => locator.locator("img").evaluate((img) => img.decode().then(() => img.naturalWidth > 0));

test("a picture and a file go with a message, and the other sees them", async () => {
  await choose(anas, await picture(browser, { name: "oven.png", width: 1200, height: 800 }), textFile("shopping list.txt"));
  await uploads(anas, "ready").nth(1).waitFor();
  await write(anas, "The new oven");
  await uploads(anas).first().waitFor({ state: "detached" });
  const image = shown(brunos, "The new oven");
  await image.waitFor();
  assert.ok(await loaded(image));
  await message(brunos, "The new oven").getByText("shopping list.txt").waitFor();
  await message(brunos, "The new oven").getByText("19 bytes").waitFor();
  await shown(anas, "The new oven").waitFor();
  const [download] = await Promise.all([
    brunos.waitForEvent("download"),
    message(brunos, "The new oven").getByRole("link", { name: /shopping list/ }).click(),
  ]);
  assert.equal(download.suggestedFilename(), "shopping list.txt");
});

test("a picture alone is a message; it is pasted, and dragged", async () => {
  await give(anas, "paste", await picture(browser, { name: "pasted.png" }));
  await give(anas, "drop", await picture(browser, { name: "dropped.jpg", type: "image/jpeg" }));
  await uploads(anas, "ready").nth(1).waitFor();
  await anas.getByRole("button", { name: "Send" }).click();
  await brunos.getByRole("button", { name: "Open the picture pasted.png" }).waitFor();
  await brunos.getByRole("button", { name: "Open the picture dropped.jpg" }).waitFor();
});

test("an upload shows how far it is, and is cancelled", async () => {
  let held;
  await anas.route(UPLOADS, (route) => (held = route));
  await choose(anas, await picture(browser, { name: "never.png" }));
  await anas.getByRole("progressbar", { name: "Uploading never.png" }).waitFor();
  await anas.getByRole("button", { name: "Cancel the upload of never.png" }).click();
  await uploads(anas).waitFor({ state: "detached" });
  await anas.unroute(UPLOADS);
  await held?.abort().catch(() => {});
});

test("a message that was sent before its picture was there goes with it, from another room too", async () => {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  await anas.route(UPLOADS, async (route) => {
    await released;
    await route.continue();
  });
  await choose(anas, await picture(browser, { name: "slow.png" }));
  await uploads(anas, "uploading").waitFor();
  await write(anas, "Look at this one");
  await anas.getByText("Goes as soon as its files are uploaded.").waitFor();
  assert.equal(await anas.getByRole("textbox", { name: /^Message / }).inputValue(), "");
  await write(anas, "and meanwhile");
  await message(brunos, "and meanwhile").waitFor();
  await anas.getByRole("link", { name: "Tertulia" }).or(anas.getByRole("navigation")).first().waitFor();
  release();
  await shown(brunos, "Look at this one").waitFor();
  await anas.unroute(UPLOADS);
});

test("an upload that is refused says why, and goes when it is tried again", async () => {
  await anas.route(UPLOADS, (route) => route.fulfill({ status: 413 }));
  await choose(anas, textFile("large.txt"));
  await anas.getByText("This file is larger than the server takes.").waitFor();
  await anas.unroute(UPLOADS);
  await anas.getByRole("button", { name: "Upload large.txt again" }).click();
  await uploads(anas, "ready").waitFor();
  await anas.getByRole("button", { name: "Remove large.txt" }).click();
  await uploads(anas).waitFor({ state: "detached" });
});

test("what isn't a picture says so before it is sent, and goes as a file", async () => {
  await choose(anas, { name: "broken.png", mimeType: "image/png", buffer: Buffer.from("not a picture at all") });
  await uploads(anas, "failed").getByText("This isn’t a JPEG, PNG, GIF or WebP picture.").waitFor();
  await uploads(anas, "failed").getByRole("button", { name: "Send as a file" }).click();
  await uploads(anas, "ready").waitFor();
  await write(anas, "My holiday");
  await message(brunos, "My holiday").getByRole("link", { name: /broken\.png/ }).waitFor();
});

test("a picture that turns out to be broken after it was sent says so to everybody, and its sender sends it as a file", async () => {
  const whole = await picture(browser, { name: "cut.png", width: 6000, height: 4000 });
  await choose(anas, { ...whole, buffer: whole.buffer.subarray(0, whole.buffer.length - 2_000) });
  await write(anas, "Cut off");
  for (const page of [anas, brunos]) await message(page, "Cut off").getByText("This picture is damaged or incomplete.").waitFor();
  assert.equal(await message(brunos, "Cut off").getByRole("button", { name: "Send as a file" }).count(), 0);
  await message(anas, "Cut off").getByRole("button", { name: "Send as a file" }).click();
  await uploads(anas, "ready").waitFor();
  await write(anas, "then so");
  await message(brunos, "then so").getByRole("link", { name: /cut\.png/ }).waitFor();
});

test("nothing moves when a picture comes", async () => {
  await choose(anas, await picture(browser, { name: "wide.png", width: 1600, height: 700 }));
  await uploads(anas, "ready").waitFor();
  await write(anas, "A wide one");
  await shown(anas, "A wide one").waitFor();
  await write(anas, "below it");
  let release;
  const released = new Promise((resolve) => (release = resolve));
  const page = await open(browser, server, { path: `/rooms/${kitchen.id}` });
  await page.route("**/media/**", async (route) => {
    await released;
    await route.continue().catch(() => {});
  });
  await signIn(page, "bruno");
  const image = shown(page, "A wide one");
  await image.waitFor();
  await image.locator("canvas").waitFor();
  const places = async () => [await image.boundingBox(), await message(page, "below it").boundingBox()];
  const before = await places();
  release();
  assert.ok(await loaded(image));
  await image.locator("canvas").waitFor({ state: "detached" });
  assert.deepEqual(await places(), before);
  page.mustBeClean();
  await page.leave();
});

test("pictures are looked at from the keyboard", async () => {
  const first = brunos.getByRole("button", { name: "Open the picture oven.png" });
  await first.focus();
  await brunos.keyboard.press("Enter");
  const dialog = brunos.getByRole("dialog", { name: "oven.png" });
  await dialog.getByRole("img", { name: "oven.png" }).waitFor();
  await dialog.getByText(/1 of \d/).waitFor();
  await brunos.keyboard.press("ArrowRight");
  await brunos.getByRole("dialog", { name: "pasted.png" }).getByText(/2 of \d/).waitFor();
  await brunos.keyboard.press("ArrowRight");
  await brunos.getByRole("dialog", { name: "dropped.jpg" }).waitFor();
  await brunos.keyboard.press("Home");
  await dialog.waitFor();
  await brunos.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await brunos.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Open the picture oven.png");
});

for (const colorScheme of ["light", "dark"]) {
  for (const [device, viewport] of [
    ["desktop", { width: 1280, height: 800 }],
    ["phone", { width: 390, height: 780 }],
  ]) {
    test(`axe finds no serious fault: ${colorScheme}, ${device}`, async () => {
      const page = await open(browser, server, { colorScheme, viewport, path: `/rooms/${kitchen.id}` });
      await signIn(page, "bruno");
      await shown(page, "A wide one").waitFor();
      await choose(page, await picture(browser, { name: "mine.png" }), textFile("notes.txt"));
      await uploads(page, "ready").nth(1).waitFor();
      await mustBeAccessible(page, "a room with pictures");
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${width} pixels wide`);
      await shown(page, "A wide one").click();
      await page.getByRole("dialog").getByRole("img").waitFor();
      await mustBeAccessible(page, "a picture");
      page.mustBeClean();
      await page.leave();
    });
  }
}

test("nothing was written to either console", () => {
  anas.mustBeClean();
  brunos.mustBeClean();
});
