// What every row of a room's list needs and none of them changes.

import type { Draft, Message, Room } from "@tertulia/sdk";
import { createContext, useContext } from "react";
import type { Timeline } from "./timeline.ts";

export interface RoomContext {
  readonly room: Room;
  readonly timeline: Timeline;
  readonly isDirect: boolean;
  readonly canModerate: boolean;
  readonly me: { readonly id: string; readonly username: string; readonly displayName: string; readonly guest: boolean };
  readonly blocked: ReadonlySet<string>;
  readonly reply: (message: Message) => void;
  readonly edit: (message: Message) => void;
  /** Puts a message that wasn't sent back where it was written. */
  readonly rewrite: (draft: Draft) => void;
  readonly jumpTo: (seq: number) => void;
  /** Shows a picture of the room as large as the window. */
  readonly openImage: (attachmentId: string) => void;
}

const Context = createContext<RoomContext | null>(null);

export const RoomContextProvider = Context.Provider;

export function useRoom(): RoomContext {
  const context = useContext(Context);
  if (!context) throw new Error("a row outside of a room");
  return context;
}
