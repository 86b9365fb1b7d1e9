// How large things are: files in words, and pictures on the screen before they are there.

import type { Attachment } from "@tertulia/sdk";
import { locale } from "../text/index.ts";

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;

/** "1.4 MB". */
export function sizeOf(bytes: number): string {
  const unit = bytes < 1_000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  const digits = unit > 0 && bytes / 1_000 ** unit < 10 ? 1 : 0;
  const unitDisplay = unit === 0 ? "long" : "short";
  const format = new Intl.NumberFormat(locale(), { style: "unit", unit: UNITS[unit] ?? "byte", unitDisplay, maximumFractionDigits: digits });
  return format.format(bytes / 1_000 ** unit);
}

/** Heights in pixels of a picture alone, and of one among others. */
const ALONE = 240;
const AMONG = 150;
const WIDEST = 480;
/** What is longer is cut. */
const RATIO_MIN = 0.5;
const RATIO_MAX = 4;
const LEAST = 48;

export interface Box {
  readonly width: number;
  readonly height: number;
}

/** The room that a picture takes; the same before it is there and after. */
export function boxOf({ width, height }: Pick<Attachment, "width" | "height">, isAlone: boolean): Box {
  const highest = isAlone ? ALONE : AMONG;
  // Until more is known it is as most are.
  if (!width || !height) return { width: Math.round((highest * 4) / 3), height: highest };
  const ratio = Math.min(RATIO_MAX, Math.max(RATIO_MIN, width / height));
  let shown = Math.max(LEAST, Math.min(highest, height));
  if (shown * ratio > WIDEST) shown = WIDEST / ratio;
  return { width: Math.round(shown * ratio), height: Math.round(shown) };
}

/** Of a file in a message, with what is between it and the next. */
const FILE = 60;
const GAP = 6;
/** Pictures beside each other on a wide screen. */
const BESIDE = 4;

/** How high the attachments of a message may be before they are drawn. */
export function guessAttachments(attachments: readonly Attachment[]): number {
  const images = attachments.filter(({ kind, status }) => kind === "image" && status !== "failed");
  const others = attachments.length - images.length;
  const [first] = images;
  const rows = Math.ceil(images.length / BESIDE);
  const pictures = images.length === 1 && first ? boxOf(first, true).height + GAP : rows * (AMONG + GAP);
  return pictures + others * FILE;
}
