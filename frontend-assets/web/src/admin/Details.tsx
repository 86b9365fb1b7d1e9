// One row of a table, whole.

import type { ReactNode } from "react";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import styles from "./admin.module.css";

/** What is `undefined` isn't shown. */
export type Detail = readonly [name: string, value: ReactNode];

interface Props {
  title: string;
  details: readonly Detail[];
  /** Buttons below. */
  children?: ReactNode;
  onClose: () => void;
}

export function Details({ title, details, children, onClose }: Props) {
  return (
    <Dialog title={title} onClose={onClose}>
      <dl className={styles.details}>
        {details
          .filter(([, value]) => value !== undefined && value !== "")
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd dir="auto">{value}</dd>
            </div>
          ))}
      </dl>
      {children && <div className={controls.actions}>{children}</div>}
    </Dialog>
  );
}
