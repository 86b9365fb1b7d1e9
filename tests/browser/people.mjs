// People without a browser: accounts, rooms, and messages in great numbers.

import { randomUUID } from "node:crypto";
import { io } from "socket.io-client";

export const PASSWORD = "correct horse battery";

/** Calls the API and gives its answer; whatever isn't one fails the test. */
export async function api(server, token, method, route, body) {
  const response = await fetch(`${server.url}/api/v1/${route}`, {
    method,
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...(body && { "content-type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Error(`${method} ${route}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

/** Makes an account; the answer has its tokens. */
export const register = (server, username, displayName) =>
  api(server, undefined, "POST", "auth/register", { username, password: PASSWORD, displayName });

export async function makeRoom(server, { accessToken }, name, kind = "public") {
  return (await api(server, accessToken, "POST", "rooms", { name, kind })).room;
}

/** Sends one event as somebody; a refusal fails the test. */
export async function emit(server, { accessToken }, event, payload) {
  const socket = io(server.url, { auth: { token: accessToken }, transports: ["websocket"], forceNew: true });
  const ack = await socket.timeout(30_000).emitWithAck(event, payload);
  socket.disconnect();
  if (!ack.ok) throw new Error(`${event}: ${JSON.stringify(ack.error)}`);
}

/** Messages that one connection sends before the server holds it back, and how many may be unanswered. */
const OF_ONE_CONNECTION = 1_900;
const IN_FLIGHT = 900;

/** Writes `count` messages into a room, over as many connections as that takes. */
export async function fill(server, { accessToken }, roomId, count, bodyOf = (n) => `Message number ${n}`) {
  for (let sent = 0; sent < count;) {
    const socket = io(server.url, { auth: { token: accessToken }, transports: ["websocket"], forceNew: true });
    const until = Math.min(count, sent + OF_ONE_CONNECTION);
    const send = async () => {
      while (sent < until) {
        const n = ++sent;
        const ack = await socket.timeout(30_000).emitWithAck("message:send", { roomId, clientId: randomUUID(), body: bodyOf(n) });
        if (!ack.ok) throw new Error(`message ${n}: ${JSON.stringify(ack.error)}`);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, send));
    socket.disconnect();
  }
}
