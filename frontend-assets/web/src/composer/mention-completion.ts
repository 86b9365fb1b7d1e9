// Whom the text before the caret may be about to call.

import type { RoomMember } from "@tertulia/sdk";
import { fold } from "../rooms/order.ts";

export interface Call {
  /** Where the `@` is. */
  readonly from: number;
  readonly prefix: string;
}

const OFFERED = 6;

export function calledAt(body: string, caret: number): Call | undefined {
  const match = /(?<![\w@])@([\p{L}\p{N}_.-]{0,32})$/u.exec(body.slice(Math.max(0, caret - 40), caret));
  const prefix = match?.[1];
  return prefix === undefined ? undefined : { from: caret - prefix.length - 1, prefix };
}

/** Members whose username, or a word of whose name, begins so. */
export function candidates(members: readonly RoomMember[], prefix: string, me: string): RoomMember[] {
  const wanted = fold(prefix);
  const matches = ({ user }: RoomMember) =>
    user.id !== me &&
    (fold(user.username).startsWith(wanted) ||
      fold(user.displayName)
        .split(/\s+/)
        .some((word) => word.startsWith(wanted)));
  return members.filter(matches).slice(0, OFFERED);
}
