// Keys that belong to an input method, which writes Chinese, Japanese and others by several keys a character: Enter there
// chooses a word, arrows go through a list, Escape gives up. They are no commands to the page.

/** Safari's keydown that ends a composition comes after its end, with this code only. */
const PROCESSED = 229;

/** Keeps such keys from everything on the page that listens to keys. To be called before anything else listens. */
export function keepCompositions(): void {
  const keep = (event: KeyboardEvent) => {
    if (event.isComposing || event.keyCode === PROCESSED) event.stopImmediatePropagation();
  };
  addEventListener("keydown", keep, { capture: true });
}
