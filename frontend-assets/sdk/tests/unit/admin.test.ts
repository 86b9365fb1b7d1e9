// Administration: a method for each route, and an export that isn't read on the way.

import { expect, test } from "vitest";

import { Admin } from "../../src/admin.js";
import { memoryStorage, Tertulia } from "../../src/index.js";
import { json } from "./model-server.js";

const asked: string[] = [];

function admin(answer: () => Response): Admin {
  asked.length = 0;
  const fetch = async (url: unknown, init?: RequestInit): Promise<Response> => {
    const { pathname, search } = new URL(String(url));
    asked.push(`${init?.method} ${pathname.replace("/api/v1/admin/", "")}${search}`);
    return answer();
  };
  return new Admin(new Tertulia({ url: "https://chat.example", storage: memoryStorage(), fetch: fetch as typeof globalThis.fetch }));
}

test("each method asks its route", async () => {
  const circuit = { name: "mail" };
  const all = admin(() => json(200, { circuits: [circuit], circuit, jobs: 2, sessions: [] }));
  expect(await all.circuits()).toEqual([circuit]);
  expect(await all.setCircuit("mail", "open")).toEqual(circuit);
  expect(await all.settleDeadJobs({ action: "drop", kind: "image.process" })).toBe(2);
  await all.sessions("a b");
  await all.endSessions("u1");
  await all.endSessions("u1", "s1");
  await all.audit({ action: "session.", page: 2 });
  await all.clearRateLimits({ userId: "u1", tier: "messages" });
  expect(asked).toEqual([
    "GET circuits",
    "PUT circuits/mail",
    "POST jobs",
    "GET users/a%20b/sessions",
    "DELETE users/u1/sessions",
    "DELETE users/u1/sessions/s1",
    "GET audit?action=session.&page=2",
    "DELETE rate-limits?userId=u1&tier=messages",
  ]);
});

test("an export is given unread, and a refusal is an error", async () => {
  const lines = '{"id":"1"}\n{"id":"2"}\n';
  const type = { headers: { "content-type": "application/x-ndjson" } };
  expect(await (await admin(() => new Response(lines, type)).exportAudit()).text()).toBe(lines);
  const refused = admin(() => json(403, { code: "forbidden", detail: "for administrators" })).exportAudit();
  await expect(refused).rejects.toMatchObject({ code: "forbidden" });
});
