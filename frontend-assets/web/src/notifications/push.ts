// Web Push to this browser: asked for only when somebody turns it on, and for as long as they are signed in here.

import { TertuliaError } from "@tertulia/sdk";
import { navigate } from "wouter/use-browser-location";
import { recall, remember } from "../preferences.ts";
import { Store } from "../store.ts";
import { session, tertulia } from "../tertulia.ts";

const DEVICE = "tertulia.device";
/** Whose browser this is, if they want push here; `null` if nobody does any more, and the browser hasn't yet ended it. */
const WANTED = "tertulia.push";

export const canPush = "serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis;

/** Whether this browser is reached by push. */
export const isPushed = new Store(false);

/** The key that the server signs with; nothing if it doesn't push to browsers. */
export async function pushKey(): Promise<string | undefined> {
  if (!canPush) return undefined;
  try {
    return (await tertulia.api.get("push/key")).publicKey;
  } catch (error) {
    if (error instanceof TertuliaError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** Asks the reader and the browser, and registers this device. Answers what the reader said. */
export async function turnOn(userId: string, key: string): Promise<NotificationPermission> {
  const permission = await Notification.requestPermission();
  if (permission !== "granted") return permission;
  const subscription = await inTurn(() => subscribe(key));
  await put(subscription);
  await tertulia.notifications.prefer({ push: true });
  remember(WANTED, userId);
  isPushed.set(true);
  return permission;
}

/** Ends push to this browser; the server forgets it even if the browser doesn't. */
export async function turnOff(): Promise<void> {
  if (!isPushed.get() && recall(WANTED) === undefined) return;
  await Promise.all([tertulia.api.delete("devices/{deviceId}", { path: { deviceId: deviceId() } }).catch(ignoreMissing), release()]);
}

/** Ends push as far as the browser can by itself, and takes away what it shows. Tried again at the next start if it fails. */
export function release(): Promise<void> {
  isPushed.set(false);
  if (!canPush || recall(WANTED) === undefined) return Promise.resolve();
  remember(WANTED, null);
  return inTurn(async () => {
    const registration = await navigator.serviceWorker.getRegistration("/");
    for (const shown of (await registration?.getNotifications()) ?? []) shown.close();
    const subscription = await registration?.pushManager.getSubscription();
    if (subscription && !(await subscription.unsubscribe())) throw new Error("the browser keeps its subscription");
    // Somebody may have turned it on since.
    if (recall(WANTED) === null) remember(WANTED, undefined);
  });
}

/** A device is known for as long as its session: a new one registers it again. */
async function renew(userId: string): Promise<void> {
  if (!canPush || recall(WANTED) !== userId) return release();
  if (Notification.permission !== "granted") return isPushed.set(false);
  isPushed.set((await current()) !== null);
  const key = await pushKey();
  const isWanted = () => recall(WANTED) === userId && session.get()?.id === userId;
  const subscription = await inTurn(async () => (key !== undefined && isWanted() ? subscribe(key) : null));
  if (!isWanted()) return;
  isPushed.set(subscription !== null);
  if (subscription) await put(subscription);
}

/** The subscription for this key: another one is of another server, or of a key that is no more. */
async function subscribe(key: string): Promise<PushSubscription> {
  const { pushManager } = await register();
  const before = await pushManager.getSubscription();
  if (before && isFor(before, key)) return before;
  await before?.unsubscribe();
  return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(key) });
}

/** What ends a subscription isn't to meet one that has just begun. */
let last: Promise<unknown> = Promise.resolve();
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = last.then(work);
  last = result.catch(() => undefined);
  return result;
}

let renewed: string | undefined;
session.subscribe(() => {
  const userId = session.get()?.id;
  if (userId === renewed) return;
  renewed = userId;
  // Told again at the next start.
  if (userId) renew(userId).catch(() => undefined);
});
tertulia.on("signed-out", () => void release().catch(() => undefined));

if (canPush) {
  navigator.serviceWorker.addEventListener("message", ({ data }: MessageEvent<{ type?: string; path?: string }>) => {
    if (data.type === "open" && data.path?.startsWith("/")) navigate(data.path);
  });
}

async function put(subscription: PushSubscription): Promise<void> {
  const { endpoint, keys } = subscription.toJSON();
  if (!endpoint || !keys) throw new Error("a subscription without an address");
  await tertulia.api.put("devices/{deviceId}", { path: { deviceId: deviceId() }, body: { kind: "web", endpoint, keys } });
}

async function current(): Promise<PushSubscription | null> {
  if (!canPush) return null;
  const registration = await navigator.serviceWorker.getRegistration("/");
  return (await registration?.pushManager.getSubscription()) ?? null;
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): { createScriptURL: (url: string) => string };
}

/** The page's policy takes addresses of scripts only from where they are written down. */
function register(): Promise<ServiceWorkerRegistration> {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  const url = trustedTypes?.createPolicy("tertulia-push", { createScriptURL: () => "/push.js" }).createScriptURL("") ?? "/push.js";
  return navigator.serviceWorker.register(url).then(() => navigator.serviceWorker.ready);
}

function deviceId(): string {
  let id = recall<string>(DEVICE);
  if (!id) {
    id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    remember(DEVICE, id);
  }
  return id;
}

function bytesOf(base64url: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}

function isFor({ options }: PushSubscription, key: string): boolean {
  const wanted = bytesOf(key);
  const own = new Uint8Array(options.applicationServerKey ?? new ArrayBuffer(0));
  return own.length === wanted.length && own.every((byte, index) => byte === wanted[index]);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof TertuliaError) || error.code !== "not_found") throw error;
}
