// The rooms one is in: what is unread in each, and who of one's direct rooms is there. Rooms are followed even when
// they aren't shown, so that mentions are noticed and others see one online; beyond a bound the server's notices of
// news have to do.

import type { Message, Room, RoomInfo, TertuliaError, Unsubscribe } from "@tertulia/sdk";
import { mentionsIn } from "../timeline/markup.ts";
import { notifyOf } from "../notifications/notify.ts";
import { Store } from "../store.ts";
import { connection, isMe, session, tertulia } from "../tertulia.ts";

export interface Entry {
  readonly info: RoomInfo;
  readonly unread: number;
  readonly mentioned: boolean;
  /** Of a direct room: whether the other one is there. */
  readonly peerOnline: boolean;
}

export interface MyRooms {
  readonly status: "loading" | "ready" | "failed";
  readonly error?: TertuliaError | undefined;
  readonly entries: ReadonlyMap<string, Entry>;
}

/** Rooms followed at a time: what one reconnect can resume. */
const FOLLOWED_MAX = 200;
const PAGE = 200;
const RETRY_MS = 3_000;
/** How soon a room is looked at again after a change of its members; not by all of them at once. */
const LOOK_WITHIN_MS = 500;
const LOOK_AT_LARGE_WITHIN_MS = 20_000;
const LARGE = 100;
/** Events of a direct room that has just begun. */
const FIRST_WORDS = 20;

const NONE: MyRooms = { status: "loading", entries: new Map() };

export const myRooms = new Store<MyRooms>(NONE);
/** Rooms that were lost while they were shown, for their page to say so. */
export const lostRooms = new Store<ReadonlyMap<string, RoomInfo>>(new Map());

const followed = new Map<string, Unsubscribe[]>();
const looking = new Set<string>();
/** The room whose newest messages are before the reader's eyes. */
let attended: string | undefined;
let listening: Unsubscribe[] = [];
let run = 0;

/** Begins with the rooms of who has signed in. */
export function start(): void {
  stop();
  listening = [
    tertulia.on("room:unread", ({ roomId, headSeq, unread }) => {
      change(roomId, (entry) => ({ ...entry, unread, info: { ...entry.info, headSeq } }));
    }),
    tertulia.on("room:updated", ({ room }) => update(room)),
    tertulia.on("room:member", ({ roomId, userId, role }) => {
      if (!isMe(userId)) return;
      if (role === null) lose(roomId);
      else if (!myRooms.get().entries.has(roomId)) void fetchRoom(roomId);
      else change(roomId, (entry) => ({ ...entry, info: { ...entry.info, role } }));
    }),
  ];
  const mine = run;
  let wasConnected = connection.get().status === "connected";
  const whenConnected = () => {
    const isConnected = connection.get().status === "connected";
    // Names and members may have changed meanwhile.
    if (isConnected && !wasConnected && myRooms.get().status === "ready") void load(mine);
    wasConnected = isConnected;
  };
  listening.push(connection.subscribe(whenConnected));
  void load(mine);
}

export function stop(): void {
  run++;
  for (const unsubscribe of [...listening, ...[...followed.values()].flat()]) unsubscribe();
  listening = [];
  followed.clear();
  looking.clear();
  attended = undefined;
  myRooms.set(NONE);
  lostRooms.set(new Map());
}

export function reload(): void {
  myRooms.update((now) => ({ ...now, status: "loading" }));
  void load(run);
}

async function load(mine: number): Promise<void> {
  try {
    let after: string | undefined;
    for (;;) {
      const page = await tertulia.api.get("me/rooms", { query: { limit: PAGE, ...(after && { after }) } });
      if (mine !== run) return;
      for (const info of page.rooms) add(info);
      after = page.rooms.at(-1)?.id;
      if (!page.hasMore || !after) break;
    }
    myRooms.update(({ entries }) => ({ status: "ready", entries }));
  } catch (error) {
    if (mine !== run) return;
    myRooms.update(({ entries }) => ({ status: "failed", error: error as TertuliaError, entries }));
    setTimeout(() => mine === run && void load(mine), RETRY_MS);
  }
}

/** Puts a room that one is in into the list, and follows it. */
export function add(info: RoomInfo): void {
  lostRooms.update((lost) => (lost.has(info.id) ? new Map([...lost].filter(([id]) => id !== info.id)) : lost));
  const known = myRooms.get().entries.get(info.id);
  // What the server counted holds for the messages it knew of; those that came since are counted here.
  const isBehind = known && followed.has(info.id) && tertulia.room(info.id).seq !== info.headSeq;
  const unread = attended === info.id ? 0 : isBehind ? known.unread : (info.unread ?? 0);
  const entry = { info, unread, mentioned: unread > 0 && (known?.mentioned ?? false), peerOnline: known?.peerOnline ?? false };
  myRooms.update((now) => ({ ...now, entries: new Map(now.entries).set(info.id, entry) }));
  follow(info);
}

/** Follows a room that is shown, however many are followed already. */
export function followShown(roomId: string): void {
  const entry = myRooms.get().entries.get(roomId);
  if (entry) follow(entry.info, Infinity);
}

