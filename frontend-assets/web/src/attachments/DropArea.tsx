// A room into which files can be dragged.

import { useState, type DragEvent, type ReactNode } from "react";
import { text, useText } from "../text/index.ts";
import { say } from "../ui/toasts.tsx";
import styles from "./drop-area.module.css";
import { attach } from "./tray.ts";

interface Props {
  className: string | undefined;
  label: string;
  roomId: string;
  children: ReactNode;
}

export function DropArea({ className, label, roomId, children }: Props) {
  const text = useText();
  const [isOver, setOver] = useState(false);
  const hasFiles = ({ dataTransfer }: DragEvent) => dataTransfer.types.includes("Files");
  return (
    <section
      className={`${className} ${styles.area}`}
      aria-label={label}
      onDragOver={(event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        event.dataTransfer.dropEffect = "copy";
        setOver(true);
      }}
      onDragLeave={({ currentTarget, relatedTarget }) => {
        if (!currentTarget.contains(relatedTarget as Node | null)) setOver(false);
      }}
      onDrop={(event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        setOver(false);
        attach(roomId, dropped(event.dataTransfer));
      }}
    >
      {children}
      {isOver && (
        <div className={styles.veil} aria-hidden="true">
          {text.dropHere}
        </div>
      )}
    </section>
  );
}

/** The files among what was dropped; a folder would be one that can't be read. */
function dropped({ items }: DataTransfer): File[] {
  return [...items].flatMap((item) => {
    const file = item.getAsFile();
    if (!file) return [];
    if (!item.webkitGetAsEntry()?.isDirectory) return [file];
    say(text().errors.emptyFile(file.name), true);
    return [];
  });
}
