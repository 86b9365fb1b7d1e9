// Pictures on other origins than the page's: uploads go straight to a bucket, and what is shown comes from a CDN.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { after, before, test } from "node:test";
import { launch, message, open, signIn, write } from "./browser.mjs";
import { makeRoom, register } from "./people.mjs";
import { STORED, choose, picture, textFile } from "./pictures.mjs";
import { Server } from "./server.mjs";
import { settingsOf } from "./services.mjs";

let bucket, browser;

before(async () => {
  [bucket, browser] = await Promise.all([settingsOf("s3", "S3_"), launch()]);
});

after(() => browser?.close());

/** Ana and Bruno in a room of a server. */
async function conversation(env) {
  const server = await Server.start({ ...bucket, ...env });
  const ana = await register(server, "ana", "Ana Lafuente");
  await register(server, "bruno", "Bruno Díaz");
  const { id } = await makeRoom(server, ana, "kitchen");
  const pages = await Promise.all(["ana", "bruno"].map(() => open(browser, server, { path: `/rooms/${id}` })));
  await Promise.all([signIn(pages[0], "ana"), signIn(pages[1], "bruno")]);
  await pages[1].getByRole("button", { name: "Join" }).click();
  const stop = async () => {
    for (const page of pages) await page.leave();
    await server.stop();
  };
  return { server, pages, stop };
}

const uploaded = (page) => page.locator('[data-upload="ready"]').waitFor();
const shown = (page, name) => page.getByRole("button", { name: `Open the picture ${name}` });
const source = (locator) => locator.locator(STORED).evaluate((img) => img.decode().then(() => img.currentSrc));

/** Both send a picture, and see the other's; the answer has where each upload went and where each picture came from. */
async function exchange([anas, brunos]) {
  const sent = [];
  for (const page of [anas, brunos]) page.on("request", (request) => request.method() === "PUT" && sent.push(new URL(request.url()).origin));
  const seen = [];
  for (const [page, other, name] of [
    [anas, brunos, "oven.png"],
    [brunos, anas, "bread.png"],
  ]) {
    await choose(page, await picture(browser, { name, width: 1200, height: 800 }));
    await uploaded(page);
    await write(page, `Look: ${name}`);
    await message(other, `Look: ${name}`).waitFor();
    for (const each of [anas, brunos]) {
      await shown(each, name).waitFor();
      seen.push(new URL(await source(shown(each, name))).origin);
    }
  }
  return { sent, seen };
}

test("two people exchange pictures through a bucket on another origin", async () => {
  const { server, pages, stop } = await conversation();
  const { sent, seen } = await exchange(pages);
  const { origin } = new URL(bucket.S3_PUBLIC_ENDPOINT ?? bucket.S3_ENDPOINT);
  assert.notEqual(origin, server.url);
  assert.deepEqual([...new Set(sent)], [origin]);
  // The bucket shows nothing to anybody.
  assert.deepEqual([...new Set(seen)], [server.url]);
  await choose(pages[0], textFile("shopping list.txt"));
  await uploaded(pages[0]);
  await write(pages[0], "And the list");
  const [download] = await Promise.all([
    pages[1].waitForEvent("download"),
    message(pages[1], "And the list").getByRole("link", { name: /shopping list/ }).click(),
  ]);
  assert.equal(download.suggestedFilename(), "shopping list.txt");
  for (const page of pages) page.mustBeClean();
  await stop();
});

test("pictures come from the CDN that stands in front of them", async () => {
  let server;
  // Asks the server for what is below its path, as a CDN would.
  const cdn = createServer((asked, answer) => {
    const path = asked.url.replace(/^\/chat/, "");
    request(`${server.url}${path}`, { headers: { range: asked.headers.range ?? "" } }, (had) => {
      answer.writeHead(had.statusCode, had.headers);
      had.pipe(answer);
    }).end();
  }).listen(0, "127.0.0.1");
  await once(cdn, "listening");
  const origin = `http://127.0.0.1:${cdn.address().port}`;
  const talk = await conversation({ CDN_URL: `${origin}/chat` });
  server = talk.server;
  const { seen } = await exchange(talk.pages);
  assert.deepEqual([...new Set(seen)], [origin]);
  // What the CDN doesn't serve is refused by the page.
  const refused = await talk.pages[0].evaluate(
    (url) =>
      new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => resolve(effectiveDirective), { once: true });
        new Image().src = url;
      }),
    `${origin}/elsewhere/media/x.png`,
  );
  assert.equal(refused, "img-src");
  talk.pages[1].mustBeClean();
  await talk.stop();
  cdn.close();
  cdn.closeAllConnections();
});
