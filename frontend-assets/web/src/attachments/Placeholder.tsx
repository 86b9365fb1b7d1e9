// The blurred colours of a picture that isn't there yet, drawn from the few bytes that its message has of it.

import { useLayoutEffect, useRef } from "react";
import { thumbHashToRGBA } from "thumbhash";
import styles from "./attachments.module.css";

export function Placeholder({ hash }: { hash: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const { current } = canvas;
    if (!current) return;
    try {
      const bytes = Uint8Array.from(atob(hash), (character) => character.charCodeAt(0));
      const { w, h, rgba } = thumbHashToRGBA(bytes);
      current.width = w;
      current.height = h;
      current.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(rgba), w, h), 0, 0);
    } catch {
      // One that can't be read leaves the plain box.
    }
  }, [hash]);
  return <canvas ref={canvas} width={1} height={1} className={styles.placeholder} aria-hidden="true" />;
}
