// A few emoji to choose from, on a button.

import * as Ariakit from "@ariakit/react";
import { useText } from "../text/index.ts";
import styles from "./emoji-picker.module.css";
import { MORE, QUICK } from "./reactions.ts";

interface Props {
  label: string;
  className: string | undefined;
  children: React.ReactNode;
  onPick: (emoji: string) => void;
  onToggle?: (isOpen: boolean) => void;
}

export function EmojiPicker({ label, className, children, onPick, onToggle }: Props) {
  const text = useText();
  return (
    <Ariakit.MenuProvider placement="top-end" {...(onToggle && { setOpen: onToggle })}>
      <Ariakit.MenuButton className={className} aria-label={label} title={label}>
        {children}
      </Ariakit.MenuButton>
      <Ariakit.Menu className={styles.picker} gutter={4} portal unmountOnHide aria-label={label}>
        {rows([...QUICK, ...MORE]).map((row, index) => (
          <Ariakit.CompositeRow key={index} className={styles.row} role="presentation">
            {row.map((emoji) => (
              <Ariakit.MenuItem key={emoji} className={styles.emoji} aria-label={text.reactWith(emoji)} onClick={() => onPick(emoji)}>
                {emoji}
              </Ariakit.MenuItem>
            ))}
          </Ariakit.CompositeRow>
        ))}
      </Ariakit.Menu>
    </Ariakit.MenuProvider>
  );
}

const COLUMNS = 6;

function rows(emoji: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(emoji.length / COLUMNS) }, (_, row) => emoji.slice(row * COLUMNS, (row + 1) * COLUMNS));
}
