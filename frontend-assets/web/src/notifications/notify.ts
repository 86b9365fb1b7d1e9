// Notifications of the browser: for mentions and direct messages, while the page can't be seen.

import type { Message, RoomInfo } from "@tertulia/sdk";
import { navigate } from "wouter/use-browser-location";
import { summary } from "../attachments/summary.ts";
import { preferences } from "../preferences.ts";
import { tertulia } from "../tertulia.ts";
import { text } from "../text/index.ts";
import { isolated, nameOf, roomName } from "../text/names.ts";

const PREVIEW = 140;

export const canNotify = "Notification" in globalThis;

/** By room. */
const open = new Map<string, Notification>();

export function notifyOf(message: Message, room: RoomInfo, mentioned: boolean): void {
  if (!canNotify || !document.hidden || !preferences.get().notify || Notification.permission !== "granted") return;
  const isDirect = room.kind === "direct";
  if (!isDirect && !mentioned) return;
  const { notice } = text();
  const name = isolated(nameOf(message.sender));
  const words = summary(message, message.body.length);
  const body = words.length > PREVIEW ? `${words.slice(0, PREVIEW)}…` : words;
  let shown: Notification;
  try {
    // One of a room replaces the one before.
    shown = new Notification(isDirect ? notice.direct(name) : notice.mention(name, isolated(roomName(room))), {
      body,
      tag: room.id,
      icon: "/favicon.svg",
    });
  } catch {
    // Some phones allow them from service workers only.
    return;
  }
  open.set(room.id, shown);
  shown.onclose = () => {
    if (open.get(room.id) === shown) open.delete(room.id);
  };
  shown.onclick = () => {
    window.focus();
    navigate(`/rooms/${room.id}`);
    shown.close();
  };
}

// The next one at this browser may be somebody else.
tertulia.on("signed-out", () => {
  for (const shown of open.values()) shown.close();
  open.clear();
});
