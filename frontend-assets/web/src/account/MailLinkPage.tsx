// Where links in mails lead: a password that was forgotten is chosen anew, an address is confirmed.

import { useMutation, useQuery } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { tertulia } from "../tertulia.ts";
import { explain, isRefused } from "../text/errors.ts";
import { useText, type Text } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Field } from "../ui/Field.tsx";
import { say } from "../ui/toasts.tsx";
import { Waiting } from "../ui/Waiting.tsx";
import { Wordmark } from "../ui/Wordmark.tsx";
import { mailLink, type MailLink } from "./mail-link.ts";
import styles from "./sign-in.module.css";

export default function MailLinkPage({ link }: { link: MailLink }) {
  const text = useText();
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <header className={styles.header}>
          <h1>
            <Wordmark isLarge />
          </h1>
          <p>{link.purpose === "reset-password" ? text.resetPassword : text.verifyEmail}</p>
        </header>
        {link.purpose === "reset-password" ? <Reset token={link.token} /> : <Verify token={link.token} />}
        <button type="button" className={controls.link} onClick={leave}>
          {text.goOn}
        </button>
      </div>
    </main>
  );
}

const leave = () => mailLink.set(undefined);

function Reset({ token }: { token: string }) {
  const text = useText();
  const reset = useMutation({
    mutationFn: (password: string) => tertulia.api.post("auth/reset", { body: { token, password } }),
    onSuccess: () => {
      say(text.passwordReset);
      leave();
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    reset.mutate(String(new FormData(event.currentTarget).get("password")));
  };
  return (
    <form className={controls.form} onSubmit={submit}>
      <Field
        name="password"
        label={text.newPassword}
        hint={text.passwordHint}
        type="password"
        required
        minLength={8}
        maxLength={128}
        autoComplete="new-password"
        autoFocus
      />
      {reset.error && (
        <p className={controls.problem} role="alert">
          {words(reset.error, text)}
        </p>
      )}
      <button className={`${controls.button} ${controls.primary}`} disabled={reset.isPending}>
        {text.setPassword}
      </button>
    </form>
  );
}

function Verify({ token }: { token: string }) {
  const text = useText();
  const { error, isPending, refetch } = useQuery({
    queryKey: ["verify", token],
    queryFn: async () => {
      await tertulia.api.post("auth/verify-email", { body: { token } });
      return true;
    },
    staleTime: Infinity,
    retry: (failures, error) => failures < 2 && !isRefused(error, "invalid") && !isRefused(error, "not_found"),
  });
  if (isPending) return <Waiting />;
  if (!error)
    return (
      <p className={controls.note} role="status">
        {text.emailVerified}
      </p>
    );
  return (
    <div className={controls.stack}>
      <p className={controls.problem} role="alert">
        {words(error, text)}
      </p>
      {!isRefused(error, "invalid") && (
        <button type="button" className={controls.button} onClick={() => void refetch()}>
          {text.tryAgain}
        </button>
      )}
    </div>
  );
}

function words(error: unknown, text: Text): string {
  if (isRefused(error, "invalid")) return text.linkEnded;
  if (isRefused(error, "not_found")) return text.noMail;
  return explain(error, text);
}
