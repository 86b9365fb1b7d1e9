// Chromium, and pages in it that fail their test for every error on their console.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { PASSWORD } from "./people.mjs";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Longer than the client itself may wait before it tries again to connect. */
export const PATIENCE_MS = 45_000;

export const launch = () => chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });

/** Errors that the browser itself writes when a server can't be reached, or says that it is going. */
const UNREACHABLE =
  /ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED|INTERNET_DISCONNECTED|NETWORK_CHANGED)|before receiving a handshake response|Unexpected response code: 503|status of 503/;

/** What it writes of a WebSocket that was given up before it was open. */
const GIVEN_UP = /WebSocket is closed before the connection is established/;

/** A page of its own, as another person or device would have it. `init` runs in it before its own scripts. */
export async function open(browser, server, { path = "/", unreachable = false, hanging = false, refused = [], init, ...options } = {}) {
  const context = await browser.newContext({
    baseURL: server.url,
    locale: "en-GB",
    timezoneId: "Europe/Madrid",
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  if (init) await context.addInitScript(init);
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error.stack ?? error)));
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    const text = message.text();
    if (unreachable && UNREACHABLE.test(text)) return;
    if (hanging && GIVEN_UP.test(text)) return;
    // The browser reports every refused request itself; those that a test provokes are named by it.
    if (refused.some((status) => text.includes(`status of ${status}`))) return;
    errors.push(`${text} (${message.location().url})`);
  });
  await page.goto(path);
  return Object.assign(page, { leave: () => context.close(), mustBeClean: () => assert.deepEqual(errors, [], "errors on the console") });
}

export async function signIn(page, username) {
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await connected(page);
}

export const connected = (page) => page.locator('[data-connection="connected"]:visible').first().waitFor();

export async function write(page, body) {
  const field = page.getByRole("textbox", { name: /^Message / });
  await field.fill(body);
  await field.press("Enter");
}

/** The row of a message that is stored. */
export const message = (page, body) => page.locator("article[data-seq]", { hasText: body });

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Fails for what axe calls serious or critical, but for the rules that are named. */
export async function mustBeAccessible(page, where, ...exceptions) {
  // Run in a world that the page's policy doesn't bind, as an extension would be.
  await page.evaluate(await readFile(axe, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations.filter(({ id, impact }) => (impact === "serious" || impact === "critical") && !exceptions.includes(id));
  assert.deepEqual(
    serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("\n")}`),
    [],
    `faults of ${where}`,
  );
}
