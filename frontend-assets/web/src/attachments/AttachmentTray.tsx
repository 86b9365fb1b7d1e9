// The files that go with the next message, and messages that wait for theirs: how far each is, and what can be done.

import type { Draft } from "@tertulia/sdk";
import { File as FileIcon, RotateCcw, X } from "lucide-react";
import { useLayoutEffect, useRef, type FocusEvent, type RefObject } from "react";
import { useRoom } from "../timeline/context.ts";
import { useStore } from "../store.ts";
import { explain } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Name } from "../ui/Name.tsx";
import { useLocal } from "./locals.ts";
import { sizeOf } from "./sizes.ts";
import { discard, explainUpload, postAgain, remove, retry, takeBack, trayOf, trays, type Item } from "./tray.ts";
import styles from "./tray.module.css";

export function AttachmentTray({ onTakeBack }: { onTakeBack: (draft: Draft) => void }) {
  const text = useText();
  const { room } = useRoom();
  const { items, parcels } = useStore(trays, (all) => trayOf(all, room.id));
  const tray = useRef<HTMLDivElement>(null);
  const keepFocus = useKeptFocus(tray);
  const edit = (parcelId: number) => {
    const draft = takeBack(room.id, parcelId);
    if (draft) onTakeBack(draft);
  };
  return (
    <div ref={tray} onFocus={keepFocus}>
      {parcels.map(({ id, draft, items, error }) => {
        const isStuck = error !== undefined || items.some(({ state }) => state === "failed");
        return (
          <section key={id} className={styles.parcel} aria-label={text.parcel} data-parcel={isStuck ? "stuck" : "waiting"}>
            <div className={styles.words}>
              <span className={controls.grow}>
                {isStuck ? (
                  <b role="alert">
                    {text.failed} {error === undefined ? text.parcelStuck : explain(error, text)}
                  </b>
                ) : (
                  <b>{text.parcel}</b>
                )}{" "}
                <span dir="auto">{draft.body.slice(0, 160)}</span>
              </span>
              {isStuck && (
                <button type="button" className={`${controls.button} ${controls.small}`} onClick={() => postAgain(room.id, id)}>
                  {text.sendAgain}
                </button>
              )}
              <button type="button" className={`${controls.button} ${controls.small}`} onClick={() => edit(id)}>
                {text.edit}
              </button>
              <button type="button" className={`${controls.button} ${controls.small}`} onClick={() => discard(room.id, id)}>
                {text.discard}
              </button>
            </div>
            <Items items={items} />
          </section>
        );
      })}
      {items.length > 0 && (
        <section aria-label={text.attached}>
          <Items items={items} />
        </section>
      )}
    </div>
  );
}

/**
 * Keeps the focus near when what has it goes, whether it was taken away or sent: on the row that came into its place, or where
 * messages are written. The answer is told what gets the focus.
 */
function useKeptFocus(tray: RefObject<HTMLDivElement | null>) {
  const focused = useRef<{ element: HTMLElement; row: number }>(undefined);
  useLayoutEffect(() => {
    const last = focused.current;
    if (!last || last.element.isConnected || (document.activeElement && document.activeElement !== document.body)) return;
    focused.current = undefined;
    const rows = rowsOf(tray.current);
    const near = rows[Math.min(last.row, rows.length - 1)]?.querySelector<HTMLElement>("button:last-of-type");
    const form = tray.current?.closest("form");
    // A phone's keyboard isn't to come up by itself.
    const field = form?.querySelector<HTMLElement>(matchMedia("(pointer: fine)").matches ? "textarea" : "button");
    (near ?? field)?.focus();
  });
  return ({ target }: FocusEvent<HTMLElement>) => {
    const row = target.closest("li");
    focused.current = { element: target, row: row ? rowsOf(tray.current).indexOf(row) : 0 };
  };
}

const rowsOf = (tray: HTMLElement | null): readonly HTMLElement[] => [...(tray?.querySelectorAll("li") ?? [])];

function Items({ items }: { items: readonly Item[] }) {
  return (
    <ul className={styles.items}>
      {items.map((item) => (
        <Attached key={item.id} item={item} />
      ))}
    </ul>
  );
}

function Attached({ item }: { item: Item }) {
  const { id, file, preview, state, sent, error, reason } = item;
  const text = useText();
  const { room } = useRoom();
  // Its picture is the one that is kept.
  useLocal(item.uploadId);
  return (
    <li className={state === "failed" ? `${styles.item} ${styles.failed}` : styles.item} data-upload={state}>
      {preview ? (
        <img className={styles.thumb} src={preview} alt="" />
      ) : (
        <span className={styles.thumb}>
          <FileIcon size={20} aria-hidden />
        </span>
      )}
      <span className={styles.about}>
        <Name>{file.name}</Name>
        {state === "failed" ? (
          <span role="alert">{explainUpload(item) ?? explain(error, text)}</span>
        ) : state === "ready" ? (
          <span className={controls.faint}>{sizeOf(file.size)}</span>
        ) : (
          <progress className={styles.progress} max={file.size} value={sent} aria-label={text.uploading(file.name)} />
        )}
      </span>
      {state === "failed" && reason && (
        <button type="button" className={`${controls.button} ${controls.small}`} onClick={() => retry(room.id, id)}>
          {text.sendAsFile}
        </button>
      )}
      {state === "failed" && !reason && (
        <button
          type="button"
          className={controls.icon}
          onClick={() => retry(room.id, id)}
          aria-label={text.uploadAgain(file.name)}
          title={text.retry}
        >
          <RotateCcw size={16} aria-hidden />
        </button>
      )}
      <button
        type="button"
        className={controls.icon}
        onClick={() => remove(room.id, id)}
        aria-label={state === "uploading" ? text.cancelUpload(file.name) : text.removeFile(file.name)}
        title={state === "uploading" ? text.cancel : text.removeFile(file.name)}
      >
        <X size={16} aria-hidden />
      </button>
    </li>
  );
}
