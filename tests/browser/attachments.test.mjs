// Pictures and files in messages: sent in every way, on their way, broken, and looked at.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, mustBeAccessible, open, signIn, write } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { STORED, choose, give, picture, textFile } from "./pictures.mjs";
import { Server } from "./server.mjs";

let server, browser, ana, kitchen, anas, brunos;
const UPLOADS = "**/media/uploads/**";

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana Lafuente");
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
const loaded = (locator) => locator.locator(STORED).evaluate((img) => img.decode().then(() => img.naturalWidth > 0));

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

const field = (page) => page.getByRole("textbox", { name: /^Message / });
const parcel = (page) => page.locator('[data-parcel="stuck"]');
const hasFocus = (locator) => locator.evaluate((element) => element === document.activeElement);

test("a message whose file was refused is sent again, or written anew without it", async () => {
  await anas.route(UPLOADS, (route) => route.fulfill({ status: 413 }));
  await choose(anas, textFile("heavy.txt"));
  await write(anas, "With a heavy file");
  await parcel(anas).getByText("Not sent. Its files aren’t all there.").waitFor();
  await parcel(anas).getByRole("button", { name: "Send again" }).click();
  await parcel(anas).getByText("This file is larger than the server takes.").waitFor();
  await mustBeAccessible(anas, "a message that couldn't be sent");
  await parcel(anas).getByRole("button", { name: "Edit" }).click();
  await parcel(anas).waitFor({ state: "detached" });
  assert.equal(await field(anas).inputValue(), "With a heavy file");
  assert.ok(await hasFocus(field(anas)));
  await anas.getByRole("button", { name: "Remove heavy.txt" }).click();
  await write(anas, "Without a heavy file");
  await message(brunos, "Without a heavy file").waitFor();

  await choose(anas, textFile("heavy.txt"));
  await write(anas, "With it after all");
  await parcel(anas).waitFor();
  await anas.unroute(UPLOADS);
  await parcel(anas).getByRole("button", { name: "Send again" }).click();
  await message(brunos, "With it after all").getByRole("link", { name: /heavy/ }).waitFor();
});

test("a message with more files than fit says so, and loses one", async () => {
  await anas.route(UPLOADS, (route) => route.fulfill({ status: 413 }));
  await choose(anas, textFile("eleventh.txt"));
  await write(anas, "Eleven files");
  await parcel(anas).waitFor();
  await anas.unroute(UPLOADS);
  await choose(anas, ...Array.from({ length: 10 }, (_, n) => textFile(`${n}.txt`)));
  await parcel(anas).getByRole("button", { name: "Edit" }).click();
  await anas.getByRole("button", { name: "Upload eleventh.txt again" }).click();
  await uploads(anas, "ready").nth(10).waitFor();
  await anas.getByRole("button", { name: "Send" }).click();
  await parcel(anas).getByText(/^Not sent\. The server didn’t accept that/).waitFor();
  await parcel(anas).getByRole("button", { name: "Remove 9.txt" }).click();
  await parcel(anas).getByRole("button", { name: "Send again" }).click();
  await message(brunos, "Eleven files").getByRole("link").nth(9).waitFor();
  assert.equal(await message(brunos, "Eleven files").getByRole("link").count(), 10);
});

test("a message that the server refused is written anew, with its files", async () => {
  const completed = anas.waitForRequest(/uploads\/\w+\/complete/);
  await choose(anas, textFile("twice.txt"));
  await uploads(anas, "ready").waitFor();
  const [, id] = /uploads\/(\w+)\/complete/.exec((await completed).url());
  // It goes with another message first.
  await api(server, ana.accessToken, "POST", `rooms/${kitchen.id}/messages`, { clientId: "elsewhere", body: "Elsewhere", attachments: [id] });
  await write(anas, "Refused at first");
  const refused = anas.locator("article", { hasText: "Refused at first" });
  await refused.getByRole("button", { name: "Edit" }).focus();
  await anas.keyboard.press("Enter");
  await refused.waitFor({ state: "detached" });
  assert.equal(await field(anas).inputValue(), "Refused at first");
  assert.ok(await hasFocus(field(anas)));
  await uploads(anas, "ready").waitFor();
  await write(anas, "Taken in the end");
  await message(brunos, "Taken in the end").getByRole("link", { name: /twice/ }).waitFor();
});

test("the focus stays near when a file is taken away", async () => {
  await choose(anas, textFile("first.txt"), textFile("second.txt"), textFile("third.txt"));
  await uploads(anas, "ready").nth(2).waitFor();
  const removal = (name) => anas.getByRole("button", { name: `Remove ${name}.txt` });
  await removal("second").focus();
  await anas.keyboard.press("Enter");
  await removal("second").waitFor({ state: "detached" });
  assert.ok(await hasFocus(removal("third")));
  await anas.keyboard.press("Enter");
  await removal("third").waitFor({ state: "detached" });
  assert.ok(await hasFocus(removal("first")));
  await anas.keyboard.press("Enter");
  await removal("first").waitFor({ state: "detached" });
  assert.ok(await hasFocus(field(anas)));
});

test("what is shown of a file on the disk stays, however many were uploaded since", async () => {
  const isServed = /\/media\/\w+-/;
  await anas.route(isServed, (route) => route.fulfill({ contentType: "image/webp", body: "" }));
  await choose(anas, await picture(browser, { name: "kept.png" }));
  await uploads(anas, "ready").waitFor();
  await write(anas, "Still to be seen");
  await message(anas, "Still to be seen").getByText("This picture can’t be loaded just now.").waitFor();
  for (let round = 0; round < 5; round++) {
    await choose(anas, ...Array.from({ length: 9 }, (_, n) => textFile(`${round}-${n}.txt`)));
    await uploads(anas, "ready").nth(8).waitFor();
    for (let n = 0; n < 9; n++) await anas.getByRole("button", { name: `Remove ${round}-${n}.txt` }).click();
  }
  const preview = message(anas, "Still to be seen").locator('img[src^="blob:"]');
  const isThere = await preview.evaluate(({ src }) => {
    const image = new Image();
    image.src = src;
    return image.decode().then(
      () => true,
      () => false,
    );
  });
  assert.ok(isThere);
  await anas.unroute(isServed);
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
  await brunos.keyboard.press("Enter");
  await dialog.waitFor();
  await brunos.keyboard.press("ArrowRight");
  await brunos.getByRole("dialog", { name: "pasted.png" }).waitFor();
  await brunos.keyboard.press("Escape");
  await brunos.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Open the picture pasted.png");
});

test("a picture, and those beside it, are loaded in the size of the window", async () => {
  const page = await open(browser, server, { path: `/rooms/${kitchen.id}`, viewport: { width: 390, height: 780 } });
  await signIn(page, "bruno");
  await shown(page, "A wide one").waitFor();
  const asked = [];
  page.on("request", (request) => request.url().includes("/media/") && asked.push(new URL(request.url()).pathname));
  await shown(page, "A wide one").click();
  const image = page.getByRole("dialog").getByRole("img", { name: "wide.png" });
  assert.ok(await image.evaluate((img) => img.decode().then(() => !img.currentSrc.includes("-full."))));
  await page.keyboard.press("ArrowLeft");
  await page.getByRole("dialog", { name: /^(?!wide)/ }).getByRole("img").waitFor();
  await page.keyboard.press("ArrowRight");
  await image.waitFor();
  assert.ok(asked.every((path) => !path.includes("-full.")), asked.join(" "));
  page.mustBeClean();
  await page.leave();
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
