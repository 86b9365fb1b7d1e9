// Mails about an account, and where their links lead: an address is confirmed, a forgotten password chosen anew.
// A server without SMTP writes its mails into its directory, where they are read here.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connected, launch, mustBeAccessible, open, signIn } from "./browser.mjs";
import { PASSWORD, register } from "./people.mjs";
import { Server } from "./server.mjs";

const EMAIL = "ana@example.org";
const LATER = "another horse battery";
let server, browser, page;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  await register(server, "ana", "Ana Lafuente");
  page = await open(browser, server, { refused: [400, 401, 403] });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** What the newest mail with a link for this purpose has behind the `#`. */
async function linkFor(purpose) {
  const directory = join(server.directory, "mail");
  for (let tries = 0; tries < 300; tries++) {
    const names = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith(".eml")).sort();
    for (const name of names.reverse()) {
      const text = (await readFile(join(directory, name), "utf8")).replace(/=\r?\n/g, "").replace(/=3D/g, "=");
      const [link] = text.match(new RegExp(`#${purpose}=[\\w.-]+`)) ?? [];
      if (link) return link;
    }
    await pause(100);
  }
  throw new Error(`no mail about ${purpose}`);
}

test("an address is given, and confirmed by the link in its mail", async () => {
  await signIn(page, "ana");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("E-mail address").fill(EMAIL);
  await page.getByLabel("Your password").fill("not the password");
  await page.getByRole("tabpanel", { name: "Profile" }).getByRole("button", { name: "Save" }).nth(1).click();
  await page.getByText("The current password is wrong.").waitFor();
  await page.getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("tabpanel", { name: "Profile" }).getByRole("button", { name: "Save" }).nth(1).click();
  await page.getByText(/Confirm the address with the link/).waitFor();
  await page.keyboard.press("Escape");
  await page.goto(`/${await linkFor("verify-email")}`);
  await page.getByText("Thank you, this address is yours now.").waitFor();
  assert.ok(!page.url().includes("#"), "the token has left the address");
  await mustBeAccessible(page, "a confirmed address");
  await page.getByRole("button", { name: "Go on to Tertulia" }).click();
  await connected(page);
});

test("a forgotten password is chosen anew by the link in a mail, once, and all devices are signed out", async () => {
  const other = await open(browser, server, { refused: [400] });
  await other.getByRole("button", { name: "Forgot your password?" }).click();
  await other.getByLabel("E-mail address").fill(EMAIL);
  await mustBeAccessible(other, "a forgotten password");
  await other.getByRole("button", { name: "Send the link" }).click();
  await other.getByText(/a mail is on its way/).waitFor();
  const link = await linkFor("reset-password");
  await other.goto(`/${link}`);
  await other.getByLabel("New password").fill(LATER);
  await mustBeAccessible(other, "a new password");
  await other.getByRole("button", { name: "Set password" }).click();
  await other.getByText(/Your password was changed/).waitFor();
  await other.getByLabel("Username").fill("ana");
  await other.getByLabel("Password").fill(LATER);
  await other.getByRole("button", { name: "Sign in" }).click();
  await connected(other);
  await page.getByText("This device was signed out.").waitFor();

  await other.goto("/");
  await other.goto(`/${link}`);
  await other.getByLabel("New password").fill(PASSWORD);
  await other.getByRole("button", { name: "Set password" }).click();
  await other.getByText("This link isn’t good any more.").waitFor();
  other.mustBeClean();
  await other.leave();
});

test("an address that nobody has gets the same words", async () => {
  const stranger = await open(browser, server);
  await stranger.getByRole("button", { name: "Forgot your password?" }).click();
  await stranger.getByLabel("E-mail address").fill("nobody@example.org");
  await stranger.getByRole("button", { name: "Send the link" }).click();
  await stranger.getByText(/a mail is on its way/).waitFor();
  stranger.mustBeClean();
  await stranger.leave();
});
