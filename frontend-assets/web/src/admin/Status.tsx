// A word on how something is, in the colour of that.

import styles from "./admin.module.css";

export type Tone = "good" | "bad" | "plain";

export function Status({ tone, children }: { tone: Tone; children: string }) {
  return <span className={`${styles.status} ${styles[tone]}`}>{children}</span>;
}
