// A new room.

import { useState, type FormEvent } from "react";
import { useLocation } from "wouter";
import { tertulia } from "../tertulia.ts";
import { explain } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import { useWhereabouts } from "../whereabouts.ts";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { add } from "./my-rooms.ts";

export default function CreateRoom({ onClose }: { onClose: () => void }) {
  const text = useText();
  const [, navigate] = useLocation();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const note = useWhereabouts();

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const isHere = note();
    const fields = new FormData(event.currentTarget);
    setBusy(true);
    setError(undefined);
    try {
      const room = await tertulia.createRoom({
        name: String(fields.get("name")),
        kind: fields.get("kind") === "private" ? "private" : "public",
      });
      add(room);
      if (!isHere()) return;
      navigate(`/rooms/${room.id}`);
      onClose();
    } catch (error) {
      setError(error);
      setBusy(false);
    }
  };

  const choice = (kind: string, label: string, hint: string, isFirst: boolean) => (
    <label className={controls.choice}>
      <input type="radio" name="kind" value={kind} defaultChecked={isFirst} />
      <span>
        <span className={controls.label}>{label}</span>
        <br />
        <span className={controls.hint}>{hint}</span>
      </span>
    </label>
  );

  return (
    <Dialog title={text.create} onClose={onClose}>
      <form className={controls.form} onSubmit={submit}>
        <Field name="name" label={text.roomName} required maxLength={128} autoComplete="off" autoFocus />
        <fieldset className={controls.stack}>
          <legend className={controls.label}>{text.roomKind}</legend>
          {choice("public", text.publicRoom, text.publicHint, true)}
          {choice("private", text.privateRoom, text.privateHint, false)}
        </fieldset>
        {error !== undefined && (
          <p className={controls.problem} role="alert">
            {explain(error, text)}
          </p>
        )}
        <div className={controls.actions}>
          <button className={`${controls.button} ${controls.primary}`} disabled={isBusy}>
            {text.create}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
