import { prefer, preferences, type Language } from "../preferences.ts";
import { useStore } from "../store.ts";
import { LANGUAGES, useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";

export function LanguageSwitch() {
  const text = useText();
  const { language } = useStore(preferences);
  return (
    <select
      className={controls.input}
      aria-label={text.languageLabel}
      value={language ?? ""}
      onChange={({ target }) => prefer({ language: (target.value || undefined) as Language | undefined })}
    >
      <option value="">{text.languageAuto}</option>
      {Object.entries(LANGUAGES).map(([code, { language }]) => (
        <option key={code} value={code} lang={code}>
          {language}
        </option>
      ))}
    </select>
  );
}
