// Who is signed in: tokens, their renewal, and requests with them.
//
// Tokens are kept for one window, so that two windows of a browser can be two people. A duplicated window begins with a
// copy, though, and a refresh token is good only once: whoever renews tells the others.

import * as kept from './kept.js';
import { Refusal } from './socket.js';

const KEY = 'tertulia.session';
const RENEW_BEFORE_MS = 30_000;

const others = new BroadcastChannel(KEY);
let session = kept.recall(KEY);
let renewal = null;
let ended = () => {};

others.onmessage = ({ data: { replaces, by } }) => {
  if (session?.refreshToken === replaces) keep(by);
};

function keep(next) {
  session = next;
  kept.keep(KEY, next);
}

function dated(tokens) {
  return { ...tokens, expiresAt: Date.now() + tokens.expiresIn * 1_000 };
}

/** The user, or nothing. */
export const me = () => session?.user;

/** `listener(message)` is called when the session has ended on the server. */
export const onEnd = (listener) => (ended = listener);

/** Comes in by `register`, `login` or `guest`. */
export async function signIn(way, fields) {
  keep(dated(await request('POST', `auth/${way}`, fields)));
}

/** Forgets the session here; with `logOut` it ends on the server too, if that can be reached, and nothing is kept. */
export async function forget({ logOut = false } = {}) {
  if (logOut) await api('POST', 'auth/logout').catch(() => {});
  session = null;
  if (logOut) kept.forgetAll();
  else kept.forget(KEY);
}

/** A token that is good for a while yet. */
export async function accessToken() {
  if (session.expiresAt - RENEW_BEFORE_MS < Date.now()) await renew();
  return session.accessToken;
}

/** The access token is refused although it isn't old; the next one to be used is new. */
export function distrust() {
  if (session) session.expiresAt = 0;
}

/** One request to `/api/v1/…` as the user; rejects with a `Refusal`. */
export async function api(method, path, body) {
  try {
    return await request(method, path, body, await accessToken());
  } catch (error) {
    if (error.code !== 'unauthenticated' || !session) throw error;
    distrust();
    return request(method, path, body, await accessToken());
  }
}

// Never two at a time: the second would present a token that the first has used up.
function renew() {
  const { refreshToken } = session;
  renewal ??= request('POST', 'auth/refresh', { refreshToken })
    .then((tokens) => {
      keep(dated(tokens));
      others.postMessage({ replaces: refreshToken, by: session });
    })
    .catch((error) => {
      if (!error.retryable) ended('Your session has ended. Please sign in again.');
      throw error;
    })
    .finally(() => (renewal = null));
  return renewal;
}

async function request(method, path, body, token) {
  const headers = { Accept: 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Refusal({ code: 'unavailable', message: "The server can't be reached.", retryable: true });
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const unclear = { code: 'unavailable', retryable: response.status >= 500, detail: `The server answered ${response.status}.` };
  const { detail, ...problem } = answer ?? unclear;
  throw new Refusal({ ...problem, message: detail });
}
