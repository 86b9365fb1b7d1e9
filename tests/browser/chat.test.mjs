// Two people in two browsers do what people do in a chat.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, open, signIn, write } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

let server, browser, ana, bruno, kitchen, anas, brunos;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana Lafuente");
  bruno = await register(server, "bruno", "Bruno Díaz");
  kitchen = await makeRoom(server, ana, "kitchen");
  [anas, brunos] = await Promise.all([open(browser, server), open(browser, server)]);
  await Promise.all([signIn(anas, "ana"), signIn(brunos, "bruno")]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a public room is found and joined, and both write in it", async () => {
  await anas.getByRole("link", { name: /kitchen/ }).click();
  await brunos.getByRole("button", { name: "Browse public rooms" }).first().click();
  await brunos.getByPlaceholder("Find a public room by name").fill("kit");
  await brunos.getByRole("button", { name: "Join: kitchen" }).click();
  await brunos.getByRole("heading", { name: "kitchen", exact: true }).waitFor();
  await anas.getByText("2 members · 2 online").waitFor();

  await write(anas, "¿Hay **café**?");
  await message(brunos, "¿Hay café?").locator("strong").waitFor();
  await brunos.getByRole("textbox", { name: /^Message / }).pressSequentially("Rec");
  await anas.getByText("Bruno Díaz is writing…").waitFor();
  await write(brunos, "Recién hecho.");
  await message(anas, "Recién hecho.").waitFor();
  await anas.getByText("is writing…").waitFor({ state: "detached" });
  assert.equal(await message(anas, "Recién hecho.").count(), 1);
  assert.equal(await message(brunos, "Recién hecho.").count(), 1);
});

test("what one has read, the other sees", async () => {
  await brunos.bringToFront();
  await message(anas, "¿Hay café?").waitFor();
  await write(anas, "Voy.");
  await message(brunos, "Voy.").waitFor();
  await message(anas, "Voy.").getByText("Read by 1").waitFor();
});

test("replies, reactions, edits and deletions reach the other", async () => {
  await act(brunos, "Voy.", "Reply");
  await write(brunos, "Te espero");
  await message(anas, "Te espero")
    .getByRole("button", { name: /Go to the message|Answer to Ana/ })
    .waitFor();

  await act(anas, "Te espero", "React");
  await anas.getByRole("menuitem", { name: "React with 🎉" }).click();
  await message(brunos, "Te espero").getByRole("button", { name: "🎉, 1", exact: true }).click();
  await message(anas, "Te espero").getByRole("button", { name: "🎉, 2, yours" }).click();
  await message(brunos, "Te espero").getByRole("button", { name: "🎉, 1, yours" }).waitFor();

  await act(brunos, "Te espero", "More");
  await brunos.getByRole("menuitem", { name: "Edit" }).click();
  await write(brunos, "Te espero sentado");
  await message(anas, "Te espero sentado").getByText("edited").waitFor();

  await act(anas, "Voy.", "More");
  await anas.getByRole("menuitem", { name: "Delete" }).click();
  await anas.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await brunos.locator("article", { hasText: "This message was deleted." }).first().waitFor();
  await message(brunos, "Voy.").waitFor({ state: "detached" });
});

test("somebody is found, written to directly, and sees what is unread", async () => {
  await brunos.getByRole("button", { name: "Write to somebody" }).click();
  await brunos.getByLabel("Find people").fill("ana");
  await brunos.getByRole("button", { name: "Message: Ana Lafuente" }).click();
  await brunos.getByRole("heading", { name: "Ana Lafuente", exact: true }).waitFor();
  await write(brunos, "Entre nosotros");
  const inbox = anas.getByRole("link", { name: /Bruno Díaz.*1 unread/ });
  await inbox.waitFor();
  assert.match(await anas.title(), /^\(1\) /);
  await inbox.click();
  await message(anas, "Entre nosotros").waitFor();
  await message(brunos, "Entre nosotros").getByText("Read").waitFor();
  await anas.getByRole("link", { name: /Bruno Díaz.*unread/ }).waitFor({ state: "detached" });
});

test("a mention is completed while it is written, and stands out", async () => {
  await brunos.getByRole("link", { name: /kitchen/ }).click();
  const field = brunos.getByRole("textbox", { name: /^Message / });
  await field.fill("");
  await field.pressSequentially("Ven, @la");
  await brunos.getByRole("option", { name: /Ana Lafuente/ }).waitFor();
  await field.press("Enter");
  assert.equal(await field.inputValue(), "Ven, @ana ");
  await field.press("Enter");
  await anas.getByRole("link", { name: /kitchen.*1 unread, you were mentioned/ }).click();
  await message(anas, "Ven, @ana").waitFor();
});

test("people are added to a room, but for those who are in it", async () => {
  await register(server, "brunilda", "Brunilda Sanz");
  await anas.getByRole("button", { name: "Room menu" }).click();
  await anas.getByRole("menuitem", { name: "Add people" }).click();
  await anas.getByLabel("Find people").fill("brun");
  const found = anas.getByRole("dialog").getByRole("listitem");
  await found.filter({ hasText: "@bruno" }).getByText("already here").waitFor();
  await anas.getByRole("button", { name: "Add people: Brunilda Sanz" }).click();
  await found.filter({ hasText: "@brunilda" }).getByText("already here").waitFor();
  await anas.keyboard.press("Escape");
  await anas.getByText("3 members").waitFor();
});

test("words are found, and lead to their message", async () => {
  await anas.getByRole("button", { name: "Search in this room" }).click();
  await anas.getByLabel("Words of a message").fill("sentado");
  await anas
    .getByRole("complementary")
    .getByRole("button", { name: /Te espero sentado/ })
    .click();
  await message(anas, "Te espero sentado").waitFor();
  // Without its markup.
  await anas.getByLabel("Words of a message").fill("hay");
  await anas.getByRole("complementary").getByText("¿Hay café?", { exact: true }).waitFor();
  await anas.getByRole("complementary").getByRole("button", { name: "Close" }).click();
});

test("a notification tells of a mention while the page is hidden", async () => {
  await anas.context().grantPermissions(["notifications"], { origin: server.url });
  await anas.evaluate(() => {
    localStorage.setItem("tertulia.preferences", JSON.stringify({ theme: "system", notify: true }));
    globalThis.sessionStorage.clear();
  });
  await anas.addInitScript(() => {
    globalThis.notices = [];
    globalThis.Notification = class {
      static permission = "granted";
      constructor(title, { body }) {
        globalThis.notices.push([title, body]);
      }
      close() {}
    };
    Object.defineProperty(document, "hidden", { get: () => globalThis.isHidden ?? false });
  });
  await anas.goto("/");
  await anas.locator('[data-connection="connected"]:visible').first().waitFor();
  await anas.evaluate(() => (globalThis.isHidden = true));
  await api(server, bruno.accessToken, "POST", `rooms/${kitchen.id}/messages`, { body: "nada para nadie" });
  await api(server, bruno.accessToken, "POST", `rooms/${kitchen.id}/messages`, { body: "@ana, mira esto" });
  await anas.waitForFunction(() => globalThis.notices.length > 0);
  assert.deepEqual(await anas.evaluate(() => globalThis.notices), [["Bruno Díaz mentioned you in kitchen", "@ana, mira esto"]]);
});

test("nothing was written to either console", () => {
  anas.mustBeClean();
  brunos.mustBeClean();
});

/** Uses one of the buttons that a message has under the pointer. */
async function act(page, body, button) {
  await message(page, body).first().hover();
  await message(page, body).first().getByRole("button", { name: button, exact: true }).click();
}
