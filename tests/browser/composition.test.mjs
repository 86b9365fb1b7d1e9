// Keys with which an input method is used, as Safari sends those that end a composition: they are no commands.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, open, signIn } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

const KEYS = { Enter: 13, Escape: 27, ArrowUp: 38, ArrowDown: 40, Tab: 9 };

let server, browser, page, cdp, room;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  const ana = await register(server, "ana", "Ana");
  const bruno = await register(server, "bruno", "Bruno");
  room = await makeRoom(server, ana, "kitchen");
  await api(server, ana.accessToken, "PUT", `rooms/${room.id}/members/${bruno.user.id}`, {});
  page = await open(browser, server, { path: `/rooms/${room.id}` });
  cdp = await page.context().newCDPSession(page);
  await signIn(page, "ana");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A key that the input method has used up. */
async function processed(key) {
  await cdp.send("Input.dispatchKeyEvent", { type: "rawKeyDown", key, code: key, windowsVirtualKeyCode: 229 });
  await cdp.send("Input.dispatchKeyEvent", { type: "keyUp", key, code: key, windowsVirtualKeyCode: KEYS[key] });
}

test("Enter that ends a composition sends nothing", async () => {
  const field = page.getByRole("textbox", { name: /^Message / });
  await field.focus();
  await cdp.send("Input.imeSetComposition", { text: "にほn", selectionStart: 3, selectionEnd: 3 });
  await processed("Enter");
  await cdp.send("Input.insertText", { text: "日本" });
  await processed("Enter");
  assert.equal(await field.inputValue(), "日本");
  await field.press("Enter");
  await message(page, "日本").waitFor();
  assert.equal(await field.inputValue(), "");
  assert.equal(await page.locator("article").count(), 1);
});

test("arrows, Enter and Escape within a composition leave the offered names and the message to change alone", async () => {
  const field = page.getByRole("textbox", { name: /^Message / });
  await processed("ArrowUp");
  assert.equal(await page.getByText("Editing your message").count(), 0);
  await field.press("ArrowUp");
  await page.getByText("Editing your message").waitFor();
  await processed("Escape");
  await page.getByText("Editing your message").waitFor();
  await field.press("Escape");
  await page.getByText("Editing your message").waitFor({ state: "detached" });

  await field.pressSequentially("@br");
  await page.getByRole("option", { name: /Bruno/ }).waitFor();
  for (const key of ["ArrowDown", "Enter", "Tab", "Escape"]) await processed(key);
  assert.equal(await field.inputValue(), "@br");
  await page.getByRole("option", { name: /Bruno/ }).waitFor();
  await field.press("Enter");
  assert.equal(await field.inputValue(), "@bruno ");
  await field.fill("");
});

test("nor do they choose or close a dialog, or a panel", async () => {
  await page.keyboard.press("Control+k");
  const dialog = page.getByRole("dialog", { name: "Go to a room or person" });
  await dialog.getByRole("combobox").fill("kit");
  await dialog.getByRole("option", { name: "kitchen" }).waitFor();
  await page.evaluate(() => history.replaceState(null, "", `${location.pathname}?here`));
  await processed("Enter");
  await processed("Escape");
  assert.equal(await dialog.count(), 1);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await page.getByRole("button", { name: "Search in this room" }).click();
  await page.getByLabel("Words of a message").focus();
  await processed("Escape");
  assert.equal(await page.getByLabel("Words of a message").count(), 1);
  await page.keyboard.press("Escape");
  await page.getByLabel("Words of a message").waitFor({ state: "detached" });
  page.mustBeClean();
});
