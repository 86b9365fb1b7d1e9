// A room into which files can be dragged.

import { useState, type DragEvent, type ReactNode } from "react";
import { useText } from "../text/index.ts";
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
        attach(roomId, [...event.dataTransfer.files]);
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
