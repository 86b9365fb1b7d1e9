// The words of the dashboard, which come with it.

import { preferences, type Language } from "../../preferences.ts";
import { useStore } from "../../store.ts";
import { language } from "../../text/index.ts";
import { en, type AdminText } from "./en.ts";
import { es } from "./es.ts";

export type { AdminText };

const LANGUAGES: Record<Language, AdminText> = { en, es };

export const adminText = (): AdminText => LANGUAGES[language()];

export function useAdminText(): AdminText {
  return LANGUAGES[useStore(preferences, language)];
}
