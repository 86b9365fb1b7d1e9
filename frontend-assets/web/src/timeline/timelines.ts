// Timelines of the rooms that were shown lately, so that going back and forth loads nothing.

import { myRooms } from "../rooms/my-rooms.ts";
import { tertulia } from "../tertulia.ts";
import { Timeline } from "./timeline.ts";

const KEPT = 10;

const timelines = new Map<string, Timeline>();

/** The room's timeline; the same one as long as it is kept. */
export function timelineOf(roomId: string): Timeline {
  const timeline = timelines.get(roomId) ?? new Timeline(tertulia.room(roomId));
  timelines.delete(roomId);
  timelines.set(roomId, timeline);
  for (const [id] of timelines) {
    if (timelines.size <= KEPT) break;
    drop(id);
  }
  return timeline;
}

function drop(roomId: string): void {
  timelines.get(roomId)?.close();
  timelines.delete(roomId);
}

// What one may see no longer isn't kept either.
myRooms.subscribe(() => {
  const { entries } = myRooms.get();
  for (const id of timelines.keys()) if (!entries.has(id)) drop(id);
});
