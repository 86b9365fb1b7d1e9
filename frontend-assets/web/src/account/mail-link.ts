// What a link in a mail asks this page to do. Its token is behind the `#`, which no server sees, and is taken out of the
// address at once.

import { Store } from "../store.ts";

export interface MailLink {
  readonly purpose: "verify-email" | "reset-password";
  readonly token: string;
}

export const mailLink = new Store<MailLink | undefined>(undefined);

function take(): void {
  const [, purpose, token] = /^#(verify-email|reset-password)=(.+)$/.exec(location.hash) ?? [];
  if (!purpose || !token) return;
  history.replaceState(history.state, "", location.pathname + location.search);
  mailLink.set({ purpose: purpose as MailLink["purpose"], token });
}

take();
// The link may have been opened where the page was open already.
addEventListener("hashchange", take);
