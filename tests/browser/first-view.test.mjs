// What has to come over the wire, and how long it takes, before there is something to see. How long is printed only: it
// is as much the machine's doing as the client's.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, open, signIn } from "./browser.mjs";
import { fill, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

const BYTES_MAX = 200_000;

let server, browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("the first view is small and soon there", async () => {
  const page = await open(browser, server);
  await page.getByLabel("Username").waitFor();
  const { bytes, files, paintedMs } = await page.evaluate(async () => {
    // What is there need not be painted yet.
    const painted = await new Promise((resolve) => {
      const observer = new PerformanceObserver((list) => list.getEntriesByName("first-contentful-paint").forEach(resolve));
      observer.observe({ type: "paint", buffered: true });
    });
    const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    return {
      bytes: entries.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
      files: entries.length,
      paintedMs: painted.startTime,
    };
  });
  console.log(`first view: ${Math.round(bytes / 1000)} KB in ${files} files, painted after ${Math.round(paintedMs)} ms`);
  assert.ok(bytes > 50_000, "the browser knows their sizes");
  assert.ok(bytes <= BYTES_MAX, `${bytes} bytes`);
  page.mustBeClean();
});

test("who comes back sees the conversation soon", async () => {
  const ana = await register(server, "ana", "Ana");
  const room = await makeRoom(server, ana, "kitchen");
  await fill(server, ana, room.id, 1_000);
  const page = await open(browser, server, { path: `/rooms/${room.id}` });
  await signIn(page, "ana");
  await message(page, "Message number 1000").waitFor();
  await page.reload();
  await message(page, "Message number 1000").waitFor();
  const shownMs = await page.evaluate(() => performance.now());
  console.log(`a room with its messages: at most ${Math.round(shownMs)} ms after the reload`);
  page.mustBeClean();
});
