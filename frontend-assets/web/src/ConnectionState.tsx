// How the connection is: a badge that is always there, and a line with what to expect when it isn't well.

import { useEffect, useState } from "react";
import { connection, isOnline, isRestarting, tertulia } from "./tertulia.ts";
import { useStore } from "./store.ts";
import { explain } from "./text/errors.ts";
import { useText, type Text } from "./text/index.ts";
import controls from "./ui/controls.module.css";
import styles from "./connection.module.css";

type Condition = "connected" | "connecting" | "reconnecting" | "restarting" | "offline" | "stopped";

function useCondition(): Condition {
  const { status, error } = useStore(connection);
  const restarts = useStore(isRestarting);
  const hasNetwork = useStore(isOnline);
  if (status === "connected") return "connected";
  if (!hasNetwork) return "offline";
  if (restarts) return "restarting";
  if (status === "stopped") return "stopped";
  return status === "waiting" || error ? "reconnecting" : "connecting";
}

export function ConnectionBadge() {
  const text = useText();
  const condition = useCondition();
  return (
    <span className={`${styles.badge} ${styles[condition]}`} role="status" data-connection={condition}>
      <span className={styles.dot} aria-hidden="true" />
      <span className={styles.words}>{text.connection[condition]}</span>
    </span>
  );
}

/** Nothing while all is well, nor for the moment that a first connection takes. */
export function ConnectionLine() {
  const text = useText();
  const condition = useCondition();
  const { retryAt, error } = useStore(connection);
  const seconds = useSecondsUntil(condition === "reconnecting" ? retryAt : undefined);
  const isLate = useIsLate(condition);
  if (condition === "connected" || !isLate) return null;
  const canRetry = condition === "reconnecting" || condition === "stopped";
  return (
    <div className={styles.line}>
      <span>{condition === "stopped" && error ? explain(error, text) : words(condition, seconds, text)}</span>
      {canRetry && (
        <button
          type="button"
          className={controls.link}
          onClick={() => (condition === "stopped" ? tertulia.connect() : tertulia.reconnect())}
        >
          {text.connection.retryNow}
        </button>
      )}
    </div>
  );
}

function words(condition: Condition, seconds: number, { connection }: Text): string {
  switch (condition) {
    case "offline":
      return connection.offlineHint;
    case "restarting":
      return connection.drainingHint;
    case "reconnecting":
      return seconds > 0 ? connection.waitingHint(seconds) : connection.connectingHint;
    default:
      return connection.connectingHint;
  }
}

function useSecondsUntil(at: number | undefined): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (at === undefined) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [at]);
  return at === undefined ? 0 : Math.max(0, Math.ceil((at - now) / 1_000));
}

const SHOW_AFTER_MS = 800;

function useIsLate(condition: Condition): boolean {
  const isBad = condition !== "connected";
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    if (!isBad) return setLate(false);
    const timer = setTimeout(() => setLate(true), SHOW_AFTER_MS);
    return () => clearTimeout(timer);
  }, [isBad]);
  return isLate;
}
