// A dialog over the page: focus stays in it and goes back afterwards, Escape closes it.

import * as Ariakit from "@ariakit/react";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import { useText } from "../text/index.ts";
import controls from "./controls.module.css";
import styles from "./dialog.module.css";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
  isWide?: boolean;
}

export function Dialog({ title, onClose, children, isWide = false }: Props) {
  const text = useText();
  return (
    <Ariakit.Dialog
      open
      onClose={onClose}
      backdrop={<div className={styles.veil} />}
      className={isWide ? `${styles.dialog} ${styles.wide}` : styles.dialog}
    >
      <header className={styles.header}>
        <Ariakit.DialogHeading className={styles.heading}>{title}</Ariakit.DialogHeading>
        <Ariakit.DialogDismiss className={controls.icon} aria-label={text.close}>
          <X size={20} aria-hidden />
        </Ariakit.DialogDismiss>
      </header>
      <div className={styles.body}>{children}</div>
    </Ariakit.Dialog>
  );
}

interface AskProps {
  title: string;
  children?: ReactNode;
  action: string;
  onClose: () => void;
  onAgree: () => void;
}

/** A question before something that can't be taken back. */
export function Ask({ title, children, action, onClose, onAgree }: AskProps) {
  const text = useText();
  return (
    <Ariakit.Dialog
      open
      onClose={onClose}
      role="alertdialog"
      backdrop={<div className={styles.veil} />}
      className={`${styles.dialog} ${styles.ask}`}
    >
      <Ariakit.DialogHeading className={styles.heading}>{title}</Ariakit.DialogHeading>
      {children && <Ariakit.DialogDescription className={styles.description}>{children}</Ariakit.DialogDescription>}
      <div className={controls.actions}>
        <Ariakit.DialogDismiss className={controls.button}>{text.cancel}</Ariakit.DialogDismiss>
        <button
          type="button"
          className={`${controls.button} ${controls.danger}`}
          onClick={() => {
            onAgree();
            onClose();
          }}
        >
          {action}
        </button>
      </div>
    </Ariakit.Dialog>
  );
}
