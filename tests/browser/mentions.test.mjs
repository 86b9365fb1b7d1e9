// Calling somebody by name in a room of which only a part is loaded: the server knows all of its members.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, open, signIn } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

let server, browser, page, zoe, sent;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  const ana = await register(server, "ana", "Ana");
  zoe = await register(server, "zoe77", "Zoë Quirós");
  const room = await makeRoom(server, ana, "crowd");
  await api(server, ana.accessToken, "PUT", `rooms/${room.id}/members/${zoe.user.id}`, {});
  page = await open(browser, server);
  // The page of members that the room begins with ends before Zoë.
  await page.route("**/members?limit=*", async (route) => {
    const answer = await route.fetch();
    const { members } = await answer.json();
    const first = members.filter(({ user }) => user.username === "ana");
    await route.fulfill({ response: answer, json: { members: first, hasMore: true } });
  });
  sent = [];
  page.on("websocket", (socket) =>
    socket.on("framesent", ({ payload }) => {
      const json = /^42\d*(\["message:send".*)$/s.exec(payload)?.[1];
      if (json) sent.push(JSON.parse(json)[1]);
    }),
  );
  await page.reload();
  await signIn(page, "ana");
  await page.getByRole("link", { name: /crowd/ }).click();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const field = () => page.getByRole("textbox", { name: /^Message / });

test("who isn't loaded is offered by username and by name, and called", async () => {
  for (const typed of ["@zoe", "@quir", "@ZOË"]) {
    await field().fill("");
    await field().pressSequentially(typed);
    await page.getByRole("option", { name: /Zoë Quirós/ }).waitFor();
  }
  await field().press("Enter");
  assert.equal(await field().inputValue(), "@zoe77 ");
  await field().pressSequentially("come");
  await field().press("Enter");
  await message(page, "@zoe77 come").waitFor();
  assert.deepEqual(sent.at(-1).mentions, [zoe.user.id]);
});

test("a name written out by hand is called, and Enter sends", async () => {
  await page.reload();
  await field().pressSequentially("look, @zoe77");
  await page.getByRole("option", { name: /Zoë Quirós/ }).waitFor();
  await field().press("Enter");
  await message(page, "look, @zoe77").waitFor();
  assert.deepEqual(sent.at(-1).mentions, [zoe.user.id]);
});

test("who is in the room isn't offered to be added", async () => {
  await page.getByRole("button", { name: "Room menu" }).click();
  await page.getByRole("menuitem", { name: "Add people" }).click();
  await page.getByLabel("Find people").fill("zoe77");
  await page.getByRole("dialog").getByText("already here").waitFor();
  page.mustBeClean();
});
