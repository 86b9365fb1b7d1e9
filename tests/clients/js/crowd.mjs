// A crowd on unmodified official clients, each transport among them, that writes, edits, deletes, reacts and reconnects
// whatever happens to the servers, and then checks all that it was told: every acked event is in the log, once, at its
// place; every connection saw the whole log of its rooms, in order; the history is as the log says.
//
//   URLS      where clients connect, in turn, as JSON
//   PEOPLE    as JSON: { id, token } of each
//
// Prints a line a second: "seen", and how many events of each room's log everybody has seen. Takes lines: "stop" ends the
// writing; the check follows, then "checked" and what was counted, as JSON. Whatever is wrong ends the process with 1.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { io } from "socket.io-client";

const urls = JSON.parse(process.env.URLS);
const people = JSON.parse(process.env.PEOPLE);
const ROOMS = 2;
const TRANSPORTS = [["polling"], ["polling", "websocket"], ["websocket"]];
// Between two of somebody's events, in milliseconds.
const PAUSE = 60;
// Events of somebody's between two reconnections.
const RECONNECT_AFTER = 40;
const ANSWER_MS = 15_000;
const SETTLE_MS = 90_000;
const LOG = ["message:new", "message:edited", "message:deleted", "message:reacted", "room:void"];

const counts = { sent: 0, changed: 0, retried: 0, duplicates: 0, refused: 0, reconnections: 0 };
let stopping = false;

async function within(what, milliseconds, isSo) {
  const end = Date.now() + milliseconds;
  while (!isSo()) {
    assert.ok(Date.now() < end, `${what()}: not within ${milliseconds} ms`);
    await pause(20);
  }
}

class Member {
  constructor(person, number) {
    this.person = person;
    this.number = number;
    // By room: the events seen, without a gap.
    this.seen = new Map();
    this.epochs = new Map();
    // What was acked: { roomId, seq, name, clientId?, of? }.
    this.acked = [];
    // By room, of messages acked at the first attempt, in the order of sending.
    this.first = new Map();
    this.names = 0;
    this.socket = io(urls[number % urls.length], {
      auth: (send) => send({ token: person.token, resume: this.points() }),
      forceNew: true,
      reconnectionDelay: 100,
      reconnectionDelayMax: 1_000,
      transports: TRANSPORTS[number % TRANSPORTS.length],
    });
    for (const name of LOG) this.socket.on(name, (event) => this.keep({ type: name, ...event }));
    this.socket.on("resync", ({ roomId }) => this.join(roomId));
    this.socket.on("room:resumed", ({ roomId, complete, reset, error }) => {
      assert.ok(!error && !reset, `${roomId}: ${JSON.stringify(error)} ${reset}`);
      if (!complete) this.join(roomId);
    });
    this.socket.on("connect_error", (error) => {
      // What comes with a code is a refusal for good.
      if (error.data?.code) fail(new Error(`${person.id}: refused: ${error.data.code}`));
    });
    this.socket.io.on("reconnect", () => (counts.reconnections += 1));
    this.socket.on("disconnect", (reason) => {
      if (reason === "io server disconnect") fail(new Error(`${person.id}: sent away`));
    });
  }

  points() {
    const points = {};
    // Of rooms that were joined.
    for (const [roomId, epoch] of this.epochs) points[roomId] = { seq: this.seen.get(roomId).length, epoch };
    return points;
  }

  keep(event) {
    const events = this.seen.get(event.roomId);
    // The same may come by a replay and by a join's answer; what is new is the next one.
    if (event.seq <= events.length) {
      assert.equal(events[event.seq - 1].type, event.type);
      return;
    }
    assert.equal(event.seq, events.length + 1, `${this.person.id} in ${event.roomId}: a gap before ${event.type}`);
    events.push(event);
  }

  async create() {
    for (;;) {
      const created = await this.ask("room:create", { name: "hall", kind: "public" });
      if (created?.ok) return created.room.id;
      this.mustPass(created);
      await pause(300);
    }
  }

  // Joins, and reads the log up to where the connection goes on.
  async join(roomId) {
    for (;;) {
      const events = this.seen.get(roomId) ?? [];
      this.seen.set(roomId, events);
      const joined = await new Promise((settle) => {
        // By a callback, which runs before any later event.
        this.socket.timeout(ANSWER_MS).emit("room:join", { roomId, since: events.length }, (error, answer) => {
          if (!error && answer.ok) for (const event of answer.missed) this.keep(event);
          settle(error ? undefined : answer);
        });
      });
      if (joined?.ok) {
        this.epochs.set(roomId, joined.room.epoch);
        assert.ok(joined.complete && !joined.reset, "more was missed than a crowd writes");
        return;
      }
      assert.ok(!joined || joined.error.retryable, JSON.stringify(joined));
      await pause(300);
    }
  }

  async ask(name, payload) {
    try {
      return await this.socket.timeout(ANSWER_MS).emitWithAck(name, payload);
    } catch {
      // Whether it was done isn't known.
      return undefined;
    }
  }

  async write(rooms) {
    for (let turn = 0; !stopping; turn += 1) {
      const roomId = rooms[turn % rooms.length];
      const own = this.acked.filter((acked) => acked.roomId === roomId && acked.name === "message:new");
      const choice = own.length > 3 ? Math.floor(Math.random() * 10) : 0;
      if (choice < 6) await this.send(roomId);
      else await this.change(roomId, own[Math.floor(Math.random() * own.length)].seq, choice);
      if (turn % RECONNECT_AFTER === (this.number * 7) % RECONNECT_AFTER) this.socket.disconnect().connect();
      await pause(PAUSE * (0.5 + Math.random()));
    }
  }

