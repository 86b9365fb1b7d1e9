// A person as a coloured circle with initials; the same name has the same colour everywhere.

import styles from "./avatar.module.css";

const COLOURS = 8;

interface Props {
  name: string;
  size?: "small" | "medium";
  isOnline?: boolean;
}

export function Avatar({ name, size = "medium", isOnline = false }: Props) {
  return (
    <span className={`${styles.avatar} ${styles[size]} ${styles[`colour${colour(name)}`]}`} aria-hidden="true">
      <span className={styles.initials}>{initials(name)}</span>
      {isOnline && <span className={styles.online} />}
    </span>
  );
}

function colour(name: string): number {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % COLOURS;
}

function initials(name: string): string {
  const words = name.replace(/\p{M}/gu, "").trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map((word) => [...(word ?? "")][0] ?? "");
  return letters.join("").toUpperCase() || "?";
}
