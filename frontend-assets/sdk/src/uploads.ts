// Files on their way to the server: begun, sent with their progress told, and completed.
//
// What must stay true: bytes go only to the address that the server gave for them; an upload that was aborted sends
// nothing more; what fails for a while is tried again a bounded number of times, and nothing else is.

import type { Api } from "./api.js";
import { backOff } from "./back-off.js";
import { TertuliaError } from "./error.js";
import type { components } from "./generated/http.js";

export type Upload = components["schemas"]["Upload"];

/** Tries of each step, before its error is the upload's. */
const TRIES = 5;
/** Beyond that, waiting is for people to decide on. */
const LONGEST_WAIT_MS = 60_000;
/** A transfer of which nothing moves for so long has broken. */
const STALLED_MS = 30_000;
/** Where nothing tells how far it is, it has longer by its size, at this rate; the server's own bound ends it anyway. */
const SLOWEST_BYTES_PER_MS = 16;
const LONGEST_TRANSFER_MS = 15 * 60_000;

/** How often it is asked what became of an image, and the first and the last pause between. */
const LOOKS = 18;
const LOOK_FIRST_MS = 400;
const LOOK_LAST_MS = 8_000;

export interface UploadOptions {
  /** What to call it; unless given, the name of a `File`. */
  fileName?: string;
  /** Its media type; unless given, that of the `Blob`. JPEG, PNG, GIF and WebP become images. */
  contentType?: string;
  signal?: AbortSignal;
  /** Told how many bytes have left, of how many; goes back when a transfer begins anew. */
  progress?: (sent: number, total: number) => void;
}

/** Sends bytes to an address. Rejects with {@link TertuliaError}, or with the reason of the signal. */
export type PutBytes = (
  request: { url: string; method: string; headers: Record<string, string>; body: Blob },
  on: { progress: (sent: number) => void; signal: AbortSignal | undefined },
) => Promise<void>;

export class Uploads {
  readonly #api: Api;
  readonly #origin: string;
  readonly #put: PutBytes;

  /** @internal */
  constructor(api: Api, origin: string, put: PutBytes) {
    this.#api = api;
    this.#origin = origin;
    this.#put = put;
  }

  /**
   * Uploads a file, for `attachments` of a message later. Resolves once the server has all of it; an image may be
   * processed for a while yet, and can be attached meanwhile.
   */
  async send(file: Blob, options: UploadOptions = {}): Promise<Upload> {
    const { signal, progress } = options;
    const fileName = options.fileName ?? ("name" in file ? String(file.name) : "file");
    const contentType = mediaType(options.contentType ?? file.type);
    for (let begun = 1; ; begun++) {
      const created = await this.#insist(signal, () =>
        this.#api.post("uploads", { body: { fileName, contentType, size: file.size }, ...(signal && { signal }) }),
      );
      const url = new URL(created.url, this.#origin || undefined).href;
      const { uploadId, method, headers } = created;
      try {
        await this.#insist(signal, () => {
          progress?.(0, file.size);
          return this.#put(
            { url, method, headers, body: file },
            { progress: (sent) => progress?.(sent, file.size), signal },
          );
        });
        return await this.#insist(signal, async () => {
          const path = { uploadId };
          return (await this.#api.post("uploads/{uploadId}/complete", { path, ...(signal && { signal }) })).upload;
        });
      } catch (error) {
        // Its address is good for a quarter of an hour, which a slow line may need more than.
        if (begun >= 2 || !(error instanceof TertuliaError) || !isOver(error)) throw error;
      }
    }
  }

  /**
   * What becomes of an image: resolves once it is `ready` or has `failed`, or as it is after some two minutes. A message
   * that it is attached to tells of it by itself.
   */
  async settled(uploadId: string, signal?: AbortSignal): Promise<Upload> {
    for (let looks = 1; ; looks++) {
      const upload = await this.#insist(signal, async () => {
        return (await this.#api.get("uploads/{uploadId}", { path: { uploadId }, ...(signal && { signal }) })).upload;
      });
      if (upload.status !== "processing" || looks >= LOOKS) return upload;
      await pause(Math.min(LOOK_LAST_MS, LOOK_FIRST_MS * 2 ** (looks - 1)), signal);
    }
  }

  async #insist<T>(signal: AbortSignal | undefined, step: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      signal?.throwIfAborted();
      try {
        return await step();
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof TertuliaError) || !error.retryable || tries >= TRIES) throw error;
        const wait = Math.max(backOff(tries - 1), error.retryAfterMs ?? 0);
        if (wait > LONGEST_WAIT_MS) throw error;
        await pause(wait, signal);
      }
    }
  }
}

/** The address has ended, or what was sent to it is gone. */
const isOver = ({ code }: TertuliaError): boolean => code === "not_found" || code === "conflict" || code === "forbidden";

/** Without parameters, which no upload has; of unknown files, that of bytes. */
function mediaType(type: string): string {
  const plain = type.split(";")[0]?.trim().toLowerCase() ?? "";
  return /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/.test(plain) ? plain : "application/octet-stream";
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** By `XMLHttpRequest` where there is one, which alone tells how far an upload is; else by `fetch`. */
export function putBytes(fetch: typeof globalThis.fetch): PutBytes {
  return typeof XMLHttpRequest === "undefined" ? byFetch(fetch) : byXhr;
}

const byXhr: PutBytes = ({ url, method, headers, body }, { progress, signal }) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let stalled: ReturnType<typeof setTimeout> | undefined;
    const moved = (): void => {
      clearTimeout(stalled);
      stalled = setTimeout(() => end(TertuliaError.timeout()), STALLED_MS);
    };
    const abort = (): void => end(signal?.reason);
    const end = (error?: unknown): void => {
      clearTimeout(stalled);
      signal?.removeEventListener("abort", abort);
      if (error === undefined) return resolve();
      request.onload = request.onerror = null;
      request.abort();
      reject(error);
    };
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) {
      // The browser sends what follows from the body, and lets nobody else.
      if (!/^(content-length|host)$/i.test(name)) request.setRequestHeader(name, value);
    }
    request.upload.onprogress = ({ loaded }) => {
      moved();
      progress(loaded);
    };
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) return end();
      // Of a store on another origin only some headers can be read; asking for another one is an error on the console.
      const after = /^retry-after:\s*(.+)$/im.exec(request.getAllResponseHeaders())?.[1];
      end(TertuliaError.ofStatus(request.status, after ?? null));
    };
    request.onerror = () => end(TertuliaError.network());
    signal?.addEventListener("abort", abort, { once: true });
    moved();
    request.send(body);
  });

const byFetch =
  (fetch: typeof globalThis.fetch): PutBytes =>
  async ({ url, method, headers, body }, { progress, signal }) => {
    const timeout = new AbortController();
    const patience = Math.min(LONGEST_TRANSFER_MS, STALLED_MS + body.size / SLOWEST_BYTES_PER_MS);
    const timer = setTimeout(() => timeout.abort(), patience);
    const either = signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal;
    try {
      const response = await fetch(url, { method, headers, body, signal: either }).catch(() => {
        if (signal?.aborted) throw signal.reason;
        throw timeout.signal.aborted ? TertuliaError.timeout() : TertuliaError.network();
      });
      // A store answers in words of its own; its status is all that is understood.
      if (!response.ok) throw TertuliaError.ofStatus(response.status, response.headers.get("retry-after"));
    } finally {
      clearTimeout(timer);
    }
    progress(body.size);
  };
