// What is being attached in each room: uploads go on while another room is shown, and a message that was sent before its
// uploads are there goes as soon as they are.
//
// What must stay true: an upload that was taken away sends nothing more; a message goes with all of its attachments, or
// stays where its writer can see why.

import { bounds, type Attachment, type Draft, type OutgoingMessage, TertuliaError } from "@tertulia/sdk";
import { Store } from "../store.ts";
import { session, tertulia } from "../tertulia.ts";
import { text } from "../text/index.ts";
import { say } from "../ui/toasts.tsx";
import { forgetLocals, keepLocal, localOf } from "./locals.ts";

export interface Item {
  readonly id: number;
  readonly file: File;
  readonly isImage: boolean;
  /** Of an image, its address in this browser. */
  readonly preview: string | undefined;
  readonly state: "uploading" | "ready" | "failed";
  /** Bytes that have left. */
  readonly sent: number;
  readonly uploadId?: string;
  readonly error?: unknown;
  /** Why the server can't show the picture; it may be sent as a file. */
  readonly reason?: Attachment["reason"];
}

/** A message that waits for its uploads. */
export interface Parcel {
  readonly id: number;
  readonly draft: Draft;
  readonly items: readonly Item[];
  /** Why it couldn't be sent though they are there; its writer decides what becomes of it. */
  readonly error?: unknown;
}

export interface Tray {
  readonly items: readonly Item[];
  readonly parcels: readonly Parcel[];
}

const EMPTY: Tray = { items: [], parcels: [] };

/** Uploads at a time; a browser has few connections to a server. */
const AT_ONCE = 3;
/** Larger images are taken as files only. */
const IMAGE_BYTES = 20 << 20;
const IMAGE_TYPES = ["image/jpeg", "image/png", "image/gif", "image/webp"];

export const trays = new Store<ReadonlyMap<string, Tray>>(new Map());

export const trayOf = (all: ReadonlyMap<string, Tray>, roomId: string): Tray => all.get(roomId) ?? EMPTY;

const aborts = new Map<number, AbortController>();
const queue: (() => void)[] = [];
let running = 0;
let nextId = 1;

/** Begins to upload files for the next message in a room. */
export function attach(roomId: string, files: Iterable<File>, asFile = false): void {
  const { errors } = text();
  for (const file of files) {
    if (file.size === 0) {
      say(errors.emptyFile(file.name), true);
      continue;
    }
    if (trayOf(trays.get(), roomId).items.length >= bounds.attachments) {
      say(errors.tooManyFiles(bounds.attachments), true);
      return;
    }
    const item = newItem(file, asFile);
    change(roomId, (tray) => ({ ...tray, items: [...tray.items, item] }));
    upload(roomId, item);
  }
}

function newItem(file: File, asFile: boolean): Item {
  const isImage = !asFile && IMAGE_TYPES.includes(file.type) && file.size <= IMAGE_BYTES;
  const preview = isImage ? URL.createObjectURL(file) : undefined;
  return { id: nextId++, file, isImage, preview, state: "uploading", sent: 0 };
}

/** Uploads again what failed; a picture that can't be shown, as a file. */
export function retry(roomId: string, id: number): void {
  const item = find(roomId, id);
  if (item?.state !== "failed") return;
  if (item.reason && item.preview) URL.revokeObjectURL(item.preview);
  const again: Item = item.reason ? newItem(item.file, true) : { ...item, state: "uploading", sent: 0 };
  set(roomId, id, { ...again, id, error: undefined, reason: undefined });
  upload(roomId, { ...again, id });
}

/** Sends a message again that was refused because of its pictures: they go as files. */
export function resend(roomId: string, message: OutgoingMessage): void {
  const items = itemsOf(message, true);
  tertulia.room(roomId).discard(message.clientId);
  const { body, replyTo, mentions } = message;
  const draft = { body, ...(replyTo !== undefined && { replyTo }), ...(mentions && { mentions }) };
  change(roomId, (tray) => ({ ...tray, parcels: [...tray.parcels, { id: nextId++, draft, items }] }));
  for (const item of items) upload(roomId, item);
}

