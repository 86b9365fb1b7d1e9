// Times as people say them. Formatters are kept: making one costs more than a row of messages.

import { locale, text } from "./index.ts";

type Style = "time" | "day" | "full" | "moment";

const STYLES: Record<Style, Intl.DateTimeFormatOptions> = {
  time: { hour: "2-digit", minute: "2-digit" },
  day: { weekday: "long", day: "numeric", month: "long" },
  full: { dateStyle: "long", timeStyle: "short" },
  moment: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" },
};

const formats = new Map<string, Intl.DateTimeFormat>();

function format(style: Style, at: Date): string {
  const key = `${locale()} ${style}`;
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat(locale(), STYLES[style])));
  return format.format(at);
}

export const time = (at: string): string => format("time", new Date(at));
export const full = (at: string): string => format("full", new Date(at));
/** To the second, for lists of what happened. */
export const moment = (at: string): string => format("moment", new Date(at));

/** Whether both lie on the same day here. */
export function isSameDay(one: string, other: string): boolean {
  return new Date(one).toDateString() === new Date(other).toDateString();
}

/** "Today", "Yesterday", or the date; with the year if it isn't this one. */
export function day(at: string): string {
  const date = new Date(at);
  const now = new Date();
  if (date.toDateString() === now.toDateString()) return text().today;
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (date.toDateString() === yesterday.toDateString()) return text().yesterday;
  const said = format("day", date);
  return date.getFullYear() === now.getFullYear() ? said : `${said} ${date.getFullYear()}`;
}

/** "3 minutes ago". */
export function ago(at: string): string {
  const relative = new Intl.RelativeTimeFormat(locale(), { numeric: "auto" });
  const minutes = Math.round((new Date(at).getTime() - Date.now()) / 60_000);
  if (minutes > -60) return relative.format(minutes, "minute");
  if (minutes > -48 * 60) return relative.format(Math.round(minutes / 60), "hour");
  return relative.format(Math.round(minutes / 1440), "day");
}
