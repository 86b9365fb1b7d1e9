// The pictures of people by their ids: messages and rooms say who, not what they look like. What the server answers with a user is
// noted; of others it is asked for when they are first shown, a few at a time.

import type { TertuliaError, User } from "@tertulia/sdk";
import { useEffect } from "react";
import { Store, useStore } from "../store.ts";
import { connection, isMe, session, tertulia } from "../tertulia.ts";
import { lookWithin, myRooms } from "./my-rooms.ts";

/** People whose picture is remembered. */
const KEPT = 2_000;
const AT_ONCE = 3;
/** How long nobody is asked for after a failure, twice as long after each further one. */
const RETRY_MS = 2_000;
const RETRY_MAX_MS = 60_000;
/** What this server has made of a picture. The page may show nothing else, wherever somebody's picture may be. */
const OWN = /\/media\/[0-9a-f]{32}-[0-9a-z]+\.(webp|jpg|gif)$/;

/** By user; `null` for nobody's picture. */
const pictures = new Store<ReadonlyMap<string, string | null>>(new Map());
const wanted = new Map<string, number>();
const queue: string[] = [];
const asked = new Set<string>();
/** Those that may have changed while nobody told; asked for when they are shown again. */
const stale = new Set<string>();
/** What is being read of whom, as long as its answer counts. */
const reading = new Map<string, symbol>();
const due = new Map<string, ReturnType<typeof setTimeout>>();
let paused: ReturnType<typeof setTimeout> | undefined;
let failures = 0;
let running = 0;

/** Notes what the server has said of people. */
export function notePictures(users: readonly User[]): void {
  const known = pictures.get();
  const news = users.filter(({ id, avatarUrl }) => known.get(id) !== (own(avatarUrl) ?? null));
  if (news.length === 0) return;
  keep(news.map(({ id, avatarUrl }) => [id, own(avatarUrl) ?? null]));
}

function keep(news: readonly (readonly [string, string | null])[]): void {
  const now = new Map([...pictures.get(), ...news]);
  for (const id of now.keys()) {
    if (now.size <= KEPT) break;
    if (!wanted.has(id)) now.delete(id);
  }
  pictures.set(now);
}

const own = (url: string | undefined): string | undefined =>
  url !== undefined && OWN.test(URL.parse(url, location.href)?.pathname ?? "") ? url : undefined;

/** The picture of somebody, once it is known; `undefined` without one. */
export function usePicture(userId: string | undefined): string | undefined {
  useEffect(() => {
    if (!userId) return;
    wanted.set(userId, (wanted.get(userId) ?? 0) + 1);
    if (!pictures.get().has(userId) || stale.has(userId)) ask(userId);
    return () => {
      const others = (wanted.get(userId) ?? 1) - 1;
      if (others > 0) wanted.set(userId, others);
      else wanted.delete(userId);
    };
  }, [userId]);
  return useStore(pictures, (all) => (userId ? (all.get(userId) ?? undefined) : undefined));
}

function ask(userId: string): void {
  if (asked.has(userId)) return;
  asked.add(userId);
  queue.push(userId);
  next();
}

/** Everybody who sees somebody hears of their change in the same moment, and they don't all ask in it. */
function askSoon(userId: string): void {
  if (due.has(userId)) return;
  const largest = Math.max(0, ...Array.from(myRooms.get().entries.values(), ({ info }) => info.memberCount));
  const look = () => {
    due.delete(userId);
    if (wanted.has(userId) && stale.has(userId)) ask(userId);
  };
  due.set(userId, setTimeout(look, Math.random() * lookWithin(largest)));
}

function next(): void {
  while (running < AT_ONCE && paused === undefined) {
    const userId = queue.shift();
    if (userId === undefined) return;
    // Scrolled by meanwhile.
    if (!wanted.has(userId)) {
      asked.delete(userId);
      continue;
    }
    running++;
    void read(userId).finally(() => {
      running--;
      next();
    });
  }
}

async function read(userId: string): Promise<void> {
  const mine = Symbol(userId);
  reading.set(userId, mine);
  const answer = await tertulia.api.get("users/{userId}", { path: { userId } }).catch((error: TertuliaError) => error);
  // Changed meanwhile, or nobody is signed in any more.
  if (reading.get(userId) !== mine) return;
  reading.delete(userId);
  if ("user" in answer) {
    failures = 0;
    notePictures([answer.user]);
  } else if (answer.code === "not_found") {
    failures = 0;
    keep([[userId, null]]);
  } else if (answer.retryable) {
    queue.unshift(userId);
    return pause(answer.retryAfterMs);
  }
  asked.delete(userId);
  stale.delete(userId);
}

function pause(atLeast = 0): void {
  if (paused !== undefined) return;
  const ms = Math.max(atLeast, Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** failures++));
  paused = setTimeout(
    () => {
      paused = undefined;
      next();
    },
    ms * (1 + Math.random() / 4),
  );
}

/** What is known of somebody, or being read, may be older than what they are now. */
function outdate(userId: string): void {
  stale.add(userId);
  if (!reading.delete(userId)) return;
  asked.delete(userId);
  if (wanted.has(userId)) askSoon(userId);
}

function outdateAll(): void {
  // Those that are shown are asked for as they are shown again: not all at once.
  for (const id of [...pictures.get().keys(), ...reading.keys()]) outdate(id);
}

tertulia.on("outdated", (key) => {
  if (key === "user") outdateAll();
  if (!key.startsWith("user:")) return;
  const userId = key.slice("user:".length);
  outdate(userId);
  if (isMe(userId)) void tertulia.reloadUser().catch(() => undefined);
  else if (wanted.has(userId)) askSoon(userId);
});
let wasConnected = false;
connection.subscribe(() => {
  const isConnected = connection.get().status === "connected";
  if (isConnected && !wasConnected) outdateAll();
  wasConnected = isConnected;
});
session.subscribe(() => {
  const me = session.get();
  if (me) return notePictures([me]);
  for (const timer of [paused, ...due.values()]) clearTimeout(timer);
  paused = undefined;
  failures = 0;
  queue.length = 0;
  for (const noted of [reading, due, asked, stale]) noted.clear();
  pictures.set(new Map());
});
