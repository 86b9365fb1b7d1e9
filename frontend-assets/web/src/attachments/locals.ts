// Files of this browser that were uploaded lately: their pictures are shown while the server still prepares them, and one
// that it can't show can be sent in another way.

import type { Attachment } from "@tertulia/sdk";

export interface Local {
  readonly file: File;
  readonly isImage: boolean;
  readonly preview: string | undefined;
}

const KEPT = 40;

const locals = new Map<string, Local>();

export function keepLocal(uploadId: string, local: Local): void {
  locals.set(uploadId, local);
  for (const [id, { preview }] of locals) {
    if (locals.size <= KEPT) break;
    locals.delete(id);
    if (preview) URL.revokeObjectURL(preview);
  }
}

export const localOf = (uploadId: string): Local | undefined => locals.get(uploadId);

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
