// The words of the reader's language, and its way to write times.

import { preferences, type Language } from "../preferences.ts";
import { useStore } from "../store.ts";
import { en, type Text } from "./en.ts";
import { es } from "./es.ts";

export type { Text };

export const LANGUAGES: Record<Language, Text> = { en, es };

export function language(): Language {
  const chosen = preferences.get().language;
  if (chosen) return chosen;
  const known = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGES);
  return (known as Language | undefined) ?? "en";
}

export const text = (): Text => LANGUAGES[language()];

/** The reader's own kind of the language, which decides how times are written. */
export function locale(): string {
  const chosen = language();
  return navigator.languages.find((tag) => tag.slice(0, 2) === chosen) ?? chosen;
}

export function useText(): Text {
  return LANGUAGES[useStore(preferences, language)];
}

function applyLanguage(): void {
  document.documentElement.lang = language();
}

applyLanguage();
preferences.subscribe(applyLanguage);