/**
 * Takes a message back that was refused, to be written anew: its files are uploaded again, as the server may have let go of them.
 * Says how many of them this browser no longer has.
 */
export function takeBackRefused(roomId: string, message: OutgoingMessage): number {
  const items = itemsOf(message, false);
  tertulia.room(roomId).discard(message.clientId);
  putIn(roomId, items);
  for (const item of items) upload(roomId, item);
  return (message.attachments?.length ?? 0) - items.length;
}

function itemsOf({ attachments = [] }: OutgoingMessage, asFiles: boolean): readonly Item[] {
  return attachments.flatMap((id) => {
    const local = localOf(id);
    return local ? [newItem(local.file, asFiles || !local.isImage)] : [];
  });
}

/** Takes a message back that waits, to be written anew; the answer is what it says. */
export function takeBack(roomId: string, parcelId: number): Draft | undefined {
  const parcel = parcelOf(roomId, parcelId);
  if (!parcel) return undefined;
  forget(roomId, parcelId);
  putIn(roomId, parcel.items);
  return parcel.draft;
}

/** Before what was attached since; what is too much then, its writer removes. */
const putIn = (roomId: string, items: readonly Item[]): void =>
  change(roomId, (tray) => ({ ...tray, items: [...items, ...tray.items] }));

/** Tries again to send a message that waits: what failed of its files, and then itself. */
export function postAgain(roomId: string, parcelId: number): void {
  const parcel = parcelOf(roomId, parcelId);
  change(roomId, (tray) => ({
    ...tray,
    parcels: tray.parcels.map((parcel) => (parcel.id === parcelId ? { ...parcel, error: undefined } : parcel)),
  }));
  for (const { id, state } of parcel?.items ?? []) if (state === "failed") retry(roomId, id);
  dispatch(roomId);
}

/** Takes a file away, however far it has come. */
export function remove(roomId: string, id: number): void {
  const item = find(roomId, id);
  if (item) drop(item);
  const without = (items: readonly Item[]) => items.filter((item) => item.id !== id);
  change(roomId, ({ items, parcels }) => ({
    items: without(items),
    parcels: parcels
      .map((parcel) => ({ ...parcel, items: without(parcel.items) }))
      .filter(({ items, draft }) => items.length > 0 || draft.body !== ""),
  }));
  dispatch(roomId);
}

/** Sends a message with what is in the tray, at once or as soon as it has been uploaded. */
export function post(roomId: string, draft: Draft): void {
  const { items } = trayOf(trays.get(), roomId);
  if (items.length === 0) return void tertulia.room(roomId).send(draft);
  change(roomId, ({ parcels }) => ({ items: [], parcels: [...parcels, { id: nextId++, draft, items }] }));
  dispatch(roomId);
}

/** Takes a message away that waits. */
export function discard(roomId: string, parcelId: number): void {
  const parcel = parcelOf(roomId, parcelId);
  forget(roomId, parcelId);
  parcel?.items.forEach(drop);
}

const parcelOf = (roomId: string, parcelId: number): Parcel | undefined =>
  trayOf(trays.get(), roomId).parcels.find(({ id }) => id === parcelId);

const forget = (roomId: string, parcelId: number): void =>
  change(roomId, (tray) => ({ ...tray, parcels: tray.parcels.filter(({ id }) => id !== parcelId) }));

function drop({ id, preview }: Item): void {
  aborts.get(id)?.abort();
  if (preview) URL.revokeObjectURL(preview);
}

/** Sends the messages whose uploads are there. */
function dispatch(roomId: string): void {
  for (const parcel of trayOf(trays.get(), roomId).parcels) {
    if (parcel.error !== undefined || parcel.items.some(({ state }) => state !== "ready")) continue;
    const attachments = parcel.items.flatMap(({ uploadId }) => uploadId ?? []);
    try {
      tertulia.room(roomId).send({ ...parcel.draft, attachments });
    } catch (error) {
      change(roomId, (tray) => ({
        ...tray,
        parcels: tray.parcels.map((other) => (other.id === parcel.id ? { ...other, error } : other)),
      }));
      continue;
    }
    forget(roomId, parcel.id);
    // What becomes of its pictures is told with the message.
    for (const { id } of parcel.items) aborts.get(id)?.abort();
  }
}

