import styles from "./wordmark.module.css";

/** The name, as it is written everywhere. */
export function Wordmark({ isLarge = false }: { isLarge?: boolean }) {
  return (
    <span className={isLarge ? `${styles.wordmark} ${styles.large}` : styles.wordmark}>
      Tertulia
      <span className={styles.point} aria-hidden="true" />
    </span>
  );
}
