// The files that go with the next message, and messages that wait for theirs: how far each is, and what can be done.

import { File as FileIcon, RotateCcw, X } from "lucide-react";
import { useRoom } from "../timeline/context.ts";
import { useStore } from "../store.ts";
import { explain } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Name } from "../ui/Name.tsx";
import { sizeOf } from "./sizes.ts";
import { discard, explainUpload, remove, retry, trayOf, trays, type Item } from "./tray.ts";
import styles from "./tray.module.css";

export function AttachmentTray() {
  const text = useText();
  const { room } = useRoom();
  const { items, parcels } = useStore(trays, (all) => trayOf(all, room.id));
  return (
    <>
      {parcels.map(({ id, draft, items }) => (
        <section key={id} className={styles.parcel} aria-label={text.parcel}>
          <div className={styles.words}>
            <span className={controls.grow}>
              <b>{text.parcel}</b> <span dir="auto">{draft.body.slice(0, 160)}</span>
            </span>
            <button type="button" className={`${controls.button} ${controls.small}`} onClick={() => discard(room.id, id)}>
              {text.discard}
            </button>
          </div>
          <Items items={items} />
        </section>
      ))}
      {items.length > 0 && (
        <section aria-label={text.attached}>
          <Items items={items} />
        </section>
      )}
    </>
  );
}

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
