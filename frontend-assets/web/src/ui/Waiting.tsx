// A place whose contents are on their way, or couldn't be had.

import { explain } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import controls from "./controls.module.css";

interface Props {
  error?: unknown;
  onRetry?: () => void;
}

export function Waiting({ error, onRetry }: Props) {
  const text = useText();
  if (!error) return <p className={controls.empty}>{text.loading}</p>;
  return (
    <div className={controls.empty} role="alert">
      <p>{explain(error, text)}</p>
      {onRetry && (
        <button type="button" className={controls.button} onClick={onRetry}>
          {text.tryAgain}
        </button>
      )}
    </div>
  );
}
