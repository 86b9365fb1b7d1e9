// The order of the room list: by name, so that nothing moves under the hand.

import { language } from "../text/index.ts";
import type { Entry } from "./my-rooms.ts";

export interface Ordered {
  readonly rooms: readonly Entry[];
  readonly direct: readonly Entry[];
}

/** Rooms and direct rooms, those that match `query` only. */
export function inOrder(entries: ReadonlyMap<string, Entry>, query = ""): Ordered {
  const wanted = fold(query);
  const matching = [...entries.values()].filter(({ info }) => fold(info.name).includes(wanted));
  const { compare } = new Intl.Collator(language(), { numeric: true, sensitivity: "base" });
  matching.sort((one, other) => compare(one.info.name, other.info.name) || compare(one.info.id, other.info.id));
  return {
    rooms: matching.filter(({ info }) => info.kind !== "direct"),
    direct: matching.filter(({ info }) => info.kind === "direct"),
  };
}

/** Without case and accents. */
export const fold = (text: string): string => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().trim();
