// The pages that describe the API, and requests that are tried on them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, mustBeAccessible, open } from "./browser.mjs";
import { Server } from "./server.mjs";

let server, browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Sends a request with the form of an operation, and gives its status and its body. */
async function attempt(page, operation, body) {
  const block = page.locator(`[id$="-${operation}"]`);
  await block.locator(".opblock-summary-control").click();
  await block.getByRole("button", { name: "Try it out" }).click();
  if (body) await block.getByRole("textbox", { name: "Request body" }).fill(JSON.stringify(body));
  await block.getByRole("button", { name: "Execute" }).click();
  const answer = block.locator(".live-responses-table tbody tr").first();
  const text = await answer.locator(".highlight-code code").first().innerText();
  return { status: Number(await answer.locator(".response-col_status").innerText()), body: JSON.parse(text) };
}

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [
    ["wide", { width: 1280, height: 900 }],
    ["narrow", { width: 380, height: 800 }],
  ]) {
    test(`who registers on the page uses the other routes: ${colorScheme}, ${size}`, async () => {
      const page = await open(browser, server, { path: "/api/docs", colorScheme, viewport, refused: [401] });
      const username = `ana-${colorScheme}-${size}`;
      assert.equal((await attempt(page, "getMe")).status, 401);
      const registered = await attempt(page, "register", { username, password: "correct horse battery" });
      assert.equal(registered.status, 201);
      const made = await attempt(page, "createRoom", { name: "kitchen", kind: "public" });
      assert.deepEqual([made.status, made.body.room.name], [201, "kitchen"]);
      // Swagger UI's own: a link to the operation lies in the button that opens it.
      await mustBeAccessible(page, "/api/docs", "nested-interactive");
      await page.reload();
      assert.equal((await attempt(page, "getMe")).status, 401, "the token is kept in memory alone");
      page.mustBeClean();
      await page.leave();
    });

    test(`the events are readable: ${colorScheme}, ${size}`, async () => {
      const page = await open(browser, server, { path: "/api/docs/events", colorScheme, viewport });
      await page.getByRole("heading", { name: "message:send", exact: true }).waitFor();
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} pixels too wide`);
      await mustBeAccessible(page, "/api/docs/events");
      page.mustBeClean();
      await page.leave();
    });
  }
}
