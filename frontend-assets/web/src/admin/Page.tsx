// What every section has: its title, what can be done in it, and its contents.

import { RefreshCw } from "lucide-react";
import type { ReactNode } from "react";
import controls from "../ui/controls.module.css";
import { useAdminText } from "./text/index.ts";
import styles from "./admin.module.css";

interface Props {
  title: string;
  hint?: string;
  /** Buttons beside the title. */
  actions?: ReactNode;
  onRefresh?: () => void;
  children: ReactNode;
}

export function Page({ title, hint, actions, onRefresh, children }: Props) {
  const text = useAdminText();
  return (
    <section className={styles.page} aria-label={title}>
      <header className={styles.pageHeader}>
        <div className={controls.grow}>
          <h1>{title}</h1>
          {hint && <p className={controls.faint}>{hint}</p>}
        </div>
        <div className={styles.pageActions}>
          {actions}
          {onRefresh && (
            <button type="button" className={controls.icon} onClick={onRefresh} aria-label={text.refresh} title={text.refresh}>
              <RefreshCw size={17} aria-hidden />
            </button>
          )}
        </div>
      </header>
      {children}
    </section>
  );
}
