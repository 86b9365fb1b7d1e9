// Changed texts of messages on their way to the server. They stand at their message until it has them, so that the field
// they were written in is free at once, and what comes of them late touches nothing that is newer.

import type { Room } from "@tertulia/sdk";
import { Store } from "../store.ts";
import { session } from "../tertulia.ts";
import type { Timeline } from "./timeline.ts";

export interface Edit {
  readonly body: string;
  /** Why it failed; absent while it is on its way. */
  readonly error?: unknown;
}

/** By room and `seq`. */
export const edits = new Store<ReadonlyMap<string, Edit>>(new Map());

export const editOf = (all: ReadonlyMap<string, Edit>, room: Room, seq: number): Edit | undefined => all.get(keyOf(room, seq));

/** Gives a message another text. */
export async function edit(timeline: Timeline, seq: number, body: string): Promise<void> {
  const { room } = timeline;
  const key = keyOf(room, seq);
  const mine: Edit = { body };
  put(key, mine);
  try {
    const message = await room.edit(seq, body);
    // Its event may come a moment later.
    timeline.edited(message);
    if (edits.get().get(key) === mine) put(key, undefined);
  } catch (error) {
    if (edits.get().get(key) === mine) put(key, { body, error });
  }
}

/** Leaves a message as it is. */
export const discardEdit = (room: Room, seq: number): void => put(keyOf(room, seq), undefined);

const keyOf = (room: Room, seq: number): string => `${room.id}/${seq}`;

function put(key: string, edit: Edit | undefined): void {
  const all = new Map(edits.get());
  if (edit) all.set(key, edit);
  else all.delete(key);
  edits.set(all);
}

session.subscribe(() => {
  if (!session.get()) edits.set(new Map());
});
