// Files of this browser that were uploaded lately: their pictures are shown while the server still prepares them, and one
// that it can't show can be sent in another way.

import type { Attachment } from "@tertulia/sdk";
import { useEffect } from "react";

export interface Local {
  readonly file: File;
  readonly isImage: boolean;
  readonly preview: string | undefined;
}

/** So many are kept, and beyond that those which are on the screen. */
const KEPT = 40;

const locals = new Map<string, Local>();
const shown = new Map<string, number>();

export function keepLocal(uploadId: string, local: Local): void {
  locals.set(uploadId, local);
  letGo();
}

function letGo(): void {
  for (const [id, { preview }] of locals) {
    if (locals.size <= KEPT) break;
    if (shown.has(id)) continue;
    locals.delete(id);
    if (preview) URL.revokeObjectURL(preview);
  }
}

export const localOf = (uploadId: string): Local | undefined => locals.get(uploadId);

/** The same for what shows it: it isn't let go meanwhile. */
export function useLocal(uploadId: string | undefined): Local | undefined {
  useEffect(() => {
    if (uploadId === undefined) return;
    shown.set(uploadId, (shown.get(uploadId) ?? 0) + 1);
    return () => {
      const others = (shown.get(uploadId) ?? 1) - 1;
      if (others > 0) shown.set(uploadId, others);
      else shown.delete(uploadId);
      letGo();
    };
  }, [uploadId]);
  return uploadId === undefined ? undefined : locals.get(uploadId);
}

export function forgetLocals(): void {
  for (const { preview } of locals.values()) if (preview) URL.revokeObjectURL(preview);
  locals.clear();
}

/** What is known of an attachment whose message is on its way. */
export function outgoing(uploadId: string): Attachment {
  const local = locals.get(uploadId);
  return {
    id: uploadId,
    kind: local?.isImage ? "image" : "file",
    fileName: local?.file.name ?? "",
    size: local?.file.size ?? 0,
    status: "processing",
  };
}
