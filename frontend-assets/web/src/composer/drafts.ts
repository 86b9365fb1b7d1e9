// What was begun and not sent, by user and room.

import { forgetAll, recall, remember } from "../preferences.ts";

const key = (userId: string, roomId: string) => `tertulia.draft.${userId}.${roomId}`;

export const recallDraft = (userId: string, roomId: string): string => recall<string>(key(userId, roomId)) ?? "";
export const keepDraft = (userId: string, roomId: string, body: string): void => remember(key(userId, roomId), body || undefined);
export const forgetDraft = (userId: string, roomId: string): void => remember(key(userId, roomId), undefined);

/** Everything begun by a user who signs out on purpose. */
export const forgetDrafts = (userId: string): void => forgetAll(key(userId, ""));
