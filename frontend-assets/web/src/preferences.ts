// What the reader chose for this browser. Kept in local storage; a browser that refuses it forgets.

import { Store } from "./store.ts";

export type Theme = "system" | "light" | "dark";
export type Language = "en" | "es";

export interface Preferences {
  readonly theme: Theme;
  /** Absent: the browser's. */
  readonly language?: Language;
  readonly notify: boolean;
}

const KEY = "tertulia.preferences";
const DEFAULTS: Preferences = { theme: "system", notify: false };

export const preferences = new Store<Preferences>({ ...DEFAULTS, ...recall<Partial<Preferences>>(KEY) });

export function prefer(change: Partial<Preferences>): void {
  preferences.update((now) => ({ ...now, ...change }));
  remember(KEY, preferences.get());
}

/** Something remembered, or nothing if it can't be read. */
export function recall<T>(key: string): T | undefined {
  try {
    const text = localStorage.getItem(key);
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined;
  }
}

/** `undefined` forgets. */
export function remember(key: string, value: unknown): void {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Full, or forbidden: nothing here is needed.
  }
}

/** Forgets everything whose key begins so. */
export function forgetAll(prefix: string): void {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(prefix)) localStorage.removeItem(key);
  } catch {
    // Where it is forbidden nothing was remembered.
  }
}

function applyTheme(): void {
  const { theme } = preferences.get();
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

applyTheme();
preferences.subscribe(applyTheme);
