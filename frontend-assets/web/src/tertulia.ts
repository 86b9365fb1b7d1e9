// The one client of this page, and what components see of it.

import { Tertulia, type ConnectionState, type SignedOutReason, type User } from "@tertulia/sdk";
import { Store, useStore } from "./store.ts";

export const tertulia = new Tertulia();

/** Who is signed in; `undefined` while that isn't known yet, `null` for nobody. */
export const session = new Store<User | null | undefined>(undefined);
/** Why nobody is signed in any more, for the sign-in page to say. */
export const signedOut = new Store<SignedOutReason | undefined>(undefined);
export const connection = new Store<ConnectionState>(tertulia.connection);
/** What the browser says of the network; it may be wrong, the connection isn't. */
export const isOnline = new Store(navigator.onLine);

/** The server said that it goes, and hasn't come back since. */
export const isRestarting = new Store(false);

tertulia.on("connection", (state) => {
  if (state.draining) isRestarting.set(true);
  else if (state.status === "connected" || state.status === "stopped") isRestarting.set(false);
  connection.set(state);
});
tertulia.on("user", (user) => {
  signedOut.set(undefined);
  session.set(user);
});
tertulia.on("signed-out", (reason) => {
  signedOut.set(reason);
  session.set(null);
});

for (const event of ["online", "offline"] as const) {
  addEventListener(event, () => isOnline.set(navigator.onLine));
}

/** The user of a page that is shown only to who is signed in. */
export function useMe(): User {
  const user = useStore(session);
  if (!user) throw new Error("shown without a user");
  return user;
}

export const isMe = (userId: string): boolean => session.get()?.id === userId;
