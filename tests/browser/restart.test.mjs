// The server dies while people write, and comes back: everything written arrives, once and in order.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connected, launch, message, open, signIn, write } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

let server, browser, ana, kitchen, anas, brunos;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana");
  const bruno = await register(server, "bruno", "Bruno");
  kitchen = await makeRoom(server, ana, "kitchen");
  await api(server, ana.accessToken, "PUT", `rooms/${kitchen.id}/members/${bruno.user.id}`, {});
  const path = `/rooms/${kitchen.id}`;
  [anas, brunos] = await Promise.all([
    open(browser, server, { path, unreachable: true }),
    open(browser, server, { path, unreachable: true }),
  ]);
  await Promise.all([signIn(anas, "ana"), signIn(brunos, "bruno")]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("what is written while the server is dead arrives when it is back", async () => {
  const field = anas.getByRole("textbox", { name: /^Message / });
  await write(anas, "before");
  await message(brunos, "before").waitFor();
  await field.pressSequentially("half a sen");
  await server.kill();
  await anas.getByText(/what you write is kept/).waitFor();
  await field.pressSequentially("tence");
  await field.press("Enter");
  await write(anas, "second");
  await write(anas, "third");
  // Shown at once, the third of three that wait.
  await anas.locator('[data-fate="queued"], [data-fate="sending"]').nth(2).waitFor();

  await server.run();
  await Promise.all([connected(anas), connected(brunos)]);
  for (const page of [anas, brunos]) {
    await message(page, "third").waitFor();
    const bodies = await page
      .locator("article[data-seq]")
      .evaluateAll((articles) => articles.map((article) => article.querySelector('[class*="body"]').textContent));
    assert.deepEqual(bodies, ["before", "half a sentence", "second", "third"]);
  }
  await anas.locator('[data-fate="queued"], [data-fate="sending"], [data-fate="failed"]').first().waitFor({ state: "detached" });
});

test("what is unsent survives a reload, and a draft too", async () => {
  await server.kill();
  await anas.getByText(/what you write is kept/).waitFor();
  await write(anas, "kept over a reload");
  await anas.getByRole("textbox", { name: /^Message / }).fill("a draft");
  await server.run();
  await anas.reload();
  await connected(anas);
  assert.equal(await anas.getByRole("textbox", { name: /^Message / }).inputValue(), "a draft");
  await message(brunos, "kept over a reload").waitFor();
  await message(anas, "kept over a reload").waitFor();
  assert.equal(await message(brunos, "kept over a reload").count(), 1);
});

test("a server that is restarted on purpose is waited for", async () => {
  await Promise.all([connected(anas), connected(brunos)]);
  const drained = server.drain();
  await anas.locator('[data-connection="restarting"]:visible').first().waitFor();
  await drained;
  await write(anas, "during the restart");
  await server.run();
  await message(brunos, "during the restart").waitFor();
  await message(anas, "during the restart").waitFor();
});

test("a lost network is named, and what was missed comes with it", async () => {
  await brunos.context().setOffline(true);
  await brunos.evaluate(() => globalThis.dispatchEvent(new Event("offline")));
  await brunos.locator('[data-connection="offline"]:visible').first().waitFor();
  await write(anas, "while Bruno is away");
  await message(anas, "while Bruno is away").waitFor();
  await brunos.context().setOffline(false);
  await connected(brunos);
  await message(brunos, "while Bruno is away").waitFor();
});

test("nothing but the lost server was written to either console", () => {
  anas.mustBeClean();
  brunos.mustBeClean();
});
