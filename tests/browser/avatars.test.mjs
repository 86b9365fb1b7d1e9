// Pictures of people: chosen in the settings, seen by everybody wherever somebody is, and taken away again.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, mustBeAccessible, open, signIn, write } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { picture, textFile } from "./pictures.mjs";
import { Server } from "./server.mjs";

let server, browser, ana, kitchen, anas, brunos;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana Lafuente");
  const bruno = await register(server, "bruno", "Bruno Díaz");
  kitchen = await makeRoom(server, ana, "kitchen");
  await api(server, ana.accessToken, "PUT", `rooms/${kitchen.id}/members/${bruno.user.id}`, {});
  await api(server, ana.accessToken, "POST", "rooms", { kind: "direct", members: [bruno.user.id] });
  const path = `/rooms/${kitchen.id}`;
  [anas, brunos] = await Promise.all([[], [404, 429]].map((refused) => open(browser, server, { path, refused })));
  await Promise.all([signIn(anas, "ana"), signIn(brunos, "bruno")]);
  await write(anas, "Good morning");
  await message(brunos, "Good morning").waitFor();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const settings = (page) => page.getByRole("dialog", { name: "Settings" });
const choose = (page, file) => page.locator('[data-picker="avatar"]').setInputFiles(file);
const images = (locator) => locator.locator('img[src*="/media/"]');
/** Where a picture of somebody comes from, once it is shown. */
const shown = async (locator) => {
  const image = images(locator).first();
  await image.waitFor();
  return image.evaluate((img) => img.decode().then(() => new URL(img.src).pathname));
};

test("a picture is chosen, and seen wherever its owner is, without a reload", async () => {
  await anas.getByRole("button", { name: "Settings" }).click();
  await settings(anas).getByRole("button", { name: "Choose a picture" }).waitFor();
  await choose(anas, await picture(browser, { width: 900, height: 600 }));
  const path = await shown(settings(anas));
  await settings(anas).getByRole("button", { name: "Remove the picture" }).waitFor();
  await mustBeAccessible(anas, "the profile with a picture");
  await anas.keyboard.press("Escape");
  assert.equal(await shown(message(anas, "Good morning")), path);
  assert.equal(await shown(anas.locator("footer").filter({ hasText: "Ana Lafuente" })), path);
  // The other is told.
  assert.equal(await shown(message(brunos, "Good morning")), path);
  assert.equal(await shown(brunos.getByRole("link", { name: /Ana Lafuente/ })), path);
  await brunos.getByRole("button", { name: "Members" }).click();
  assert.equal(await shown(brunos.getByRole("complementary").getByRole("listitem").filter({ hasText: "Ana Lafuente" })), path);
  await brunos.getByRole("complementary").getByRole("button", { name: "Close" }).click();
  // It is a square, of the middle.
  const { width, height } = await images(message(brunos, "Good morning")).first().evaluate((img) => ({ width: img.naturalWidth, height: img.naturalHeight }));
  assert.deepEqual([width, height], [200, 200]);
});

for (const colorScheme of ["light", "dark"]) {
  for (const [device, viewport] of [
    ["desktop", { width: 1280, height: 800 }],
    ["phone", { width: 390, height: 780 }],
  ]) {
    test(`the profile is for everybody: ${colorScheme}, ${device}`, async () => {
      const page = await open(browser, server, { colorScheme, viewport });
      await signIn(page, "ana");
      await page.getByRole("button", { name: "Settings" }).click();
      await shown(settings(page));
      await mustBeAccessible(page, "the profile");
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${width} pixels wide`);
      if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/profile-${colorScheme}-${device}.png` });
      page.mustBeClean();
      await page.leave();
    });
  }
}

test("what is no picture says so, and leaves the one before", async () => {
  await anas.getByRole("button", { name: "Settings" }).click();
  const before = await shown(settings(anas));
  await choose(anas, { ...textFile("me.png"), mimeType: "image/png" });
  await settings(anas).getByRole("alert").getByText("This isn’t a JPEG, PNG, GIF or WebP picture.").waitFor();
  assert.equal(await shown(settings(anas)), before);
});

