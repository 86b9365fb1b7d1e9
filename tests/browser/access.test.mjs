// The client for everybody: no serious fault that axe knows on any screen, and all of it from the keyboard.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connected, launch, message, mustBeAccessible, open, signIn } from "./browser.mjs";
import { connections } from "./scene.mjs";
import { Server } from "./server.mjs";

let server, browser, scene;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  scene = await connections(server);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const colorScheme of ["light", "dark"]) {
  for (const [device, viewport] of [
    ["desktop", { width: 1280, height: 800 }],
    ["phone", { width: 390, height: 780 }],
  ]) {
    test(`axe finds no serious fault: ${colorScheme}, ${device}`, async () => {
      const page = await open(browser, server, { colorScheme, viewport });
      await mustBeAccessible(page, "the sign-in page");
      await page.getByRole("tab", { name: "Create account" }).click();
      await mustBeAccessible(page, "the register page");
      await page.getByRole("tab", { name: "Sign in" }).click();
      await signIn(page, scene.username);
      await page
        .getByRole("link", { name: /kitchen/ })
        .first()
        .waitFor();
      await mustBeAccessible(page, "the rooms");
      await page
        .getByRole("link", { name: /kitchen/ })
        .first()
        .click();
      await message(page, scene.last).waitFor();
      await message(page, scene.last).focus();
      await mustBeAccessible(page, "a room");
      await page.getByRole("button", { name: "Members" }).click();
      await page.getByRole("complementary").getByText("owner").waitFor();
      await mustBeAccessible(page, "its members");
      await page.getByRole("complementary").getByRole("button", { name: "Close" }).click();
      await page.goto("/");
      await connected(page);
      await page.getByRole("button", { name: "Browse public rooms" }).first().click();
      await page
        .getByRole("button", { name: /^Join: / })
        .first()
        .waitFor();
      await mustBeAccessible(page, "public rooms");
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Settings" }).click();
      for (const section of ["Profile", "Appearance", "Notifications", "Devices", "Blocked people", "Keyboard"]) {
        await page.getByRole("tab", { name: section }).click();
        await page.getByRole("tabpanel", { name: section }).waitFor();
        await mustBeAccessible(page, section);
      }
      page.mustBeClean();
      await page.leave();
    });
  }
}

test("a conversation without a mouse", async () => {
  const page = await open(browser, server);
  await page.keyboard.press("Tab");
  await page.getByLabel("Username").focus();
  await page.keyboard.type(scene.username);
  await page.keyboard.press("Tab");
  await page.keyboard.type(scene.password);
  await page.keyboard.press("Enter");
  await connected(page);

  await page
    .getByRole("link", { name: /kitchen/ })
    .first()
    .waitFor();
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Go to a room or person" }).waitFor();
  await page.keyboard.type("kitch");
  await page.getByRole("option", { name: /kitchen/ }).waitFor();
  await page.keyboard.press("Enter");
  await message(page, scene.last).waitFor();

  // The field has the focus; the messages are before it.
  await page.keyboard.type("from the keyboard");
  await page.keyboard.press("Enter");
  await message(page, "from the keyboard").waitFor();
  await page.keyboard.press("ArrowUp");
  await page.getByText("Editing your message").waitFor();
  await page.keyboard.press("End");
  await page.keyboard.type(", changed");
  await page.keyboard.press("Enter");
  await message(page, "from the keyboard, changed").getByText("edited").waitFor();

  await page.getByRole("feed").focus();
  await page.keyboard.press("ArrowUp");
  const seq = () => page.evaluate(() => Number(document.activeElement?.dataset.seq));
  const last = await seq();
  assert.ok(last > 0, "a message has the focus");
  await page.keyboard.press("ArrowUp");
  assert.ok((await seq()) < last);
  await page.keyboard.press("Tab");
  for (let stops = 0; stops < 6 && !(await page.evaluate(() => document.activeElement?.getAttribute("aria-label") === "Reply")); stops++)
    await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByText(/^Replying to/).waitFor();
  await page.keyboard.press("Escape");
  await page.getByText(/^Replying to/).waitFor({ state: "detached" });

  await page.keyboard.press("Alt+ArrowDown");
  await page.waitForURL((url) => !url.href.includes(scene.kitchen.id));
  page.mustBeClean();
  await page.leave();
});

test("in Spanish, by the browser's language and by choice", async () => {
  const page = await open(browser, server, { locale: "es-ES" });
  await page.getByRole("tab", { name: "Crear cuenta" }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "es");
  await page.getByRole("combobox", { name: "Idioma" }).selectOption("en");
  await page.getByRole("tab", { name: "Create account" }).waitFor();
  await page.reload();
  await page.getByRole("tab", { name: "Create account" }).waitFor();
  page.mustBeClean();
  await page.leave();
});
