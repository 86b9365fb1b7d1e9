// What others write is text, whatever it looks like; and the page's policy lets nothing inline run.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, signIn } from "./browser.mjs";
import { api, makeRoom, register } from "./people.mjs";
import { Server } from "./server.mjs";

const HOSTILE = [
  "<script>globalThis.pwned = 1</script>",
  '<img src=x onerror="globalThis.pwned = 1">',
  "<svg/onload=globalThis.pwned=1>",
  "[x](javascript:globalThis.pwned=1) javascript:globalThis.pwned=1",
  'https://example.org/"onmouseover="globalThis.pwned=1',
  '```html\n<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>\n```',
  "`</code><script>globalThis.pwned=1</script>`",
  "@<script>globalThis.pwned=1</script>",
  "\u202eright to left\u202c and \u0007 control",
  "{{constructor.constructor('globalThis.pwned=1')()}}",
];

let server, browser, ana;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  ana = await register(server, "ana", '<b onclick="pwned=1">Ana</b>');
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("hostile text stays text", async () => {
  const room = await makeRoom(server, ana, "<script>globalThis.pwned=1</script>");
  for (const body of HOSTILE) await api(server, ana.accessToken, "POST", `rooms/${room.id}/messages`, { body });
  const page = await open(browser, server, { path: `/rooms/${room.id}` });
  await signIn(page, "ana");
  const articles = page.locator("article[data-seq]");
  await articles.nth(HOSTILE.length - 1).waitFor();
  for (let index = 0; index < HOSTILE.length - 1; index++) {
    const shown = await articles.nth(index).locator('[class*="body"]').first().textContent();
    assert.equal(shown.replaceAll("`", ""), HOSTILE[index].replace(/```html\n|\n```/g, "").replaceAll("`", ""));
  }
  assert.equal(
    await page
      .locator(
        "article script, article img, article iframe, article svg[onload], article [onerror], article [onmouseover], article [onclick]",
      )
      .count(),
    0,
  );
  const links = await page.locator("article a").evaluateAll((links) => links.map(({ protocol, rel }) => [protocol, rel]));
  assert.ok(links.length > 0 && links.every(([protocol, rel]) => protocol === "https:" && rel.includes("noopener")), JSON.stringify(links));
  assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
  page.mustBeClean();
});

test("the page's policy allows nothing inline, and its files are kept", async () => {
  const page = await fetch(`${server.url}/rooms/anything`, { headers: { accept: "text/html" } });
  const policy = page.headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(page.headers.get("cache-control"), "no-cache");
  const html = await page.text();
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=/);
  const script = /src="(\/assets\/[^"]+)"/.exec(html)[1];
  const file = await fetch(server.url + script, { headers: { "accept-encoding": "br" } });
  assert.equal(file.headers.get("content-encoding"), "br");
  assert.match(file.headers.get("cache-control"), /immutable/);
  const again = await fetch(`${server.url}/`, { headers: { accept: "text/html", "if-none-match": page.headers.get("etag") } });
  assert.equal(again.status, 304);
  const api = await fetch(`${server.url}/api/v1/none`, { headers: { accept: "text/html" } });
  assert.equal(api.status, 404);
});
