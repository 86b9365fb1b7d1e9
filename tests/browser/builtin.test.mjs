// The page that the server has where the web client wasn't built, in the cases that are hard for a page.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, open } from "./browser.mjs";
import { Middlebox } from "./middlebox.mjs";
import { makeRoom, PASSWORD, register } from "./people.mjs";
import { Server } from "./server.mjs";

const HTML = fileURLToPath(new URL("../../frontend-assets/builtin/index.html", import.meta.url));

let server, browser, box, room;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  box = await Middlebox.start(server);
  box.html = await readFile(HTML);
  const ana = await register(server, "ana", "Ana");
  room = await makeRoom(server, ana, "kitchen");
});

after(async () => {
  await browser?.close();
  await box?.stop();
  await server?.stop();
});

beforeEach(() => (box.mode = "pass"));

/** Opens the room on the built-in page, whatever page the server has at its address. */
async function enter(options) {
  const page = await open(browser, box, { path: `/#room/${room.id}`, ...options });
  const form = page.locator("#sign-in");
  await form.locator("input[name=username]").fill("ana");
  await form.locator("input[name=password]").fill(PASSWORD);
  await form.getByRole("button").click();
  await page.locator('#state[data-state="connected"]').waitFor();
  return page;
}

const field = (page) => page.locator("#draft");
const message = (page, body) => page.locator("#log .message", { hasText: body });

async function write(page, body) {
  await field(page).fill(body);
  await field(page).press("Enter");
  await message(page, body).waitFor();
}

for (const mode of ["mute", "swallow"]) {
  test(`a WebSocket that meets with "${mode}" is done without`, async () => {
    box.mode = mode;
    const page = await enter({ hanging: true });
    await write(page, `written through ${mode}`);
    await page.reload();
    await message(page, `written through ${mode}`).waitFor();
    page.mustBeClean();
    await page.leave();
  });
}

test("Enter that ends a composition sends nothing", async () => {
  const page = await enter();
  const cdp = await page.context().newCDPSession(page);
  await field(page).fill("日本");
  await cdp.send("Input.dispatchKeyEvent", { type: "rawKeyDown", key: "Enter", code: "Enter", windowsVirtualKeyCode: 229 });
  assert.equal(await field(page).inputValue(), "日本");
  await field(page).press("Enter");
  await message(page, "日本").waitFor();
  page.mustBeClean();
  await page.leave();
});

test("an edit whose answer is late leaves the next message alone", async () => {
  const page = await enter({ init: holdEdits });
  await write(page, "first");
  await field(page).press("ArrowUp");
  assert.equal(await field(page).inputValue(), "first");
  await field(page).fill("changed");
  await field(page).press("Enter");
  await page.waitForFunction(() => globalThis.release);
  await write(page, "second");
  await field(page).fill("third");
  await page.evaluate(() => globalThis.release());
  await message(page, "changed").getByText("(edited)").waitFor();
  assert.equal(await field(page).inputValue(), "third");
  page.mustBeClean();
  await page.leave();
});

/** Runs in the page: an edit is sent only when `globalThis.release` is called. */
function holdEdits() {
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (data) {
    if (String(data).includes('["message:edit"')) globalThis.release = () => send.call(this, data);
    else send.call(this, data);
  };
}

test("a browser that keeps nothing for the page", async () => {
  const forbid = () =>
    Object.defineProperty(globalThis, "sessionStorage", {
      get() {
        throw new DOMException("denied", "SecurityError");
      },
    });
  const page = await enter({ init: forbid });
  await write(page, "kept by the server");
  page.mustBeClean();
  await page.leave();
});
