// One's own picture: chosen, cut to a square before it leaves, and removed again.

import { useMutation } from "@tanstack/react-query";
import { ImagePlus } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { explainUpload } from "../attachments/tray.ts";
import { tertulia, useMe } from "../tertulia.ts";
import { explain } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import { nameOf } from "../text/names.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import styles from "./settings.module.css";

/** Pixels of a side, of which the server makes less. */
const SIDE = 512;

class NotShown extends Error {
  constructor(readonly reason: "malformed" | "not_an_image" | "too_large" | "timed_out" | "missing") {
    super(reason);
  }
}

export function AvatarField() {
  const text = useText();
  const me = useMe();
  const picker = useRef<HTMLInputElement>(null);
  const choose = useRef<HTMLButtonElement>(null);
  const abort = useRef<AbortController>(undefined);
  const [sent, setSent] = useState<number>();
  const set = useMutation({
    mutationFn: async (file: File | null) => {
      const { signal } = (abort.current = new AbortController());
      if (file) await put(file, signal, setSent);
      else await tertulia.api.patch("me", { body: { avatarUrl: null }, signal });
      await tertulia.reloadUser();
    },
    onSettled: () => setSent(undefined),
  });
  useEffect(() => () => abort.current?.abort(), []);
  const { error } = set;
  const isCancelled = abort.current?.signal.aborted ?? false;
  const why = error instanceof NotShown ? text.failures[error.reason] : (explainUpload({ error, reason: undefined }) ?? explain(error, text));
  return (
    <div className={styles.picture}>
      <Avatar name={nameOf(me)} userId={me.id} size="large" />
      <div className={controls.stack}>
        <span className={styles.pictureActions}>
          <button
            ref={choose}
            type="button"
            className={`${controls.button} ${controls.small}`}
            onClick={() => (set.isPending ? abort.current?.abort() : picker.current?.click())}
          >
            {set.isPending ? (
              text.cancel
            ) : (
              <>
                <ImagePlus size={16} aria-hidden /> {text.choosePicture}
              </>
            )}
          </button>
          {me.avatarUrl && !set.isPending && (
            <button
              type="button"
              className={`${controls.button} ${controls.small}`}
              onClick={() => {
                // This button goes.
                choose.current?.focus();
                set.mutate(null);
              }}
            >
              {text.removePicture}
            </button>
          )}
        </span>
        {set.isPending ? (
          <progress max={1} {...(sent !== undefined && sent < 1 && { value: sent })} aria-label={text.savingPicture} />
        ) : (
          <span className={controls.hint}>{text.pictureHint}</span>
        )}
        {error && !isCancelled && (
          <span className={controls.problem} role="alert">
            {why}
          </span>
        )}
      </div>
      <input
        ref={picker}
        type="file"
        accept="image/jpeg,image/png,image/gif,image/webp"
        hidden
        data-picker="avatar"
        onChange={({ currentTarget }) => {
          const [file] = currentTarget.files ?? [];
          // The same file again is a change, too.
          currentTarget.value = "";
          if (file) set.mutate(file);
        }}
      />
    </div>
  );
}

async function put(file: File, signal: AbortSignal, progress: (sent: number) => void): Promise<void> {
  const square = await squared(file).catch(() => file);
  const begun = await tertulia.uploads.send(square, {
    fileName: "avatar",
    signal,
    progress: (bytes, total) => progress(bytes / total),
  });
  const { id, status, reason } = begun.status === "processing" ? await tertulia.uploads.settled(begun.id, signal) : begun;
  if (status !== "ready") throw new NotShown(reason ?? "malformed");
  await tertulia.api.put("me/avatar", { body: { uploadId: id }, signal });
}

/** The middle of a picture. What this browser can't read is left to the server to refuse. */
async function squared(file: File): Promise<Blob> {
  const bitmap = await createImageBitmap(file);
  try {
    const side = Math.min(bitmap.width, bitmap.height);
    const shown = Math.min(SIDE, side);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = shown;
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no canvas");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, shown, shown);
    // A browser that can't write WebP writes PNG.
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/webp", 0.92));
    if (!blob) throw new Error("the picture can't be written");
    return blob;
  } finally {
    bitmap.close();
  }
}
