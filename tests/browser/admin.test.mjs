// The dashboard: for administrators, from the keyboard too, on a phone, and with more rows than a page could hold.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, mustBeAccessible, open, signIn } from "./browser.mjs";
import { api, PASSWORD, register } from "./people.mjs";
import { Server } from "./server.mjs";

const SECTIONS = ["Sessions", "Instances", "Circuit breakers", "Rate limits", "Failed jobs", "Audit log", "Days", "API keys"];
const MANY = 100_000;

let server, browser, bruno;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  await register(server, "ana", "Ana Lafuente");
  bruno = await register(server, "bruno", "Bruno Díaz");
  await server.grant("ana");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const section = (page, name) => page.getByRole("navigation").getByRole("link", { name, exact: true });

/** The dashboard, as its administrator. */
async function dashboard(path, options) {
  const page = await open(browser, server, { path: `/admin/${path}`, ...options });
  await signIn(page, "ana");
  await section(page, "Audit log").waitFor();
  return page;
}

for (const colorScheme of ["light", "dark"]) {
  for (const [device, viewport] of [
    ["desktop", { width: 1280, height: 800 }],
    ["phone", { width: 360, height: 740 }],
  ]) {
    test(`axe finds no serious fault in any section: ${colorScheme}, ${device}`, async () => {
      const page = await dashboard("", { colorScheme, viewport });
      for (const name of SECTIONS) {
        await section(page, name).click();
        await page.getByRole("heading", { name, exact: true }).waitFor();
        await page.getByText("Loading…").waitFor({ state: "detached" });
        await mustBeAccessible(page, name);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${name} is ${overflow} px too wide`);
      }
      page.mustBeClean();
      await page.leave();
    });
  }
}

test("who isn't an administrator sees nothing of it", async () => {
  const page = await open(browser, server);
  await signIn(page, "bruno");
  await page.goto("/admin/audit");
  await page.getByText("This page is for staff and administrators.").waitFor();
  await page.getByRole("link", { name: "To my rooms" }).click();
  await page.getByRole("button", { name: "Settings" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Dashboard" }).count(), 0);
  page.mustBeClean();
  await page.leave();
});

test("of many rows only those in view are elements, and the keyboard walks through all", async () => {
  const page = await dashboard("days");
  const asked = new Set();
  await page.route("**/api/v1/admin/audit?*", (route) => {
    const query = new URL(route.request().url()).searchParams;
    const [number, limit] = [Number(query.get("page")), Number(query.get("limit"))];
    asked.add(number);
    const data = Array.from({ length: limit }, (_, n) => {
      const id = (number - 1) * limit + n + 1;
      return { id: String(id), at: "2026-01-31T09:30:00.000Z", action: `row.${id}`, outcome: "succeeded", actorKind: "system", instance: "one" };
    });
    return route.fulfill({ json: { data, pagination: { total: MANY, page: number, limit, totalPages: MANY / limit } } });
  });
  await section(page, "Audit log").click();
  await page.getByText("100,000 entries").waitFor();
  const rows = page.getByRole("grid").locator("[data-index]");
  const row = (n) => page.getByRole("gridcell", { name: `row.${n}`, exact: true });
  await row(1).waitFor();
  assert.ok((await rows.count()) < 80, "few are elements");
  await rows.first().focus();
  await page.keyboard.press("ArrowDown");
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-rowindex"));
  assert.equal(await focused(), "3");
  await page.keyboard.press("End");
  await row(MANY).waitFor();
  assert.equal(await focused(), String(MANY + 1));
  assert.equal(await page.getByRole("grid").getAttribute("aria-rowcount"), String(MANY + 1));
  assert.ok((await rows.count()) < 80, "few are elements at the end");
  await page.keyboard.press("PageUp");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  // From one end to the other in steps that no page could be read in.
  const grid = page.getByRole("grid");
  const before = asked.size;
  await grid.evaluate(async (element) => {
    for (let step = 0; step <= 60; step++) {
      element.scrollTop = (element.scrollHeight * step) / 60;
      await new Promise(requestAnimationFrame);
    }
    element.scrollTop = element.scrollHeight / 2;
  });
  await row(MANY / 2).waitFor();
  assert.ok(asked.size - before < 60, "what is scrolled past isn't asked for");
  page.mustBeClean();
  await page.leave();
});

test("an administrator ends a session, and its page goes", async () => {
  const other = await open(browser, server);
  await signIn(other, "bruno");
  const page = await dashboard(`sessions?user=${bruno.user.id}`);
  await page.getByText("Bruno Díaz").waitFor();
  await page.getByRole("gridcell").first().waitFor();
  await page.getByRole("button", { name: "Sign out everywhere" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Sign out everywhere" }).click();
  await other.getByText("This device was signed out.").waitFor();
  await page.getByText("Signed in nowhere.").waitFor();
  page.mustBeClean();
  await Promise.all([page.leave(), other.leave()]);
});

test("the audit log is filtered, read and saved", async () => {
  await api(server, undefined, "POST", "auth/login", { username: "bruno", password: PASSWORD });
  const page = await dashboard("audit");
  await page.getByRole("button", { name: "Filters" }).click();
  await page.getByLabel("Action").fill("session.sign_in");
  await page.getByLabel("User id").fill(bruno.user.id);
  await page.getByRole("button", { name: "Apply" }).click();
  const cell = page.getByRole("gridcell", { name: "session.sign_in" }).first();
  await cell.waitFor();
  await page.getByText(/^\d+ entr(y|ies)$/).waitFor();
  await cell.click();
  await page.getByRole("dialog").getByText("Bruno Díaz").waitFor();
  await mustBeAccessible(page, "an entry");
  await page.keyboard.press("Escape");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export" }).click()]);
  const lines = (await readFile(await download.path(), "utf8")).trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.length > 0 && lines.every(({ action, actorId }) => action === "session.sign_in" && actorId === bruno.user.id));
  page.mustBeClean();
  await page.leave();
});

test("what is counted of a user is shown, and forgotten", async () => {
  const page = await dashboard("rate-limits");
  await page.getByRole("searchbox", { name: "Find a user by name" }).fill("bruno");
  await page.getByRole("button", { name: /Bruno Díaz/ }).click();
  await page.getByRole("gridcell", { name: "messages", exact: true }).waitFor();
  await mustBeAccessible(page, "rate limits of a user");
  await page.getByRole("button", { name: "Clear all" }).click();
  await page.getByText("Done.").waitFor();
  page.mustBeClean();
  await page.leave();
});

test("a circuit is opened and closed", async () => {
  const page = await dashboard("circuits");
  let mode = "automatic";
  const circuit = () => ({
    name: "mail", state: mode === "open" ? "open" : "closed", mode, failureThreshold: 50, recoveryTimeoutMs: 1_000, calls: 8, failures: 1, rejected: 0,
  });
  await page.route("**/api/v1/admin/circuits", (route) => route.fulfill({ json: { circuits: [circuit()], hasMore: false } }));
  await page.route("**/api/v1/admin/circuits/mail", (route) => {
    mode = route.request().postDataJSON().state;
    return route.fulfill({ json: { circuit: circuit() } });
  });
  await page.getByRole("button", { name: "Refresh" }).click();
  const actions = page.getByRole("button", { name: "Actions: mail" });
  await actions.click();
  await page.getByRole("menuitem", { name: "Open" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Open" }).click();
  await page.getByRole("gridcell", { name: "open", exact: true }).waitFor();
  await actions.click();
  await page.getByRole("menuitem", { name: "Let outcomes decide" }).click();
  await page.getByRole("gridcell", { name: "closed", exact: true }).waitFor();
  page.mustBeClean();
  await page.leave();
});

test("failed jobs are tried again or forgotten", async () => {
  const page = await dashboard("instances");
  let jobs = ["one", "two"].map((id) => ({ kind: "image.process", id, enqueuedAt: "2026-01-31T09:30:00.000Z", diedAt: "2026-01-31T10:30:00.000Z", attempts: 5, error: "out of memory" }));
  const settled = [];
  await page.route("**/api/v1/admin/jobs**", (route) => {
    if (route.request().method() === "GET")
      return route.fulfill({ json: { data: jobs, pagination: { total: jobs.length, page: 1, limit: 100, totalPages: 1 } } });
    const request = route.request().postDataJSON();
    settled.push(request);
    jobs = jobs.filter(({ id }) => id !== request.id);
    return route.fulfill({ json: { jobs: 1 } });
  });
  await section(page, "Failed jobs").click();
  await page.getByRole("button", { name: "Actions: image.process one" }).click();
  await page.getByRole("menuitem", { name: "Try again" }).click();
  await page.getByRole("button", { name: "Actions: image.process one" }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Actions: image.process two" }).click();
  await page.getByRole("menuitem", { name: "Forget" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Forget" }).click();
  await page.getByText("No job has failed for good.").waitFor();
  assert.deepEqual(settled.map(({ action, id }) => [action, id]), [["replay", "one"], ["drop", "two"]]);
  page.mustBeClean();
  await page.leave();
});

test("a key is made, shown once and revoked", async () => {
  const page = await dashboard("keys");
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByLabel("What it is for").fill("The till");
  await page.getByRole("dialog").getByRole("button", { name: "New key" }).click();
  await page.getByText("This is the key. It isn’t shown again.").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
  await page.getByRole("button", { name: "Actions: The till" }).click();
  await page.getByRole("menuitem", { name: "Revoke" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByText("There are no keys.").waitFor();
  page.mustBeClean();
  await page.leave();
});
