// What happened while one looked elsewhere: told on every device, in the list, on the page's icon, and by push.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connected, launch, message, mustBeAccessible, open, signIn, write } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

let server, browser, ana, bruno, kitchen, garden, anas, phone;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana Lafuente");
  bruno = await register(server, "bruno", "Bruno Díaz");
  kitchen = await makeRoom(server, bruno, "kitchen");
  garden = await makeRoom(server, bruno, "garden");
  for (const { id } of [kitchen, garden]) await api(server, bruno.accessToken, "PUT", `rooms/${id}/members/${ana.user.id}`, {});
  anas = await open(browser, server);
  phone = await open(browser, server, { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true, colorScheme: "dark" });
  await signIn(anas, "ana");
  await signIn(phone, "ana");
  // Those two were invitations.
  await bell(anas, 2).waitFor();
  await api(server, ana.accessToken, "POST", "notifications/read-all");
  await bell(anas, 0).waitFor();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const say = ({ id }, body) => api(server, bruno.accessToken, "POST", `rooms/${id}/messages`, { body });
const bell = (page, unread) =>
  page.getByRole("button", { name: unread > 0 ? `Notifications, ${unread} unread` : "Notifications", exact: true });

test("a mention is told on every device, leads to its message, and is read on all of them", async () => {
  await say(garden, "nothing for anybody");
  await say(kitchen, "@ana can you bring the keys?");
  for (const page of [anas, phone]) await bell(page, 1).waitFor();
  await bell(anas, 1).click();
  await anas.getByRole("dialog").getByRole("button", { name: /Mention.*Bruno Díaz.*can you bring the keys/ }).click();
  await anas.getByRole("heading", { name: "kitchen", exact: true }).waitFor();
  await message(anas, "can you bring the keys?").waitFor();
  for (const page of [anas, phone]) await bell(page, 0).waitFor();
});

test("all are marked as read at once", async () => {
  await anas.goto("/");
  await connected(anas);
  for (const body of ["@ana one", "@ana two"]) await say(garden, body);
  await bell(phone, 2).click();
  const dialog = phone.getByRole("dialog", { name: "Notifications" });
  await dialog.getByRole("button", { name: /@ana two/ }).waitFor();
  await mustBeAccessible(phone, "notifications");
  await dialog.getByRole("button", { name: "Mark all as read" }).click();
  await dialog.getByText("0 unread").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await bell(anas, 0).waitFor();
});

test("the page's icon and title count what is unread", async () => {
  const icon = () => anas.evaluate(() => document.querySelector('link[rel="icon"]').href);
  await anas.waitForFunction(() => /^\(\d+\) /.test(document.title));
  await anas.waitForFunction(() => document.querySelector('link[rel="icon"]').href.startsWith("blob:"));
  const first = await icon();
  await say(garden, "one more");
  await anas.waitForFunction((first) => document.querySelector('link[rel="icon"]').href !== first, first);
  for (const name of [/kitchen/, /garden/]) await anas.getByRole("link", { name }).first().click();
  await anas.waitForFunction(() => document.title === "Tertulia");
  await anas.waitForFunction(() => document.querySelector('link[rel="icon"]').href.endsWith("/favicon.svg"));
});

test("a room tells of what its reader wants", async () => {
  await anas.getByRole("link", { name: /garden/ }).first().click();
  await anas.getByRole("button", { name: "Room menu" }).click();
  await anas.getByRole("menuitem", { name: "Notifications of this room" }).click();
  const dialog = anas.getByRole("dialog", { name: "Notifications of this room" });
  await dialog.getByRole("radio", { name: "Mentions of me and answers to me" }).waitFor();
  assert.ok(await dialog.getByRole("radio", { name: "Mentions of me and answers to me" }).isChecked());
  await mustBeAccessible(anas, "notifications of a room");
  await dialog.getByRole("radio", { name: "Nothing" }).check();
  const set = () => api(server, ana.accessToken, "GET", `rooms/${garden.id}/preferences`);
  for (let tries = 0; (await set()).notify !== "nothing"; tries++) assert.ok(tries < 100, "the room's preference is stored");
  await anas.keyboard.press("Escape");
  await anas.goto("/");
  await connected(anas);
  await say(garden, "@ana not for you");
  await say(kitchen, "@ana for you");
  await bell(anas, 1).click();
  await anas.getByRole("dialog").getByRole("button", { name: /for you/ }).waitFor();
  assert.equal(await anas.getByRole("dialog").getByText("not for you").count(), 0);
  await anas.keyboard.press("Escape");
});

