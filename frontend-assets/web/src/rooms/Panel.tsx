// What is shown beside a room, or in its place where there is no room for both.

import { X } from "lucide-react";
import type { ReactNode } from "react";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import styles from "./room-page.module.css";

export function SidePanel({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const text = useText();
  return (
    <aside
      className={styles.panel}
      aria-label={title}
      onKeyDown={(event) => event.key === "Escape" && !event.defaultPrevented && onClose()}
    >
      <header className={styles.panelHeader}>
        <h2>{title}</h2>
        <button type="button" className={controls.icon} onClick={onClose} aria-label={text.close} title={text.close}>
          <X size={19} aria-hidden />
        </button>
      </header>
      <div className={styles.panelBody}>{children}</div>
    </aside>
  );
}
