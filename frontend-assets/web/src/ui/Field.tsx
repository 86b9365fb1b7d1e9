// A labelled input with its hint.

import { useId, type ComponentProps } from "react";
import controls from "./controls.module.css";

interface Props extends ComponentProps<"input"> {
  label: string;
  note?: string | undefined;
  hint?: string | undefined;
}

export function Field({ label, note, hint, ...input }: Props) {
  const id = useId();
  return (
    <div className={controls.field}>
      <label className={controls.label} htmlFor={id}>
        {label} {note && <small>({note})</small>}
      </label>
      <input id={id} dir="auto" className={controls.input} aria-describedby={hint && `${id}-hint`} {...input} />
      {hint && (
        <p id={`${id}-hint`} className={controls.hint}>
          {hint}
        </p>
      )}
    </div>
  );
}
