// Whom the text before the caret may be about to call, and whom it has called.

import type { Room, RoomMember } from "@tertulia/sdk";
import { useEffect, useRef } from "react";
import { fold } from "../rooms/order.ts";
import { useMembersNamed } from "../rooms/people.ts";
import { mentionsIn } from "../timeline/markup.ts";
import { useDebounced } from "../ui/useDebounced.ts";

export interface Call {
  /** Where the `@` is. */
  readonly from: number;
  readonly prefix: string;
}

const OFFERED = 6;
const PAUSE_MS = 120;

export function calledAt(body: string, caret: number): Call | undefined {
  const match = /(?<![\w@])@([\p{L}\p{N}\p{M}_.-]{0,32})$/u.exec(body.slice(Math.max(0, caret - 40), caret));
  const prefix = match?.[1];
  return prefix === undefined ? undefined : { from: caret - prefix.length - 1, prefix };
}

/**
 * Whom to offer for what is being typed: of the members that are loaded, and of all others the server knows. Everybody
 * who was once looked for stays known.
 */
export function useMentions(room: Room, loaded: readonly RoomMember[], call: Call | undefined, me: string) {
  const known = useRef(new Map<string, RoomMember>());
  const asked = useDebounced(call?.prefix ?? "", PAUSE_MS);
  const { data } = useMembersNamed(room, asked);
  useEffect(() => {
    for (const member of data?.members ?? []) known.current.set(member.user.id, member);
  }, [data]);

  const everybody = () => [...new Map([...known.current, ...loaded.map((member) => [member.user.id, member] as const)]).values()];
  const found = new Map([...loaded, ...(data?.members ?? [])].map((member) => [member.user.id, member]));
  return {
    offered: call ? candidates([...found.values()], call.prefix, me) : [],
    /** The ids of those whom a text calls, as far as they are known here. The server finds the others. */
    called(body: string): string[] {
      const names = mentionsIn(body);
      return everybody()
        .filter(({ user }) => names.has(user.username.toLowerCase()))
        .map(({ user }) => user.id);
    },
  };
}

/** Members whose names hold this text: first those whose username, or a word of whose name, begins with it. */
function candidates(members: readonly RoomMember[], prefix: string, me: string): RoomMember[] {
  const wanted = fold(prefix);
  const rank = ({ user }: RoomMember): number => {
    const [username, name] = [fold(user.username), fold(user.displayName)];
    if (username === wanted) return 0;
    if (username.startsWith(wanted) || name.split(/\s+/).some((word) => word.startsWith(wanted))) return 1;
    return name.includes(wanted) ? 2 : 3;
  };
  return members
    .filter(({ user }) => user.id !== me)
    .map((member) => ({ member, rank: rank(member) }))
    .filter(({ rank }) => rank < 3)
    .sort((one, other) => one.rank - other.rank)
    .slice(0, OFFERED)
    .map(({ member }) => member);
}
