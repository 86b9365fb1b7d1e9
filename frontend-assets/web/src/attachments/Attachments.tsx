// What is attached to a message. Every picture has its room before it is there, so that nothing moves when it comes.

import type { Attachment } from "@tertulia/sdk";
import { Download, File as FileIcon, ImageOff, Paperclip } from "lucide-react";
import { useState, type MouseEvent } from "react";
import { useRoom } from "../timeline/context.ts";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Name } from "../ui/Name.tsx";
import { complain } from "../ui/toasts.tsx";
import styles from "./attachments.module.css";
import { useLocal } from "./locals.ts";
import { Placeholder } from "./Placeholder.tsx";
import { boxOf, sizeOf, type Box } from "./sizes.ts";
import { attach } from "./tray.ts";

interface Props {
  attachments: readonly Attachment[];
  /** Of a message that is stored. */
  seq: number | undefined;
  isMine: boolean;
}

export function Attachments({ attachments, seq, isMine }: Props) {
  const images = attachments.filter(({ kind, status }) => kind === "image" && status !== "failed");
  const others = attachments.filter((attachment) => !images.includes(attachment));
  return (
    <>
      {images.length > 0 && (
        <ul className={styles.images}>
          {images.map((image) => (
            <li key={image.id}>
              <Picture image={image} seq={seq} box={boxOf(image, images.length === 1)} />
            </li>
          ))}
        </ul>
      )}
      {others.length > 0 && (
        <ul className={styles.files}>
          {others.map((other) => (
            <li key={other.id}>
              {other.status === "failed" ? <Failed attachment={other} isMine={isMine} /> : <FileCard file={other} seq={seq} />}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Picture({ image, seq, box }: { image: Attachment; seq: number | undefined; box: Box }) {
  const text = useText();
  const { openImage } = useRoom();
  const style = { width: box.width, aspectRatio: `${box.width} / ${box.height}` };
  const local = useLocal(image.id)?.preview;
  if (image.status !== "ready" || !image.url) {
    return (
      <div className={`${styles.picture} ${styles.preparing}`} style={style} data-attachment="processing">
        {local && <img className={styles.shown} src={local} alt={image.fileName} />}
        <span className={styles.state} role="status">
          {text.preparing}
        </span>
      </div>
    );
  }
  return (
    <button
      type="button"
      className={styles.picture}
      style={style}
      aria-label={text.openPicture(image.fileName)}
      data-attachment="ready"
      data-picture={image.id}
      onClick={() => openImage(image.id)}
    >
      <Loaded key={image.url} image={image} seq={seq} box={box} local={local} />
    </button>
  );
}

/** A picture with what stands in its place until it is there. */
function Loaded({ image, seq, box, local }: { image: Attachment; seq: number | undefined; box: Box; local: string | undefined }) {
  const text = useText();
  const { timeline } = useRoom();
  const [state, setState] = useState<"loading" | "loaded" | "broken">("loading");
  const reread = () => {
    setState("broken");
    // Its address may have ended; the message read again has another.
    if (seq !== undefined) timeline.reread(seq).catch(stayBroken);
  };
  const { url = "", placeholder, variants = [], animated } = image;
  const candidates = (type: string) => srcSet(variants.filter(({ contentType }) => contentType === type));
  const webp = animated ? "" : candidates("image/webp");
  const jpeg = animated ? "" : candidates("image/jpeg");
  const sizes = `${box.width}px`;
  return (
    <>
      {state !== "loaded" && local && <img className={styles.shown} src={local} alt="" />}
      {state !== "loaded" && !local && placeholder && <Placeholder hash={placeholder} />}
      {state === "broken" ? (
        <span className={styles.state}>{text.pictureMissing}</span>
      ) : (
        <picture>
          {webp && <source type="image/webp" srcSet={webp} sizes={sizes} />}
          <img
            className={styles.shown}
            src={variants.length > 0 && !animated ? (variants.findLast(({ contentType }) => contentType === "image/jpeg")?.url ?? url) : url}
            {...(jpeg && { srcSet: jpeg, sizes })}
            width={box.width}
            height={box.height}
            alt=""
            decoding="async"
            draggable={false}
            onLoad={() => setState("loaded")}
            onError={reread}
          />
        </picture>
      )}
    </>
  );
}

/** What couldn't be read anew is shown as missing already. */
export const stayBroken = (): undefined => undefined;

export const srcSet = (variants: readonly { readonly url: string; readonly width: number }[]): string =>
  variants.map(({ url, width }) => `${url} ${width}w`).join(", ");

function FileCard({ file, seq }: { file: Attachment; seq: number | undefined }) {
  const text = useText();
  const { timeline } = useRoom();
  const name = file.fileName || text.attachments(1);
  const contents = (
    <>
      <FileIcon size={22} aria-hidden />
      <span className={controls.grow}>
        <span className={styles.fileName}>
          <Name>{name}</Name>
        </span>
        {file.size > 0 && <span className={controls.faint}>{sizeOf(file.size)}</span>}
      </span>
    </>
  );
  if (!file.url) return <div className={styles.file}>{contents}</div>;
  const download = (event: MouseEvent<HTMLAnchorElement>) => {
    if (seq === undefined || !hasEnded(file.url ?? "")) return;
    event.preventDefault();
    timeline.reread(seq).then((message) => {
      const url = message?.attachments.find(({ id }) => id === file.id)?.url;
      if (url) location.assign(url);
    }, complain);
  };
  return (
    <a className={styles.file} href={file.url} download={name} onClick={download} data-attachment="ready">
      {contents}
      <Download size={18} aria-hidden />
      <span className="unseen">{text.download}</span>
    </a>
  );
}

/** Whether an address that is good for a while was good until now. */
function hasEnded(url: string): boolean {
  const until = Number(new URL(url, location.href).searchParams.get("e") ?? Infinity);
  return until * 1_000 < Date.now() + 5_000;
}

function Failed({ attachment, isMine }: { attachment: Attachment; isMine: boolean }) {
  const text = useText();
  const { room } = useRoom();
  const local = useLocal(isMine ? attachment.id : undefined);
  return (
    <div className={`${styles.file} ${styles.failed}`} data-attachment="failed">
      <ImageOff size={22} aria-hidden />
      <span className={controls.grow}>
        <span className={styles.fileName}>
          <Name>{attachment.fileName}</Name>
        </span>
        <span>{text.failures[attachment.reason ?? "malformed"]}</span>
        {isMine && !local && <span className={controls.faint}>{text.attachAgain}</span>}
      </span>
      {local && (
        <button type="button" className={`${controls.button} ${controls.small}`} onClick={() => attach(room.id, [local.file], true)}>
          <Paperclip size={15} aria-hidden /> {text.sendAsFile}
        </button>
      )}
    </div>
  );
}
