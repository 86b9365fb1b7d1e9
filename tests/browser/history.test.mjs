// A room with a long history: how it scrolls, and how soon a new message is on the screen.
//
// The figures are printed. What is asserted leaves room for a loaded machine without a graphics card; what must be
// exact (nothing jumps, nothing is missing) is asserted exactly.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, open, signIn } from "./browser.mjs";
import { api, fill, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

const MESSAGES = 50_000;
const LAST = "the last of all";
/** Frames a second that even a machine with other things to do reaches. */
const FLOOR_FPS = 20;
/** The same for a message from the socket to the screen. */
const CEILING_MS = 250;

let server, browser, ana, bruno, room, page;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", "Ana");
  bruno = await register(server, "bruno", "Bruno");
  room = await makeRoom(server, ana, "archive");
  await api(server, ana.accessToken, "PUT", `rooms/${room.id}/members/${bruno.user.id}`, {});
  const bodyOf = (name) => (n) => (n % 7 === 0 ? `${name} ${n}\nwith a second line and **some** \`formatting\`` : `${name} ${n}`);
  // Side by side, so that the two take turns and nearly every row has a header.
  await Promise.all([
    fill(server, ana, room.id, MESSAGES / 2, bodyOf("Message")),
    fill(server, bruno, room.id, MESSAGES / 2 - 1, bodyOf("Answer")),
  ]);
  await api(server, bruno.accessToken, "POST", `rooms/${room.id}/messages`, { body: LAST });
  page = await open(browser, server, { path: `/rooms/${room.id}` });
  await signIn(page, "ana");
  await message(page, LAST).waitFor();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("loading what is older moves nothing that is seen", async () => {
  await rest();
  const jumps = await page.getByRole("feed").evaluate(async (feed) => {
    const frame = () => new Promise(requestAnimationFrame);
    let worst = 0;
    for (let step = 0; step < 60; step++) {
      const box = feed.getBoundingClientRect();
      const seen = [...feed.querySelectorAll("article[data-seq]")].find(
        (article) => article.getBoundingClientRect().top > box.top + box.height / 3,
      );
      const { seq } = seen.dataset;
      const before = seen.getBoundingClientRect().top;
      feed.scrollTop -= 150;
      await frame();
      await frame();
      const now = feed.querySelector(`article[data-seq="${seq}"]`)?.getBoundingClientRect().top;
      worst = Math.max(worst, Math.abs(now - before - 150));
    }
    return worst;
  });
  assert.ok(jumps < 3, `moved ${jumps} px more than it was scrolled`);
});

test("all of it is loaded by scrolling, without a hole", async () => {
  const { fps, milliseconds } = await page.getByRole("feed").evaluate(async (feed) => {
    const frame = () => new Promise(requestAnimationFrame);
    const began = performance.now();
    let frames = 0;
    while (!feed.querySelector('article[data-seq="1"]') && performance.now() - began < 240_000) {
      feed.scrollTop -= 1_500;
      await frame();
      frames++;
    }
    const milliseconds = performance.now() - began;
    return { fps: (frames * 1000) / milliseconds, milliseconds };
  });
  console.log(`${MESSAGES} messages loaded by scrolling in ${Math.round(milliseconds / 100) / 10} s at ${Math.round(fps)} frames a second`);
  await page.locator('article[data-seq="1"]').waitFor();
  await page.getByText("This is the beginning of archive.").waitFor();
});

test("it scrolls smoothly with all of it loaded", async () => {
  const { fps, slowest, elements, holes } = await page.getByRole("feed").evaluate(async (feed) => {
    const frame = () => new Promise(requestAnimationFrame);
    const times = [];
    let holes = 0;
    let last = await frame();
    // Down as with a wheel, then in great leaps as with the bar.
    for (let step = 0; step < 240; step++) {
      feed.scrollTop += step < 180 ? 120 : feed.scrollHeight / 70;
      const now = await frame();
      times.push(now - last);
      last = now;
      const seqs = [...feed.querySelectorAll("article[data-seq]")].map(({ dataset }) => Number(dataset.seq));
      if (seqs.some((seq, index) => index > 0 && seq !== seqs[index - 1] + 1)) holes++;
    }
    times.sort((a, b) => a - b);
    const total = times.reduce((sum, time) => sum + time, 0);
    return {
      fps: (times.length * 1000) / total,
      slowest: times[Math.floor(times.length * 0.95)],
      elements: feed.querySelectorAll("article").length,
      holes,
    };
  });
  console.log(
    `scrolling ${MESSAGES} messages: ${fps.toFixed(1)} frames a second, 95 % within ${slowest.toFixed(1)} ms, ${elements} rows in the page`,
  );
  assert.equal(holes, 0);
  assert.ok(elements < 200, "only what is near the eye is in the page");
  assert.ok(fps >= FLOOR_FPS, `${fps} frames a second`);
});

test("a new message is on the screen at once", async () => {
  await page.getByRole("button", { name: /To the newest message/ }).click();
  await message(page, LAST).waitFor();
  await rest();
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Network.enable");
  // The browser's own clock says when the socket got the frame and when the row was painted.
  const received = new Map();
  cdp.on("Network.webSocketFrameReceived", ({ timestamp, response }) => {
    const body = /"body":"(probe \d+)"/.exec(response.payloadData)?.[1];
    if (body) received.set(body, timestamp * 1000);
  });
  await page.evaluate(() => {
    globalThis.painted = {};
    new MutationObserver(() => {
      const rows = document.querySelectorAll("article[data-seq]");
      const body = /probe \d+/.exec(rows[rows.length - 1]?.textContent ?? "")?.[0];
      if (!body || body in globalThis.painted) return;
      globalThis.painted[body] = Infinity;
      requestAnimationFrame(() => setTimeout(() => (globalThis.painted[body] = performance.timeOrigin + performance.now())));
    }).observe(document.querySelector('[role="feed"]'), { childList: true, subtree: true });
  });
  const { timestamp } = (await cdp.send("Performance.enable"), await cdp.send("Performance.getMetrics")).metrics.reduce(
    (all, { name, value }) => ({ ...all, [name === "Timestamp" ? "timestamp" : name]: value }),
    {},
  );
  const offset = (await page.evaluate(() => performance.timeOrigin + performance.now())) - timestamp * 1000;
  const PROBES = 20;
  for (let n = 1; n <= PROBES; n++) {
    await api(server, bruno.accessToken, "POST", `rooms/${room.id}/messages`, { body: `probe ${n}` });
    await page.waitForFunction((body) => Number.isFinite(globalThis.painted[body]), `probe ${n}`);
  }
  const painted = await page.evaluate(() => globalThis.painted);
  const delays = Object.entries(painted)
    .map(([body, at]) => at - offset - received.get(body))
    .sort((a, b) => a - b);
  const median = delays[Math.floor(delays.length / 2)];
  console.log(
    `from the socket to the screen with ${MESSAGES} messages loaded: median ${median.toFixed(1)} ms, worst ${delays.at(-1).toFixed(1)} ms of ${delays.length}`,
  );
  assert.equal(delays.length, PROBES);
  assert.ok(median < CEILING_MS, `${median} ms`);
});

test("a jump into the past and back leaves no hole", async () => {
  await page.goto(`/rooms/${room.id}`);
  await message(page, "probe 20").waitFor();
  await page.getByRole("button", { name: "Search in this room" }).click();
  await page.getByLabel("Words of a message").fill("Message 12345");
  await page
    .getByRole("complementary")
    .getByRole("button", { name: /Message 12345$/ })
    .click();
  await message(page, "Message 12345").waitFor();
  // Newer ones are loaded by going down.
  const found = Number(await message(page, "Message 12345").getAttribute("data-seq"));
  const further = `article[data-seq="${found + 700}"]`;
  await page.getByRole("feed").evaluate(async (feed, further) => {
    for (let step = 0; step < 500 && !feed.querySelector(further); step++) {
      feed.scrollTop += 300;
      await new Promise(requestAnimationFrame);
    }
  }, further);
  await page.locator(further).waitFor();
  await page.getByRole("button", { name: /newest message/ }).click();
  await message(page, "probe 20").waitFor();
  page.mustBeClean();
});

/** Waits until the list neither loads nor moves. */
async function rest() {
  await page.getByRole("feed").evaluate(async (feed) => {
    let still = 0;
    let height = 0;
    const until = performance.now() + 20_000;
    while (still < 10) {
      if (performance.now() > until) throw new Error("the list never rests");
      await new Promise(requestAnimationFrame);
      still = feed.getAttribute("aria-busy") === "false" && feed.scrollHeight === height ? still + 1 : 0;
      height = feed.scrollHeight;
    }
  });
}
