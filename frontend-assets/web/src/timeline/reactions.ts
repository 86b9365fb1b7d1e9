// Reactions as they are counted and offered.

import type { Reaction } from "@tertulia/sdk";

/** Offered first. */
export const QUICK = ["👍", "❤️", "😂", "🎉", "👀", "🙏"];

export const MORE = [
  "😀",
  "😅",
  "🙂",
  "😉",
  "😍",
  "🤔",
  "😮",
  "😢",
  "😡",
  "🥳",
  "😴",
  "🤷",
  "👏",
  "🙌",
  "💪",
  "🤝",
  "👋",
  "👌",
  "👎",
  "🫶",
  "🔥",
  "✨",
  "💯",
  "✅",
  "❌",
  "❓",
  "💡",
  "🚀",
  "☕",
  "🍰",
  "🌱",
  "🐛",
];

/** The counts once somebody put an emoji, or took it back. */
export function withReaction(reactions: readonly Reaction[], emoji: string, on: boolean, isMine: boolean): Reaction[] {
  const present = reactions.find((reaction) => reaction.emoji === emoji);
  if (!present) return on ? [...reactions, { emoji, count: 1, mine: isMine }] : [...reactions];
  const count = present.count + (on ? 1 : -1);
  const mine = isMine ? on : present.mine;
  return reactions.flatMap((reaction) => (reaction !== present ? [reaction] : count > 0 ? [{ emoji, count, mine }] : []));
}
