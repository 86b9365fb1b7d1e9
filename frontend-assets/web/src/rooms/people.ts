// People as the server knows them: members of a room, who is there, who has read how far, and whom one has blocked.

import { useInfiniteQuery, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import type { Room, RoomMember, User } from "@tertulia/sdk";
import { useEffect, useMemo, useState } from "react";
import { tertulia } from "../tertulia.ts";
import { nameOf } from "../text/names.ts";
import { notePictures } from "./pictures.ts";

const PAGE = 200;
/** Members that are looked at by name at a time. */
const NAMED = 50;
const REREAD_AFTER_MS = 300;
/** Of more writers it isn't said who they are. */
const NAMED_WRITERS = 2;
const NOBODY: ReadonlySet<string> = new Set();

/** The members of a room, page by page; read anew when somebody comes or goes. */
export function useMembers(room: Room) {
  const queries = useQueryClient();
  const key = useMemo(() => ["members", room.id], [room]);
  useEffect(() => {
    let timer: number | undefined;
    const unsubscribe = room.on("room:member", () => {
      // Several may come together; in a large room it is never done.
      if (timer !== undefined || (room.info?.memberCount ?? 0) > PAGE) return;
      timer = window.setTimeout(() => {
        timer = undefined;
        void queries.invalidateQueries({ queryKey: key });
      }, REREAD_AFTER_MS);
    });
    return () => {
      unsubscribe();
      clearTimeout(timer);
    };
  }, [room, queries, key]);
  const query = useInfiniteQuery({
    queryKey: key,
    initialPageParam: "",
    queryFn: ({ pageParam: after }) =>
      tertulia.api.get("rooms/{roomId}/members", { path: { roomId: room.id }, query: { limit: PAGE, ...(after && { after }) } }),
    getNextPageParam: (page) => (page.hasMore ? page.members.at(-1)?.user.id : undefined),
  });
  const members = useMemo<readonly RoomMember[]>(() => query.data?.pages.flatMap((page) => page.members) ?? [], [query.data]);
  useEffect(() => notePictures(members.map(({ user }) => user)), [members]);
  return { ...query, members };
}

/** Members of a room by a part of their names, among all of them, however few are loaded; nobody for an empty query. */
export function useMembersNamed(room: Room, query: string) {
  return useQuery({
    queryKey: ["members", room.id, "named", query],
    queryFn: () => tertulia.api.get("rooms/{roomId}/members", { path: { roomId: room.id }, query: { query, limit: NAMED } }),
    enabled: query !== "",
  });
}

/** How many are in a room just now, and who; in large rooms only some of them. */
export function usePresence(room: Room) {
  const [presence, setPresence] = useState<{ count: number; online: ReadonlySet<string> }>({ count: 0, online: NOBODY });
  useEffect(() => {
    let isCurrent = true;
    const ask = () => {
      if (room.status !== "following") return;
      room.presence().then(
        ({ count, online }) => isCurrent && setPresence({ count, online: new Set(online) }),
        // Asked again when the room is followed again.
        () => undefined,
      );
    };
    ask();
    const subscriptions = [
      room.on("changed", ask),
      room.on("presence:count", ({ count }) => setPresence((now) => ({ ...now, count }))),
      room.on("presence:changed", ({ userId, online }) =>
        setPresence((now) => {
          if (now.online.has(userId) === online) return now;
          const all = new Set(now.online);
          if (online) all.add(userId);
          else all.delete(userId);
          return { count: now.count + (online ? 1 : -1), online: all };
        }),
      ),
    ];
    return () => {
      isCurrent = false;
      for (const unsubscribe of subscriptions) unsubscribe();
    };
  }, [room]);
  return presence;
}

/** How far each has read, by user. */
export function useReadSeqs(room: Room, members: readonly RoomMember[]): ReadonlyMap<string, number> {
  const [heard, setHeard] = useState<ReadonlyMap<string, number>>(new Map());
  useEffect(() => room.on("read:changed", ({ userId, seq }) => setHeard((now) => new Map(now).set(userId, seq))), [room]);
  return useMemo(() => {
    const seqs = new Map<string, number>();
    for (const { user, readSeq } of members) seqs.set(user.id, Math.max(readSeq ?? 0, heard.get(user.id) ?? 0));
    return seqs;
  }, [members, heard]);
}

/** Names of who is writing. A writer who falls silent is forgotten after a while. */
export function useTyping(room: Room, members: readonly RoomMember[], isMe: (userId: string) => boolean): readonly (string | undefined)[] {
  const [writers, setWriters] = useState<readonly string[]>([]);
  useEffect(() => {
    const timers = new Map<string, number>();
    const stop = (userId: string) => {
      clearTimeout(timers.get(userId));
      timers.delete(userId);
      setWriters((now) => now.filter((id) => id !== userId));
    };
    const subscriptions = [
      room.on("typing:changed", ({ userId, on }) => {
        if (isMe(userId)) return;
        stop(userId);
        if (!on) return;
        timers.set(
          userId,
          window.setTimeout(() => stop(userId), 8_000),
        );
        setWriters((now) => [...now, userId]);
      }),
      room.on("message:new", ({ sender }) => stop(sender.id)),
    ];
    return () => {
      for (const unsubscribe of subscriptions) unsubscribe();
      for (const timer of timers.values()) clearTimeout(timer);
      setWriters([]);
    };
  }, [room, isMe]);
  const named = writers.slice(0, NAMED_WRITERS);
  const loaded = (userId: string) => members.find(({ user }) => user.id === userId)?.user;
  const others = useQueries({
    queries: named
      .filter((userId) => !loaded(userId))
      .map((userId) => ({ queryKey: ["user", userId], queryFn: () => tertulia.api.get("users/{userId}", { path: { userId } }) })),
    combine: (answers) => answers.flatMap(({ data }) => (data ? [data.user] : [])),
  });
  return writers.map((userId) => {
    const user = loaded(userId) ?? others.find(({ id }) => id === userId);
    return user && nameOf(user);
  });
}

/** People whose name or username begins so; nobody for an empty query. */
export function usePeople(query: string) {
  return useQuery({
    queryKey: ["people", query],
    queryFn: async () => {
      const page = await tertulia.api.get("users", { query: { query, limit: 30 } });
      notePictures(page.users);
      return page;
    },
    enabled: query !== "",
  });
}

const BLOCKS = ["blocks"];

async function allBlocked(): Promise<readonly User[]> {
  const users: User[] = [];
  for (;;) {
    const after = users.at(-1)?.id;
    const page = await tertulia.api.get("me/blocks", { query: { limit: PAGE, ...(after && { after }) } });
    users.push(...page.users);
    if (!page.hasMore || page.users.length === 0) return users;
  }
}

export function useBlocks() {
  const queries = useQueryClient();
  const query = useQuery({ queryKey: BLOCKS, queryFn: allBlocked });
  const blocked = useMemo<ReadonlySet<string>>(() => new Set(query.data?.map(({ id }) => id)), [query.data]);
  const set = async (userId: string, on: boolean) => {
    const path = { userId };
    if (on) await tertulia.api.put("me/blocks/{userId}", { path });
    else await tertulia.api.delete("me/blocks/{userId}", { path });
    await queries.invalidateQueries({ queryKey: BLOCKS });
  };
  return { ...query, users: query.data ?? [], blocked, set };
}
