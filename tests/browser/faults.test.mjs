// Each thing that can go wrong has its own clear words and a way on.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { connected, launch, message, open, signIn, write } from "./browser.mjs";
import { api, makeRoom, PASSWORD, register } from "./people.mjs";
import { Server } from "./server.mjs";

let server, browser, ana, bruno, pages;
let count = 0;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});

// Everybody is new in every test: none depends on another's wrong passwords.
beforeEach(async () => {
  pages = [];
  count++;
  ana = await register(server, `ana${count}`, "Ana");
  bruno = await register(server, `bruno${count}`, "Bruno");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A test whose pages may have been refused with these statuses, and nothing else. */
function fault(name, refused, run) {
  test(name, async () => {
    const visit = async (username, path = "/") => {
      const page = await open(browser, server, { path, refused });
      pages.push(page);
      if (username) await signIn(page, username);
      return page;
    };
    await run(visit);
    for (const page of pages) {
      page.mustBeClean();
      await page.leave();
    }
  });
}

async function together(kind = "private") {
  const room = await makeRoom(server, ana, `room ${count}`, kind);
  await api(server, ana.accessToken, "PUT", `rooms/${room.id}/members/${bruno.user.id}`, {});
  return room;
}

fault("a wrong password, and too many of them", [401, 429], async (visit) => {
  const page = await visit();
  await page.getByLabel("Username").fill(ana.user.username);
  for (let tries = 0; tries < 5; tries++) {
    await page.getByLabel("Password").fill(`wrong ${tries}`);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("button", { name: "Sign in", disabled: false }).waitFor();
    await page.getByRole("alert").filter({ hasText: "don’t go together" }).waitFor();
  }
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page
    .getByRole("alert")
    .filter({ hasText: /Too many tries. Wait 1\d minutes/ })
    .waitFor();
});

fault("a username that is taken", [409], async (visit) => {
  const page = await visit();
  await page.getByRole("tab", { name: "Create account" }).click();
  await page.getByLabel("Username").fill(ana.user.username);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByRole("alert").filter({ hasText: "That username is taken" }).waitFor();
});

fault("a guest comes in, and makes no rooms", [], async (visit) => {
  const page = await visit();
  await page.getByRole("tab", { name: "As a guest" }).click();
  await page.getByLabel("Name others see").fill("Passer-by");
  await page.getByRole("button", { name: "Come in" }).click();
  await connected(page);
  assert.equal(await page.getByRole("button", { name: "New room" }).count(), 0, "no dead buttons");
});

fault("a session that is revoked from another device", [401], async (visit) => {
  const [phone, laptop] = [await visit(ana.user.username), await visit(ana.user.username)];
  await laptop.getByRole("button", { name: "Settings" }).click();
  await laptop.getByRole("tab", { name: "Devices" }).click();
  await laptop.getByText("this device").waitFor();
  const others = laptop.getByRole("button", { name: "Sign out" });
  while ((await others.count()) > 0) {
    const left = await others.count();
    await others.first().click();
    await laptop.waitForFunction(
      (left) => [...document.querySelectorAll("button")].filter(({ textContent }) => textContent === "Sign out").length < left,
      left,
    );
  }
  await phone.getByText("This device was signed out").waitFor();
  await signIn(phone, ana.user.username);
});

fault("a session that has expired", [401], async (visit) => {
  const room = await together();
  const page = await visit(ana.user.username, `/rooms/${room.id}`);
  // The session ends while the page is away, so that nothing tells it.
  await page.goto("about:blank");
  const laptop = await api(server, undefined, "POST", "auth/login", { username: ana.user.username, password: PASSWORD });
  const { sessions } = await api(server, laptop.accessToken, "GET", "sessions");
  for (const { id, current } of sessions) if (!current) await api(server, laptop.accessToken, "DELETE", `sessions/${id}`);
  await page.goto(`/rooms/${room.id}`);
  await page.getByText(/Your session has ended|This device was signed out/).waitFor();
  await signIn(page, ana.user.username);
  await page.getByRole("heading", { name: room.name, exact: true }).waitFor();
});

fault("a message that is too large", [], async (visit) => {
  const room = await together();
  const page = await visit(ana.user.username, `/rooms/${room.id}`);
  await write(page, "x".repeat(16_003));
  await page.getByRole("alert").filter({ hasText: "3 characters too many" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Send" }).isDisabled(), true);
  await page.getByRole("textbox", { name: /^Message / }).press("Backspace");
  for (let n = 0; n < 2; n++) await page.getByRole("textbox", { name: /^Message / }).press("Backspace");
  await page.getByText("0 characters left").waitFor();
  await page.getByRole("textbox", { name: /^Message / }).press("Enter");
  await message(page, "xxx").waitFor();
});

fault("a room that is deleted", [404], async (visit) => {
  const room = await together();
  const page = await visit(bruno.user.username, `/rooms/${room.id}`);
  await page.getByRole("heading", { name: room.name, exact: true }).waitFor();
  await api(server, ana.accessToken, "DELETE", `rooms/${room.id}`);
  await page.getByText(`${room.name} was deleted, or you were removed from it.`).waitFor();
  await page.getByRole("link", { name: "To my rooms" }).click();
  await page.getByText("Pick a conversation").waitFor();
});

fault("being removed from a public room, and joining again", [404], async (visit) => {
  const room = await together("public");
  const page = await visit(bruno.user.username, `/rooms/${room.id}`);
  await page.getByRole("heading", { name: room.name, exact: true }).waitFor();
  await api(server, ana.accessToken, "DELETE", `rooms/${room.id}/members/${bruno.user.id}`);
  await page.getByText(`You are no longer in ${room.name}.`).waitFor();
  await page.getByRole("button", { name: "Join again" }).click();
  await write(page, "back again");
  await message(page, "back again").waitFor();
});

fault("leaving a room", [], async (visit) => {
  const room = await together("public");
  const page = await visit(bruno.user.username, `/rooms/${room.id}`);
  await page.getByRole("button", { name: "Room menu" }).click();
  await page.getByRole("menuitem", { name: "Leave room" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Leave room" }).click();
  await page.getByText("Pick a conversation").waitFor();
  assert.equal(await page.getByRole("link", { name: room.name }).count(), 0);
});

fault("writing to somebody who has blocked one", [], async (visit) => {
  const { room } = await api(server, ana.accessToken, "POST", "rooms", { kind: "direct", members: [bruno.user.id] });
  const page = await visit(ana.user.username, `/rooms/${room.id}`);
  await write(page, "hello");
  await message(page, "hello").waitFor();
  await api(server, bruno.accessToken, "PUT", `me/blocks/${ana.user.id}`);
  await write(page, "are you there?");
  await page.getByText("one of you has blocked the other").waitFor();
  await api(server, bruno.accessToken, "DELETE", `me/blocks/${ana.user.id}`);
  await page.getByRole("button", { name: "Retry" }).click();
  await message(page, "are you there?").waitFor();
  await page.locator('[data-fate="failed"]').waitFor({ state: "detached" });
});

fault("blocking somebody, and taking it back", [], async (visit) => {
  const room = await together("public");
  await api(server, bruno.accessToken, "POST", `rooms/${room.id}/messages`, { body: "something loud" });
  const page = await visit(ana.user.username, `/rooms/${room.id}`);
  await message(page, "something loud").getByRole("button", { name: "Bruno" }).click();
  await page.getByRole("menuitem", { name: "Block" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Block" }).click();
  await page.getByText("A message of somebody you blocked.").waitFor();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("tab", { name: "Blocked people" }).click();
  await page.getByRole("button", { name: "Unblock" }).click();
  await page.getByText("You haven’t blocked anybody.").waitFor();
  await page.keyboard.press("Escape");
  await message(page, "something loud").waitFor();
});

fault("an address that isn't there", [404], async (visit) => {
  const page = await visit(ana.user.username, "/rooms/none");
  await page.getByText("This room doesn’t exist, or you may not see it.").waitFor();
  await page.goto("/nowhere");
  await page.getByText("There is no such page.").waitFor();
});
