// The input of a search, named by what is looked for.

import controls from "./controls.module.css";

interface Props {
  words: string;
  onWords: (words: string) => void;
  label: string;
  /** Shown while it is empty; the label unless given. */
  placeholder?: string;
  autoFocus?: boolean;
}

export function SearchField({ words, onWords, label, placeholder = label, autoFocus }: Props) {
  return (
    <input
      type="search"
      className={controls.input}
      value={words}
      onChange={({ target }) => onWords(target.value)}
      maxLength={256}
      placeholder={placeholder}
      aria-label={label}
      autoFocus={autoFocus}
    />
  );
}
