// A message in one line, also one that says nothing.

import type { Message } from "@tertulia/sdk";
import { text } from "../text/index.ts";
import { isolated } from "../text/names.ts";
import { plain } from "../timeline/markup.ts";

/** Its words, or else what is attached; up to `length` characters are looked at. */
export function summary({ body, attachments }: Pick<Message, "body" | "attachments">, length: number): string {
  const words = plain(body.slice(0, length));
  if (words !== "" || attachments.length === 0) return words;
  const [first] = attachments;
  if (attachments.length > 1 || !first) return text().attachments(attachments.length);
  return first.kind === "image" ? text().picture : isolated(first.fileName);
}