test("it is replaced, and removed from the keyboard", async () => {
  const before = await shown(settings(anas));
  await choose(anas, await picture(browser, { colours: ["#123456", "#abcdef"] }));
  await anas.waitForFunction((before) => [...document.querySelectorAll("[role=dialog] img")].some((img) => !img.src.includes(before)), before);
  // What is cancelled doesn't go on waiting for its answer.
  await anas.route("**/api/v1/me", (route) => (route.request().method() === "PATCH" ? undefined : route.continue()));
  await settings(anas).getByRole("button", { name: "Remove the picture" }).click();
  await settings(anas).getByRole("button", { name: "Cancel" }).click();
  await settings(anas).getByRole("progressbar").waitFor({ state: "detached", timeout: 10_000 });
  await anas.unroute("**/api/v1/me");
  await settings(anas).getByRole("button", { name: "Remove the picture" }).focus();
  await anas.keyboard.press("Enter");
  await images(settings(anas)).waitFor({ state: "detached" });
  assert.ok(await settings(anas).getByRole("button", { name: "Choose a picture" }).evaluate((button) => button === document.activeElement));
  await anas.keyboard.press("Escape");
  await images(message(brunos, "Good morning")).waitFor({ state: "detached" });
});

test("a picture from elsewhere is not asked for", async () => {
  await api(server, ana.accessToken, "PATCH", "me", { avatarUrl: "https://elsewhere.example/me.png" });
  const asked = [];
  brunos.on("request", (request) => asked.push(request.url()));
  await brunos.reload();
  await message(brunos, "Good morning").getByText("AL").waitFor();
  await brunos.getByRole("button", { name: "Members" }).click();
  await brunos.getByRole("complementary").getByText("owner").waitFor();
  assert.ok(!asked.some((url) => url.includes("elsewhere")));
});

const PICTURE = `/media/${"0".repeat(32)}-256.webp`;

test("an older answer about somebody isn't taken for a newer one, and a refused question is asked again", async () => {
  const path = `**/api/v1/users/${ana.user.id}`;
  const routes = [];
  const asked = async (count) => {
    for (let tries = 0; routes.length < count; tries++) {
      assert.ok(tries < 400, `asked ${count} times`);
      await brunos.evaluate(() => new Promise((resolve) => setTimeout(resolve, 25)));
    }
    return routes[count - 1];
  };
  await brunos.route("**" + PICTURE, (route) => route.fulfill({ contentType: "image/svg+xml", body: '<svg xmlns="http://www.w3.org/2000/svg"/>' }));
  await brunos.route(path, (route) => void routes.push(route));
  const rename = (displayName) => api(server, ana.accessToken, "PATCH", "me", { displayName });
  await rename("Ana L.");
  const older = await asked(1);
  await rename("Ana Lafuente");
  const refused = await asked(2);
  await refused.fulfill({ status: 429, json: { code: "rate_limited", detail: "later", retryable: true, retryAfterMs: 1 } });
  const newer = await asked(3);
  await newer.fulfill({ json: { user: { ...ana.user, avatarUrl: PICTURE } } });
  await images(message(brunos, "Good morning")).first().waitFor();
  const answered = brunos.waitForResponse((response) => response.request() === older.request());
  await older.fulfill({ json: { user: ana.user } });
  await (await answered).finished();
  await brunos.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
  assert.equal(await images(message(brunos, "Good morning")).count(), 1);
  await brunos.unroute(path);
});

test("who is gone has no picture any more", async () => {
  await anas.leave();
  await api(server, ana.accessToken, "DELETE", "me");
  await images(message(brunos, "Good morning")).waitFor({ state: "detached" });
});

test("nothing was written to either console", () => {
  anas.mustBeClean();
  brunos.mustBeClean();
});
