/**
 * Tertulia for TypeScript: rooms followed without gaps or duplicates, and messages that arrive once.
 *
 * @packageDocumentation
 */

export { Tertulia, type TertuliaEvents, type TertuliaOptions } from "./client.js";
export type { Room } from "./room.js";
export type { RoomEvents, RoomStatus } from "./room-events.js";
export type { Draft, OutgoingMessage, Sending } from "./outbox.js";
export type { SignedOutReason, Tokens, User } from "./session.js";
export type { Answer, ConnectionState, SocketFactory, SocketLike } from "./connection.js";
export type { Api, ApiAnswer, ApiRequest, Route } from "./api.js";
export type {
  NotificationEvents,
  NotificationPage,
  NotificationPreferences,
  Notifications,
  Notify,
} from "./notifications.js";
export type { PutBytes, Upload, UploadOptions, Uploads } from "./uploads.js";
export type { Unsubscribe } from "./emitter.js";
export { TertuliaError, type TertuliaErrorCode } from "./error.js";
export { indexedDbStorage, memoryStorage, type Storage } from "./storage.js";
export type { Transport, Way } from "./transports.js";

export { bounds } from "./generated/events.js";
export type {
  Attachment,
  ClientEvents,
  ErrorCode,
  EventPage,
  ImageFailed,
  ImageReady,
  Message,
  MessageDeleted,
  MessageEdited,
  MessagePage,
  MessageReacted,
  MessagesFound,
  Notification,
  NotificationsRead,
  Presence,
  Reaction,
  Room as RoomInfo,
  RoomEvent,
  RoomKind,
  RoomRole,
  RoomVoid,
  Sender,
  ServerEvents,
} from "./generated/events.js";
export type { components, paths } from "./generated/http.js";

import type { components } from "./generated/http.js";

/** A device where the user is signed in. */
export type Session = components["schemas"]["Session"];
/** A member of a room. */
export type RoomMember = components["schemas"]["RoomMember"];
