// Names that others have chosen, such as they may be shown beside other text: visible, and without power over what stands
// around them.

import type { RoomInfo } from "@tertulia/sdk";
import { text } from "./index.ts";

/** What begins or ends another direction of writing; within a name it could turn round what follows it. */
const DIRECTION = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/g;
/** Any character of which something is to be seen. */
const VISIBLE = /[^\p{C}\p{Z}\p{M}\p{Default_Ignorable_Code_Point}\u2800]/u;
/** Characters that are written from right to left. */
const RIGHT_TO_LEFT = /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFF\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u;

export interface Named {
  readonly displayName: string;
  readonly username?: string;
}

/** What to call a person. */
export function nameOf({ displayName, username }: Named): string {
  return visible(displayName) ?? (username ? `@${username}` : text().somebody);
}

/** What to call a room; a direct one has the name of the other person. */
export function roomName({ name, kind }: Pick<RoomInfo, "name" | "kind">): string {
  return visible(name) ?? (kind === "direct" ? text().somebody : text().unnamed);
}

function visible(name: string): string | undefined {
  const plain = name.replace(DIRECTION, "");
  return VISIBLE.test(plain) ? plain : undefined;
}

/** A name, or what somebody wrote, as a part of a sentence: its direction stays its own. */
export function isolated(words: string): string {
  const plain = words.replace(DIRECTION, "");
  return RIGHT_TO_LEFT.test(plain) ? `\u2068${plain}\u2069` : plain;
}
