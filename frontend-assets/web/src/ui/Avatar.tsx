// A person: their picture, or else a coloured tile with initials; the same name has the same colour everywhere.

import { useState } from "react";
import { usePicture } from "../rooms/pictures.ts";
import styles from "./avatar.module.css";

const COLOURS = 8;

interface Props {
  name: string;
  /** Whose picture it is; without one there are the initials. */
  userId?: string | undefined;
  size?: "small" | "medium" | "large";
  isOnline?: boolean;
}

export function Avatar({ name, userId, size = "medium", isOnline = false }: Props) {
  const picture = usePicture(userId);
  const [missing, setMissing] = useState<string>();
  return (
    <span className={`${styles.avatar} ${styles[size]} ${styles[`colour${colour(name)}`]}`} aria-hidden="true">
      <span className={styles.initials}>{initials(name)}</span>
      {picture && picture !== missing && (
        <img className={styles.picture} src={picture} alt="" draggable={false} decoding="async" onError={() => setMissing(picture)} />
      )}
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