test("of choices in a row the last one stays, however slow the first", async () => {
  await anas.getByRole("link", { name: /kitchen/ }).first().click();
  await anas.getByRole("button", { name: "Room menu" }).click();
  await anas.getByRole("menuitem", { name: "Notifications of this room" }).click();
  const choice = (name) => anas.getByRole("dialog").getByRole("radio", { name });
  await choice("Every message").waitFor();
  let release;
  const released = new Promise((resolve) => (release = resolve));
  let held = 0;
  await anas.route(/rooms\/[^/]+\/preferences/, async (route) => {
    if (route.request().method() === "PUT" && held++ === 0) await released;
    await route.continue();
  });
  await choice("Every message").check();
  await choice("Nothing").check();
  await choice("Mentions of me and answers to me").check();
  assert.ok(await choice("Mentions of me and answers to me").isChecked());
  const answered = anas.waitForResponse((response) => response.request().postData()?.includes("mentions") ?? false);
  release();
  await answered;
  assert.ok(await choice("Mentions of me and answers to me").isChecked());
  assert.equal((await api(server, ana.accessToken, "GET", `rooms/${kitchen.id}/preferences`)).notify, "mentions");
  await anas.unroute(/rooms\/[^/]+\/preferences/);
  await anas.keyboard.press("Escape");
});

test("mail and quiet hours are chosen, with the time zone of the browser", async () => {
  await anas.getByRole("button", { name: "Settings" }).click();
  await anas.getByRole("tab", { name: "Notifications" }).click();
  await anas.getByRole("checkbox", { name: "Don’t disturb me at certain hours" }).check();
  await anas.getByLabel("from").fill("23:30");
  const stored = () => api(server, ana.accessToken, "GET", "me/preferences");
  for (let tries = 0; (await stored()).quietHours?.from !== "23:30"; tries++) assert.ok(tries < 200, "quiet hours are stored");
  assert.deepEqual((await stored()).quietHours, { from: "23:30", to: "08:00", timeZone: "Europe/Madrid" });
  await mustBeAccessible(anas, "settings of notifications");
  await anas.getByRole("checkbox", { name: "Don’t disturb me at certain hours" }).uncheck();
  for (let tries = 0; (await stored()).quietHours; tries++) assert.ok(tries < 200, "they are gone");
  const mail = anas.getByRole("checkbox", { name: /Send me a mail/ });
  const before = await mail.isChecked();
  await mail.click();
  for (let tries = 0; (await stored()).mail === before; tries++) assert.ok(tries < 200, "mail is stored");
  await anas.keyboard.press("Escape");
});

