// Short words about something that just happened, said to screen readers too.

import { X } from "lucide-react";
import { useEffect } from "react";
import { Store, useStore } from "../store.ts";
import { explain } from "../text/errors.ts";
import { text, useText } from "../text/index.ts";
import controls from "./controls.module.css";
import styles from "./toasts.module.css";

interface Toast {
  readonly id: number;
  readonly words: string;
  readonly isBad: boolean;
}

const SHOWN_MS = 7_000;
const MAX = 3;

const toasts = new Store<readonly Toast[]>([]);
let nextId = 1;

export function say(words: string, isBad = false): void {
  const others = toasts.get().filter((toast) => toast.words !== words);
  toasts.set([...others, { id: nextId++, words, isBad }].slice(-MAX));
}

/** Says what went wrong; for `catch`. */
export function complain(error: unknown): void {
  say(explain(error, text()), true);
}

const dismiss = (id: number) => toasts.update((now) => now.filter((toast) => toast.id !== id));

export function Toasts() {
  const shown = useStore(toasts);
  return (
    <div className={styles.toasts} role="status" aria-live="polite">
      {shown.map((toast) => (
        <Shown key={toast.id} toast={toast} />
      ))}
    </div>
  );
}

function Shown({ toast: { id, words, isBad } }: { toast: Toast }) {
  const { close } = useText();
  useEffect(() => {
    const timer = setTimeout(() => dismiss(id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [id]);
  return (
    <div className={isBad ? `${styles.toast} ${styles.bad}` : styles.toast}>
      <span>{words}</span>
      <button type="button" className={controls.icon} onClick={() => dismiss(id)} aria-label={close}>
        <X size={16} aria-hidden />
      </button>
    </div>
  );
}
