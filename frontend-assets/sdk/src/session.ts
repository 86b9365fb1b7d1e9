// Who is signed in, and the tokens to prove it.
//
// What must stay true: there is one refresh in flight at most; the windows of a browser that share a storage share the
// session, so what another window got is taken up before a refresh token is used a second time.

import { TertuliaError } from "./error.js";
import type { components } from "./generated/http.js";
import type { Send } from "./api.js";
import { Writes, type Storage } from "./storage.js";

export type User = components["schemas"]["User"];
export type Tokens = components["schemas"]["Tokens"];

/** `logout`: asked for here. `revoked`: ended by the server or on another device. `expired`: not renewed in time. */
export type SignedOutReason = "logout" | "revoked" | "expired";

const KEY = "session";
/** An access token is renewed when it is good for less than this, or than a quarter of its life. */
const RENEW_BEFORE_MS = 60_000;

interface Kept {
  user: User;
  accessToken: string;
  refreshToken: string;
  /** When the access token has to be renewed, in milliseconds since 1970. */
  renewAt: number;
}

export interface SessionListener {
  user(user: User): void;
  ended(reason: SignedOutReason): void;
}

export class Session {
  readonly #send: Send;
  readonly #storage: Storage;
  readonly #on: SessionListener;
  readonly #writes = new Writes();
  #kept: Kept | undefined;
  #renewal: Promise<string> | undefined;

  constructor(send: Send, storage: Storage, on: SessionListener) {
    this.#send = send;
    this.#storage = storage;
    this.#on = on;
  }

  get user(): User | undefined {
    return this.#kept?.user;
  }

  /** Signs in by `register`, `login` or `guest`. */
  async signIn(way: string, body: object): Promise<User> {
    const tokens = (await this.#send("post", `auth/${way}`, { body })) as Tokens;
    this.#keep(tokens);
    return tokens.user;
  }

  /** Takes up what was kept. */
  async restore(): Promise<User | undefined> {
    const stored = await this.#stored();
    // Somebody may have signed in meanwhile.
    if (stored && !this.#kept) {
      this.#kept = stored;
      this.#on.user(stored.user);
    }
    return this.user;
  }

  /** An access token that is good for a while yet; `refused` is one that the server didn't take. */
  async accessToken(refused?: string): Promise<string> {
    const kept = this.#kept;
    if (!kept) throw TertuliaError.signedOut();
    if (Date.now() < kept.renewAt && kept.accessToken !== refused) return kept.accessToken;
    this.#renewal ??= this.#renew(kept, refused).finally(() => (this.#renewal = undefined));
    return this.#renewal;
  }

  /** A request as who is signed in. */
  async request(...[method, route, request]: Parameters<Send>): Promise<unknown> {
    if (!this.#kept) return this.#send(method, route, request);
    const token = await this.accessToken();
    try {
      return await this.#send(method, route, request, token);
    } catch (error) {
      if (!isUnauthenticated(error)) throw error;
      return this.#send(method, route, request, await this.accessToken(token));
    }
  }

  /** The user's own data changed. */
  update(user: User): void {
    if (this.#kept?.user.id !== user.id) return;
    this.#kept = { ...this.#kept, user };
    this.#store();
    this.#on.user(user);
  }

  /** The session is over. */
  end(reason: SignedOutReason): void {
    const kept = this.#kept;
    if (!kept) return;
    this.#kept = undefined;
    this.#on.ended(reason);
    this.#writes.add(async () => {
      // Another user may have signed in in another window.
      const stored = await this.#stored();
      if (stored?.user.id === kept.user.id && !this.#kept) await this.#storage.delete(KEY);
    });
  }

  async #renew(kept: Kept, refused: string | undefined): Promise<string> {
    const stored = await this.#stored();
    if (stored?.user.id === kept.user.id && stored.refreshToken !== kept.refreshToken) {
      this.#kept = kept = stored;
      if (Date.now() < kept.renewAt && kept.accessToken !== refused) return kept.accessToken;
    }
    let tokens;
    try {
      tokens = (await this.#send("post", "auth/refresh", { body: { refreshToken: kept.refreshToken } })) as Tokens;
    } catch (error) {
      if (isUnauthenticated(error) && this.#kept === kept) this.end("expired");
      throw error;
    }
    // Signed out, or in again, meanwhile.
    if (this.#kept !== kept) throw TertuliaError.signedOut();
    this.#keep(tokens, !stored || stored.user.id === kept.user.id);
    return tokens.accessToken;
  }

  #keep({ user, accessToken, refreshToken, expiresIn }: Tokens, store = true): void {
    const life = expiresIn * 1_000;
    const renewAt = Date.now() + life - Math.min(RENEW_BEFORE_MS, life / 4);
    this.#kept = { user, accessToken, refreshToken, renewAt };
    if (store) this.#store();
    this.#on.user(user);
  }

  #store(): void {
    const kept = this.#kept;
    this.#writes.add(() => this.#storage.set(KEY, kept));
  }

  async #stored(): Promise<Kept | undefined> {
    const [entry] = await this.#storage.entries(KEY);
    return entry?.[1] as Kept | undefined;
  }
}

function isUnauthenticated(error: unknown): boolean {
  return error instanceof TertuliaError && error.code === "unauthenticated";
}
