// The pictures of people by their ids: messages and rooms say who, not what they look like. What the server answers with a user is
// noted; of others it is asked for when they are first shown, a few at a time.

import type { User } from "@tertulia/sdk";
import { useEffect } from "react";
import { Store, useStore } from "../store.ts";
import { connection, isMe, session, tertulia } from "../tertulia.ts";

/** People whose picture is remembered. */
const KEPT = 2_000;
const AT_ONCE = 3;
/** What this server has made of a picture. The page may show nothing else, wherever somebody's picture may be. */
const OWN = /\/media\/[0-9a-f]{32}-[0-9a-z]+\.(webp|jpg|gif)$/;

/** By user; `null` for nobody's picture. */
const pictures = new Store<ReadonlyMap<string, string | null>>(new Map());
const wanted = new Map<string, number>();
const queue: string[] = [];
const asked = new Set<string>();
/** Those that may have changed while nobody told; asked for when they are shown again. */
const stale = new Set<string>();
let running = 0;
let run = 0;

/** Notes what the server has said of people. */
export function notePictures(users: readonly User[]): void {
  const known = pictures.get();
  const news = users.filter(({ id, avatarUrl }) => known.get(id) !== (own(avatarUrl) ?? null));
  if (news.length === 0) return;
  const now = new Map(known);
  for (const { id, avatarUrl } of news) now.set(id, own(avatarUrl) ?? null);
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

function next(): void {
  while (running < AT_ONCE) {
    const userId = queue.shift();
    if (userId === undefined) return;
    // Scrolled by meanwhile.
    if (!wanted.has(userId)) {
      asked.delete(userId);
      continue;
    }
    running++;
    void read(userId, run).finally(() => {
      running--;
      next();
    });
  }
}

async function read(userId: string, mine: number): Promise<void> {
  const user = await tertulia.api.get("users/{userId}", { path: { userId } }).then(
    ({ user }) => user,
    // A deleted one has none; of others it is asked when they are shown again.
    () => undefined,
  );
  if (mine !== run) return;
  asked.delete(userId);
  stale.delete(userId);
  if (user) notePictures([user]);
}

tertulia.on("outdated", (key) => {
  // A loss: of all people alike, so they are asked for as they are shown again.
  if (key === "user") for (const id of pictures.get().keys()) stale.add(id);
  if (!key.startsWith("user:")) return;
  const userId = key.slice("user:".length);
  stale.add(userId);
  // What is being read may be older.
  asked.delete(userId);
  if (isMe(userId)) void tertulia.reloadUser().catch(() => undefined);
  else if (wanted.has(userId)) ask(userId);
});
let wasConnected = false;
connection.subscribe(() => {
  const isConnected = connection.get().status === "connected";
  // Not all at once: everybody else comes back in the same moment.
  if (isConnected && !wasConnected) for (const id of pictures.get().keys()) stale.add(id);
  wasConnected = isConnected;
});
session.subscribe(() => {
  const me = session.get();
  if (me) return notePictures([me]);
  run++;
  queue.length = 0;
  asked.clear();
  stale.clear();
  pictures.set(new Map());
});
