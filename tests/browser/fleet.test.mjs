// Pictures on a whole fleet: instances behind nginx, a bucket, a broker and a worker, two of which are killed meanwhile.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { launch, message, open, signIn, write } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { STORED, choose, picture } from "./pictures.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
// That of the tests which break services.
const STACK_DIR = join(root, "target/stack-of-faults");
const env = {
  ...process.env,
  STACK_DIR,
  TERTULIA: join(root, "target/debug/server-under-test"),
  TERTULIA_WORKER: join(root, "target/debug/tertulia-worker"),
};

const script = async (name, ...words) => (await promisify(execFile)(name, words, { cwd: root, env })).stdout.trim();
const startWhatDoesNotRun = () => script("scripts/fleet", "up", "2");
const kill = async (member) => process.kill(Number(await readFile(join(STACK_DIR, member, "pid"), "utf8")), "SIGKILL");

let server, browser;

before(async () => {
  const [started, launched] = await Promise.all([startWhatDoesNotRun(), launch()]);
  browser = launched;
  server = { url: started.split(" ").at(-1) };
});

after(async () => {
  await browser?.close();
  await script("scripts/fleet", "down");
});

const shown = (page, name) => page.getByRole("button", { name: `Open the picture ${name}` });
const isSeen = (page, name) => shown(page, name).locator(STORED).evaluate((img) => img.decode());

async function send(page, name, body) {
  await choose(page, await picture(browser, { name, width: 1200, height: 800 }));
  await page.locator('[data-upload="ready"]').waitFor();
  await write(page, body);
}

test("two people exchange pictures while the broker and the worker are killed", async () => {
  // The services keep what they hold from one run to the next.
  const names = ["ana", "bruno"].map((name) => `${name}-${Date.now().toString(36)}`);
  const [ana, bruno] = await Promise.all(names.map((name) => register(server, name, name)));
  const { id } = await makeRoom(server, ana, "kitchen", "private");
  await api(server, ana.accessToken, "PUT", `rooms/${id}/members/${bruno.user.id}`, {});
  const pages = await Promise.all(names.map(() => open(browser, server, { path: `/rooms/${id}` })));
  const [anas, brunos] = pages;
  await Promise.all(pages.map((page, index) => signIn(page, names[index])));

  await send(anas, "oven.png", "The new oven");
  for (const page of pages) await isSeen(page, "oven.png");

  await kill("rabbitmq/broker");
  await kill("fleet/worker");
  await send(brunos, "bread.png", "The first bread");
  // The message is there before its picture.
  for (const page of pages) await message(page, "The first bread").locator('[data-attachment="processing"]').waitFor();
  await startWhatDoesNotRun();
  for (const page of pages) await isSeen(page, "bread.png");

  for (const page of pages) {
    page.mustBeClean();
    await page.leave();
  }
});
