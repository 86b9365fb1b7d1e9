// What a room tells its listeners.

import type { TertuliaError } from "./error.js";
import type { Room as RoomInfo, RoomEvent, ServerEvents } from "./generated/events.js";
import type { OutgoingMessage } from "./outbox.js";

/** What a room tells its listeners. */
export interface RoomEvents {
  /** Every durable event of the room, each once and in the order of `seq`. */
  event: RoomEvent;
  /** The same by name. */
  "message:new": ServerEvents["message:new"];
  "message:edited": ServerEvents["message:edited"];
  "message:deleted": ServerEvents["message:deleted"];
  "message:reacted": ServerEvents["message:reacted"];
  "image:ready": ServerEvents["image:ready"];
  "image:failed": ServerEvents["image:failed"];
  /**
   * What is shown is too old to be caught up with, or of another life of the room: read `Room.history` again.
   * Events go on after `room.seq`.
   */
  reset: RoomInfo;
  /**
   * The room isn't followed any more: with the error that says why, or without one after leaving it, here or on
   * another device, and after being removed. `Room.join` begins anew.
   */
  lost: TertuliaError | undefined;
  /** `info` or `status` changed. */
  changed: RoomInfo | undefined;
  "typing:changed": ServerEvents["typing:changed"];
  "read:changed": ServerEvents["read:changed"];
  "presence:changed": ServerEvents["presence:changed"];
  "presence:count": ServerEvents["presence:count"];
  "room:member": ServerEvents["room:member"];
  /** A message in `pending` changed, came, or went. */
  outgoing: OutgoingMessage;
}

/**
 * `idle`: not followed. `catching-up`: there is no connection, or what was missed is on its way. `following`: up to
 * date. `lost`: see {@link RoomEvents.lost}.
 */
export type RoomStatus = "idle" | "catching-up" | "following" | "lost";