  async send(roomId) {
    const clientId = `${this.number}-${(this.names += 1)}`;
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.ask("message:send", { roomId, clientId, body: `body of ${clientId}` });
      if (answer?.ok) {
        const { seq } = answer.message;
        this.acked.push({ roomId, seq, name: "message:new", clientId });
        if (attempt === 0) this.first.set(roomId, [...(this.first.get(roomId) ?? []), seq]);
        counts.sent += 1;
        counts.duplicates += answer.duplicate ? 1 : 0;
        return;
      }
      counts.retried += 1;
      this.mustPass(answer);
      await pause(100);
    }
  }

  async change(roomId, of, choice) {
    const [name, payload, event] =
      choice < 8
        ? ["message:edit", { body: `edited ${this.names}` }, "message:edited"]
        : choice < 9
          ? ["message:react", { emoji: "👍", on: Math.random() < 0.6 }, "message:reacted"]
          : ["message:delete", {}, "message:deleted"];
    const answer = await this.ask(name, { roomId, seq: of, ...payload });
    if (answer?.ok) {
      counts.changed += 1;
      // What changes nothing is answered with the place of what made it so: of a reaction that wasn't there, the message.
      if (answer.seq !== of) this.acked.push({ roomId, seq: answer.seq, name: event, of });
    } else {
      counts.refused += 1;
      // A deleted message can't be edited; nobody is sure which were, once an answer was lost.
      if (!["conflict", "not_found"].includes(answer?.error.code)) this.mustPass(answer);
    }
  }

  mustPass(answer) {
    assert.ok(!answer || answer.ok || answer.error.retryable, JSON.stringify(answer));
  }
}

async function page(member, name, payload, list, next) {
  const all = [];
  for (;;) {
    let answer;
    // Some are still on their way back from an instance that was stopped.
    for (let attempt = 0; !answer?.ok && attempt < 20; attempt += 1) {
      if (attempt > 0) await pause(300);
      answer = await member.ask(name, { ...payload, after: next(all) });
      member.mustPass(answer);
    }
    assert.ok(answer?.ok, JSON.stringify(answer));
    all.push(...answer[list]);
    if (!answer.hasMore) return all;
  }
}

async function check(members, roomId) {
  const acked = members.flatMap((member) => member.acked.filter((acked) => acked.roomId === roomId));
  const head = Math.max(...acked.map(({ seq }) => seq));
  const behind = () => members.filter((member) => member.seen.get(roomId).length < head);
  const who = () => `${behind().map(({ person, seen }) => `${person.id} at ${seen.get(roomId).length}`)} of ${head}`;
  await within(who, SETTLE_MS, () => behind().length === 0);

  const log = await page(members[0], "room:events", { roomId, limit: 500 }, "events", (all) => all.at(-1)?.seq ?? 0);
  log.forEach((event, index) => assert.equal(event.seq, index + 1));
  for (const { seq, name, of } of acked) {
    const event = log[seq - 1];
    assert.equal(event.type, name, `what was acked at ${seq}`);
    if (of) assert.equal(event.of, of);
  }
  const taken = new Set();
  for (const { seq, name } of acked.filter(({ name }) => name === "message:new")) {
    assert.ok(!taken.has(seq), `${name} at ${seq} was acked twice`);
    taken.add(seq);
  }
  for (const member of members) {
    const first = member.first.get(roomId) ?? [];
    first.forEach((seq, index) => assert.ok(index === 0 || first[index - 1] < seq, `${member.person.id} out of order`));
    const seen = member.seen.get(roomId);
    const same = Math.min(seen.length, log.length);
    for (let index = 0; index < same; index += 1) {
      const { type, id } = log[index];
      assert.deepEqual([seen[index].type, seen[index].id], [type, id], `${member.person.id} at ${index + 1}`);
    }
    // Of a name of theirs there is one message.
    const history = await page(member, "message:history", { roomId, limit: 200 }, "messages", (all) => all.at(-1)?.seq ?? 0);
    const places = new Map();
    for (const { clientId, seq } of history.filter(({ sender }) => sender.id === member.person.id)) {
      assert.ok(!places.has(clientId), `${clientId} is there twice`);
      places.set(clientId, seq);
    }
    for (const { clientId, seq } of member.acked.filter((acked) => acked.roomId === roomId && acked.clientId)) {
      assert.equal(places.get(clientId), seq, `${clientId} in the history`);
    }
    const bodies = new Map();
    for (const { type, seq, of, body, message } of log) {
      if (type === "message:new") bodies.set(seq, body);
      if (type === "message:edited") bodies.set(of, message.body);
      if (type === "message:deleted") bodies.set(of, "");
    }
    for (const { seq, body } of history) if (seq <= log.length) assert.equal(body, bodies.get(seq), `the body at ${seq}`);
  }
  return log.length;
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

process.on("unhandledRejection", fail);
process.on("uncaughtException", fail);

const members = people.map((person, number) => new Member(person, number));
const rooms = [];
for (let number = 0; number < ROOMS; number += 1) {
  rooms.push(await members[0].create());
}
// One who creates is subscribed, so the list has to be there before anything is written.
for (const roomId of rooms) for (const member of members) await member.join(roomId);

const seen = () => rooms.map((roomId) => Math.min(...members.map((member) => member.seen.get(roomId).length)));
setInterval(() => console.log(`seen ${seen().join(" ")}`), 250).unref();
createInterface({ input: process.stdin }).on("line", (line) => (stopping ||= line === "stop"));
await Promise.all(members.map((member) => member.write(rooms)));
const logs = [];
for (const roomId of rooms) logs.push(await check(members, roomId));
console.log(`checked ${JSON.stringify({ ...counts, logs })}`);
process.exit(0);
