// WebSockets that hang somewhere on the way: the page gets through all the same, and remembers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connected, launch, message, open, PATIENCE_MS, signIn, write } from "./browser.mjs";
import { makeRoom, register } from "./people.mjs";
import { Middlebox } from "./middlebox.mjs";
import { Server } from "./server.mjs";

let server, browser, box, room;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  box = await Middlebox.start(server);
  const ana = await register(server, "ana", "Ana");
  room = await makeRoom(server, ana, "kitchen");
});

after(async () => {
  await browser?.close();
  await box?.stop();
  await server?.stop();
});

for (const mode of ["mute", "swallow"]) {
  test(`a WebSocket that meets with "${mode}" is done without, and taken again where it works`, async () => {
    box.mode = mode;
    box.passed = 0;
    const page = await open(browser, box, { path: `/rooms/${room.id}`, hanging: true });
    await signIn(page, "ana");
    await write(page, `written through ${mode}`);
    await message(page, `written through ${mode}`).waitFor();
    assert.equal(box.passed, 0);

    // The next page begins with what worked: it is connected although no WebSocket has been given up yet.
    box.asked = 0;
    await page.reload();
    await connected(page);
    await message(page, `written through ${mode}`).waitFor();
    assert.ok(box.asked <= 1, "it is only looked for by the way");

    box.mode = "pass";
    await page.reload();
    await connected(page);
    const until = Date.now() + PATIENCE_MS;
    while (box.passed === 0) {
      assert.ok(Date.now() < until, "WebSocket is never taken again");
      await page.waitForTimeout(50);
    }
    await write(page, `written after ${mode}`);
    await message(page, `written after ${mode}`).waitFor();
    page.mustBeClean();
    await page.leave();
  });
}
