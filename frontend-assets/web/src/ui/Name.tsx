// What others have called themselves, or a room: within its own bounds, whatever it holds.

import styles from "./name.module.css";

export function Name({ children }: { children: string }) {
  return <bdi className={styles.name}>{children}</bdi>;
}