test("push is asked for when it is turned on, shows what comes, and opens its room", async () => {
  const page = await open(browser, server, {
    init: () => {
      // There is no push service here. What the browser would have of one is made up.
      globalThis.asked = 0;
      const ask = Notification.requestPermission;
      Notification.requestPermission = () => {
        globalThis.asked++;
        return ask.call(Notification);
      };
      let subscription = null;
      PushManager.prototype.subscribe = async (options) => {
        const keys = { p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", auth: "BTBZMqHH6r4Tts7J_aSIgg" };
        const endpoint = "https://push.example.org/one";
        globalThis.subscribed = () => subscription !== null;
        return (subscription = { endpoint, options, toJSON: () => ({ endpoint, keys }), unsubscribe: async () => ((subscription = null), true) });
      };
      PushManager.prototype.getSubscription = async () => subscription;
    },
  });
  await page.context().grantPermissions(["notifications"], { origin: server.url });
  const devices = [];
  await page.route("**/api/v1/push/key", (route) => route.fulfill({ json: { publicKey: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4" } }));
  await page.route("**/api/v1/devices/*", (route) => {
    devices.push([route.request().method(), route.request().postDataJSON()]);
    return route.fulfill({ status: 204 });
  });
  await signIn(page, "ana");
  assert.equal(await page.evaluate(() => globalThis.asked), 0);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("tab", { name: "Notifications" }).click();
  const box = page.getByRole("checkbox", { name: "Notify me on this device also when the page is closed" });
  await box.check();
  // What was chosen holds once it is so.
  await page.locator("input[aria-busy=true]").waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => globalThis.asked), 1);
  assert.equal(devices[0][0], "PUT");
  assert.equal(devices[0][1].kind, "web");
  assert.equal(devices[0][1].endpoint, "https://push.example.org/one");
  assert.ok((await api(server, ana.accessToken, "GET", "me/preferences")).push);
  await page.keyboard.press("Escape");

  const devtools = await page.context().newCDPSession(page);
  const registered = new Promise((resolve) =>
    devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => registrations[0] && resolve(registrations[0].registrationId)),
  );
  await devtools.send("ServiceWorker.enable");
  await devtools.send("ServiceWorker.deliverPushMessage", {
    origin: server.url,
    registrationId: await registered,
    data: JSON.stringify({ title: "Bruno Díaz · kitchen", body: "Are you there?", data: { roomId: kitchen.id } }),
  });
  await page.waitForFunction(async () => {
    const registration = await navigator.serviceWorker.ready;
    const [shown] = await registration.getNotifications();
    return shown?.title === "Bruno Díaz · kitchen" && shown.body === "Are you there?";
  });
  const [worker] = page.context().serviceWorkers();
  // The last one that was looked at isn't the client.
  const viewer = await page.context().newPage();
  await viewer.goto(`${server.url}/api/docs`);
  await worker.evaluate(async () => {
    const [notification] = await self.registration.getNotifications();
    self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
  });
  await page.getByRole("heading", { name: "kitchen", exact: true }).waitFor();
  await viewer.close();

  // What the browser has lost, as what was for another key, is had anew by itself.
  const known = devices.length;
  await page.reload();
  for (let tries = 0; devices.length === known; tries++) {
    assert.ok(tries < 100, "the device is registered again");
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 50)));
  }
  assert.equal(devices.at(-1)[0], "PUT");
  assert.ok(await page.evaluate(() => globalThis.subscribed()));

  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("tab", { name: "Notifications" }).click();
  await box.uncheck();
  for (let tries = 0; devices.at(-1)[0] !== "DELETE"; tries++) {
    assert.ok(tries < 100, "the device is forgotten");
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 50)));
  }

  // Signing out leaves nothing in the browser, whether the server answers or not.
  await box.check();
  await page.locator("input[aria-busy=true]").waitFor({ state: "detached" });
  await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    await registration.showNotification("for Ana alone");
  });
  await page.unroute("**/api/v1/devices/*");
  await page.route("**/api/v1/devices/*", () => {});
  await page.getByRole("tab", { name: "Profile" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await page.waitForFunction(async () => {
    const registration = await navigator.serviceWorker.ready;
    return !globalThis.subscribed() && (await registration.getNotifications()).length === 0;
  });
  assert.equal(await page.evaluate(() => localStorage.getItem("tertulia.push")), null);
  page.mustBeClean();
  await page.leave();
});

test("nothing was written to either console", () => {
  anas.mustBeClean();
  phone.mustBeClean();
});