function upload(roomId: string, { id, file, isImage, preview }: Item): void {
  const abort = new AbortController();
  aborts.set(id, abort);
  const run = async () => {
    try {
      const upload = await tertulia.uploads.send(file, {
        fileName: file.name || "file",
        contentType: isImage ? file.type : notImage(file.type),
        signal: abort.signal,
        progress: (sent) => set(roomId, id, { sent }),
      });
      keepLocal(upload.id, { file, isImage, preview });
      set(roomId, id, { state: "ready", sent: file.size, uploadId: upload.id });
      dispatch(roomId);
      if (upload.status === "processing" && find(roomId, id)) void watch(roomId, id, upload.id);
    } catch (error) {
      if (!abort.signal.aborted) set(roomId, id, { state: "failed", error });
    } finally {
      if (aborts.get(id) === abort) aborts.delete(id);
      running--;
      next();
    }
  };
  queue.push(() => (abort.signal.aborted ? aborts.delete(id) : (running++, void run())));
  next();
}

/** A picture that can't be shown says so before its message is sent, if that takes long enough. */
async function watch(roomId: string, id: number, uploadId: string): Promise<void> {
  const abort = new AbortController();
  aborts.set(id, abort);
  const unknown = { status: "processing", reason: undefined };
  const { status, reason } = await tertulia.uploads.settled(uploadId, abort.signal).catch(() => unknown);
  if (aborts.get(id) === abort) aborts.delete(id);
  if (status === "failed" && !abort.signal.aborted) set(roomId, id, { state: "failed", reason: reason ?? "malformed" });
}

function next(): void {
  while (running < AT_ONCE && queue.length > 0) queue.shift()?.();
}

/** A picture that is sent as a file is announced as one. */
const notImage = (type: string): string => (IMAGE_TYPES.includes(type) ? "application/octet-stream" : type);

const every = ({ items, parcels }: Tray): readonly Item[] => [...items, ...parcels.flatMap(({ items }) => items)];

const find = (roomId: string, id: number): Item | undefined => every(trayOf(trays.get(), roomId)).find((item) => item.id === id);

function set(roomId: string, id: number, changes: { [K in keyof Item]?: Item[K] | undefined }): void {
  const changed = (items: readonly Item[]) =>
    items.some((item) => item.id === id) ? items.map((item) => (item.id === id ? ({ ...item, ...changes } as Item) : item)) : items;
  change(roomId, ({ items, parcels }) => ({
    items: changed(items),
    parcels: parcels.map((parcel) => ({ ...parcel, items: changed(parcel.items) })),
  }));
}

function change(roomId: string, by: (tray: Tray) => Tray): void {
  const tray = by(trayOf(trays.get(), roomId));
  const all = new Map(trays.get());
  if (tray.items.length + tray.parcels.length > 0) all.set(roomId, tray);
  else all.delete(roomId);
  trays.set(all);
}

/** Why a file didn't get there. */
export function explainUpload({ error, reason }: Pick<Item, "error" | "reason">): string | undefined {
  if (reason) return text().failures[reason];
  if (!(error instanceof TertuliaError)) return undefined;
  const { errors } = text();
  if (error.code === "not_found") return errors.noUploads;
  if (error.code === "too_large" || error.field === "size") return errors.fileTooLarge;
  return undefined;
}

// What somebody else attached isn't for who comes after.
session.subscribe(() => {
  if (session.get()) return;
  for (const abort of aborts.values()) abort.abort();
  for (const tray of trays.get().values()) every(tray).forEach(drop);
  trays.set(new Map());
  forgetLocals();
});

addEventListener("beforeunload", (event) => {
  // What isn't there yet would be lost with the page, and so would a message that waits.
  for (const { items, parcels } of trays.get().values())
    if (parcels.length > 0 || items.some(({ state }) => state === "uploading")) event.preventDefault();
});
