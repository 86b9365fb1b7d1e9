// Asks for a mail with which a forgotten password is replaced. What is said doesn't tell whether an account has the address.

import { useMutation } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { tertulia } from "../tertulia.ts";
import { explain, isRefused } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Field } from "../ui/Field.tsx";

export function ForgotPassword({ onBack }: { onBack: () => void }) {
  const text = useText();
  const ask = useMutation({ mutationFn: (email: string) => tertulia.api.post("auth/forgot", { body: { email } }) });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    ask.mutate(String(new FormData(event.currentTarget).get("email")).trim());
  };
  return (
    <form className={controls.form} onSubmit={submit}>
      <p>{text.forgotHint}</p>
      <Field name="email" label={text.email} type="email" required maxLength={254} autoComplete="email" autoFocus />
      {ask.error && (
        <p className={controls.problem} role="alert">
          {isRefused(ask.error, "not_found") ? text.noMail : explain(ask.error, text)}
        </p>
      )}
      {ask.isSuccess && (
        <p className={controls.note} role="status">
          {text.forgotSent}
        </p>
      )}
      <button className={`${controls.button} ${controls.primary}`} disabled={ask.isPending}>
        {text.forgotSend}
      </button>
      <button type="button" className={controls.link} onClick={onBack}>
        {text.backToSignIn}
      </button>
    </form>
  );
}