function follow(info: RoomInfo, bound = FOLLOWED_MAX): void {
  if (followed.has(info.id) || followed.size >= bound) return;
  const room = tertulia.room(info.id);
  const { id } = info;
  followed.set(id, [
    room.on("message:new", (message) => heard(room, message)),
    room.on("lost", () => lose(id)),
    room.on("reset", () => void fetchRoom(id)),
    room.on("changed", () => {
      if (room.status === "following" && info.kind === "direct") void lookForPeer(room);
    }),
    room.on("presence:changed", ({ userId, online }) => {
      if (info.kind === "direct" && !isMe(userId)) change(id, (entry) => ({ ...entry, peerOnline: online }));
    }),
    room.on("read:changed", ({ userId, seq }) => {
      if (!isMe(userId)) return;
      if (seq >= room.seq) change(id, (entry) => ({ ...entry, unread: 0, mentioned: false, info: { ...entry.info, readSeq: seq } }));
      else void fetchRoom(id);
    }),
    room.on("room:member", ({ userId }) => {
      if (!isMe(userId)) lookSoon(id);
    }),
  ]);
  // What came since the list was read is counted as it is delivered.
  room.join({ seq: info.headSeq, epoch: info.epoch }).then(
    () => info.kind === "direct" && void lookForPeer(room),
    (error: TertuliaError) => error.code === "not_found" && lose(id),
  );
}

/** Milliseconds over which those who hear of the same change spread what they ask. */
export const lookWithin = (memberCount: number): number => (memberCount > LARGE ? LOOK_AT_LARGE_WITHIN_MS : LOOK_WITHIN_MS);

/** Somebody came or went: how many are there now? Who deletes a room leaves it, too. */
function lookSoon(roomId: string): void {
  const entry = myRooms.get().entries.get(roomId);
  if (!entry || looking.has(roomId)) return;
  looking.add(roomId);
  const mine = run;
  setTimeout(() => {
    looking.delete(roomId);
    if (mine === run) void fetchRoom(roomId);
  }, Math.random() * lookWithin(entry.info.memberCount));
}

async function lookForPeer(room: Room): Promise<void> {
  const presence = await room.presence().catch(() => undefined);
  if (presence) change(room.id, (entry) => ({ ...entry, peerOnline: presence.online.some((id) => !isMe(id)) }));
}

function heard(room: Room, message: Message): void {
  if (isMe(message.sender.id) || attended === room.id) return;
  const me = session.get();
  const mentioned = me ? mentionsIn(message.body).has(me.username.toLowerCase()) : false;
  change(room.id, (entry) => ({ ...entry, unread: entry.unread + 1, mentioned: entry.mentioned || mentioned }));
  const entry = myRooms.get().entries.get(room.id);
  if (entry) notifyOf(message, entry.info, mentioned);
}

/** The reader sees the newest messages of this room, or of none. */
export function attend(roomId: string | undefined): void {
  attended = roomId;
  if (!roomId) return;
  const room = tertulia.room(roomId);
  const { seq } = room;
  change(roomId, (entry) => {
    if (entry.unread === 0 && !entry.mentioned && (entry.info.readSeq ?? 0) >= seq) return entry;
    room.read(seq);
    return { ...entry, unread: 0, mentioned: false, info: { ...entry.info, readSeq: seq } };
  });
}

export async function leave(roomId: string): Promise<void> {
  await tertulia.room(roomId).leave();
  forget(roomId);
}

/** Takes a room out of the list without a word: its reader wanted it. */
export function forget(roomId: string): void {
  for (const unsubscribe of followed.get(roomId) ?? []) unsubscribe();
  followed.delete(roomId);
  myRooms.update((now) => ({ ...now, entries: new Map([...now.entries].filter(([id]) => id !== roomId)) }));
}

function lose(roomId: string): void {
  const entry = myRooms.get().entries.get(roomId);
  if (!entry) return;
  lostRooms.update((lost) => new Map(lost).set(roomId, entry.info));
  forget(roomId);
}

async function fetchRoom(roomId: string): Promise<void> {
  try {
    const { room } = await tertulia.api.get("rooms/{roomId}", { path: { roomId } });
    if (!room.role) lose(roomId);
    else if (isNews(room)) add({ ...room, headSeq: 0, unread: 0 });
    else add(room);
  } catch (error) {
    if ((error as TertuliaError).code === "not_found") lose(roomId);
  }
}

/** Somebody just began to write: what they wrote is to be heard, not only counted. */
function isNews({ id, kind, headSeq, readSeq }: RoomInfo): boolean {
  return kind === "direct" && headSeq <= FIRST_WORDS && readSeq === 0 && !myRooms.get().entries.has(id);
}

/** What all members get says nothing of one's own place in the room. */
function update(info: RoomInfo): void {
  change(info.id, (entry) => {
    const name = entry.info.kind === "direct" ? entry.info.name : info.name;
    const merged = { ...entry.info, name, memberCount: info.memberCount, role: info.role ?? entry.info.role };
    const same = merged.name === entry.info.name && merged.memberCount === entry.info.memberCount && merged.role === entry.info.role;
    return same ? entry : { ...entry, info: merged };
  });
}

function change(roomId: string, by: (entry: Entry) => Entry): void {
  const now = myRooms.get();
  const entry = now.entries.get(roomId);
  if (!entry) return;
  const changed = by(entry);
  if (changed !== entry) myRooms.set({ ...now, entries: new Map(now.entries).set(roomId, changed) });
}
