// A menu on a button.

import * as Ariakit from "@ariakit/react";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import styles from "./menu.module.css";

export interface MenuAction {
  readonly label: string;
  readonly icon: LucideIcon;
  readonly isDangerous?: boolean;
  readonly run: () => void;
}

interface Props {
  label: string;
  className?: string;
  /** What the button shows. */
  children: ReactNode;
  actions: readonly MenuAction[];
  onToggle?: (isOpen: boolean) => void;
  tabIndex?: number;
}

export function Menu({ label, className, children, actions, onToggle, tabIndex }: Props) {
  return (
    <Ariakit.MenuProvider placement="bottom-end" {...(onToggle && { setOpen: onToggle })}>
      <Ariakit.MenuButton className={className} aria-label={label} title={label} {...(tabIndex !== undefined && { tabIndex })}>
        {children}
      </Ariakit.MenuButton>
      <Ariakit.Menu className={styles.menu} gutter={4} portal unmountOnHide aria-label={label}>
        {actions.map(({ label, icon: Icon, isDangerous, run }) => (
          <Ariakit.MenuItem key={label} className={isDangerous ? `${styles.item} ${styles.dangerous}` : styles.item} onClick={run}>
            <Icon size={16} aria-hidden />
            {label}
          </Ariakit.MenuItem>
        ))}
      </Ariakit.Menu>
    </Ariakit.MenuProvider>
  );
}
