import { useSyncExternalStore } from "react";

/** As in the style sheets. */
const narrow = matchMedia("(max-width: 46rem)");

function subscribe(listener: () => void): () => void {
  narrow.addEventListener("change", listener);
  return () => narrow.removeEventListener("change", listener);
}

/** Whether there is room for one thing beside another. */
export const useIsNarrow = (): boolean => useSyncExternalStore(subscribe, () => narrow.matches);
