// The pictures of a room one by one, as large as the window. Arrows go on and back, Escape closes.

import * as Ariakit from "@ariakit/react";
import type { Attachment, Message } from "@tertulia/sdk";
import { ChevronLeft, ChevronRight, Download, X } from "lucide-react";
import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import { useRoom } from "../timeline/context.ts";
import { isOutgoing, type Row } from "../timeline/timeline.ts";
import { useStore } from "../store.ts";
import { full } from "../text/dates.ts";
import { useText } from "../text/index.ts";
import { isolated, nameOf } from "../text/names.ts";
import controls from "../ui/controls.module.css";
import { srcSet, stayBroken } from "./Attachments.tsx";
import styles from "./lightbox.module.css";
import { Placeholder } from "./Placeholder.tsx";

interface Shown {
  readonly image: Attachment;
  readonly message: Message;
}

export default function Lightbox({ id, onOpen, onClose }: { id: string; onOpen: (id: string) => void; onClose: () => void }) {
  const text = useText();
  const { timeline } = useRoom();
  const all = imagesIn(useStore(timeline.view).rows);
  const index = all.findIndex(({ image }) => image.id === id);
  const shown = all[index];
  // Deleted while it was looked at.
  useEffect(() => {
    if (!shown) onClose();
  }, [shown, onClose]);
  const [before, after] = [all[index - 1]?.image, all[index + 1]?.image];
  useEffect(() => preload(before), [before]);
  useEffect(() => preload(after), [after]);
  useFocusAfterwards(id);
  if (!shown) return null;

  const { image, message } = shown;
  const go = (to: number) => {
    const next = all[to];
    if (next) onOpen(next.image.id);
  };
  const pressed = (event: KeyboardEvent) => {
    const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    go(to);
  };
  return (
    <Ariakit.Dialog open onClose={onClose} backdrop={<div className={styles.veil} />} className={styles.lightbox} autoFocusOnHide={false} onKeyDown={pressed}>
      <header className={styles.bar}>
        <div className={controls.grow}>
          <Ariakit.DialogHeading className={styles.name}>
            <bdi>{image.fileName}</bdi>
          </Ariakit.DialogHeading>
          <p aria-live="polite">
            {text.pictureOf(isolated(nameOf(message.sender)), full(message.at))}
            {all.length > 1 && ` · ${text.nth(index + 1, all.length)}`}
          </p>
        </div>
        {/* A browser shows what comes from another origin, which isn't to take the place of this page. */}
        <a className={controls.icon} href={image.url} download={image.fileName} target="_blank" rel="noreferrer" aria-label={text.download} title={text.download}>
          <Download size={20} aria-hidden />
        </a>
        <Ariakit.DialogDismiss className={controls.icon} aria-label={text.close} title={text.close}>
          <X size={22} aria-hidden />
        </Ariakit.DialogDismiss>
      </header>
      <div className={styles.stage} onClick={(event) => event.target === event.currentTarget && onClose()}>
        <Large key={image.id} image={image} message={message} />
        {index > 0 && (
          <button
            type="button"
            className={`${controls.icon} ${styles.step} ${styles.back}`}
            onClick={() => go(index - 1)}
            aria-label={text.previousPicture}
            title={text.previousPicture}
          >
            <ChevronLeft size={28} aria-hidden />
          </button>
        )}
        {index < all.length - 1 && (
          <button
            type="button"
            className={`${controls.icon} ${styles.step} ${styles.on}`}
            onClick={() => go(index + 1)}
            aria-label={text.nextPicture}
            title={text.nextPicture}
          >
            <ChevronRight size={28} aria-hidden />
          </button>
        )}
      </div>
    </Ariakit.Dialog>
  );
}

function Large({ image, message }: Shown) {
  const text = useText();
  const { timeline } = useRoom();
  const [state, setState] = useState<"loading" | "loaded" | "broken">("loading");
  const { url = "", width = 4, height = 3, placeholder } = image;
  const failed = () => {
    setState("broken");
    timeline.reread(message.seq).then((read) => {
      const now = read?.attachments.find(({ id }) => id === image.id)?.url;
      if (now && now !== url) setState("loading");
    }, stayBroken);
  };
  return (
    <div className={styles.frame} style={{ aspectRatio: `${width} / ${height}`, width: `min(100%, ${width}px, 100cqh * ${width / height})` }}>
      {state !== "loaded" && placeholder && <Placeholder hash={placeholder} />}
      {state === "broken" ? (
        <p className={styles.missing}>{text.pictureMissing}</p>
      ) : (
        <img
          key={url}
          {...sourceOf(image)}
          width={width}
          height={height}
          alt={image.fileName}
          onLoad={() => setState("loaded")}
          onError={failed}
        />
      )}
    </div>
  );
}

/** Which of its sizes fits the window is the browser's to choose. What moves has one only. */
function sourceOf({ url = "", width = 4, height = 3, animated, variants = [] }: Attachment): { src: string; srcSet?: string; sizes?: string } {
  const webp = animated ? [] : variants.filter(({ contentType }) => contentType === "image/webp");
  if (webp.length === 0) return { src: url };
  return { sizes: `min(100vw, ${width}px, ${Math.ceil((100 * width) / height)}vh)`, srcSet: srcSet([...webp, { url, width }]), src: url };
}

/** Has the browser load the size of a picture that it will show. */
function preload(image: Attachment | undefined): void {
  if (!image?.url) return;
  const { sizes = "", srcSet: srcset = "", src } = sourceOf(image);
  Object.assign(new Image(), { sizes, srcset, src });
}

/** Afterwards the focus is on the picture that was shown last, or among the messages if its own isn't drawn. */
function useFocusAfterwards(id: string): void {
  const last = useRef(id);
  useEffect(() => {
    last.current = id;
  }, [id]);
  useEffect(
    () => () => {
      // Until this is gone nothing else can have it.
      setTimeout(() => {
        if (document.activeElement && document.activeElement !== document.body) return;
        const picture = document.querySelector<HTMLElement>(`[data-picture="${CSS.escape(last.current)}"]`);
        (picture ?? document.querySelector<HTMLElement>('[role="feed"]'))?.focus();
      });
    },
    [],
  );
}

function imagesIn(rows: readonly Row[]): readonly Shown[] {
  return rows.flatMap((row) =>
    isOutgoing(row) || row.deletedAt
      ? []
      : row.attachments.filter(({ kind, url }) => kind === "image" && url).map((image) => ({ image, message: row })),
  );
}
