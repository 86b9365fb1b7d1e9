// The way in: with an account, with a new one, or as a guest.

import * as Ariakit from "@ariakit/react";
import { Languages } from "lucide-react";
import { useState, type FormEvent } from "react";
import { explain, isRefused } from "../text/errors.ts";
import { useText, type Text } from "../text/index.ts";
import { useStore } from "../store.ts";
import { signedOut, tertulia } from "../tertulia.ts";
import controls from "../ui/controls.module.css";
import { Field } from "../ui/Field.tsx";
import { Wordmark } from "../ui/Wordmark.tsx";
import { ForgotPassword } from "./ForgotPassword.tsx";
import { LanguageSwitch } from "./LanguageSwitch.tsx";
import styles from "./sign-in.module.css";

type Way = "signIn" | "register" | "guest";
const WAYS: readonly Way[] = ["signIn", "register", "guest"];

export function SignIn() {
  const text = useText();
  const reason = useStore(signedOut);
  const [way, setWay] = useState<Way>("signIn");
  const [hasForgotten, setForgotten] = useState(false);
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <header className={styles.header}>
          <h1>
            <Wordmark isLarge />
          </h1>
          <p>{text.tagline}</p>
        </header>
        {(reason === "expired" || reason === "revoked") && (
          <p className={controls.note} role="status">
            {text.signedOut[reason]}
          </p>
        )}
        <Ariakit.TabProvider selectedId={way} setSelectedId={(id) => setWay((id as Way | null | undefined) ?? "signIn")}>
          <Ariakit.TabList className={styles.tabs} aria-label={text.wayIn}>
            {WAYS.map((way) => (
              <Ariakit.Tab key={way} id={way} className={styles.tab}>
                {text[way]}
              </Ariakit.Tab>
            ))}
          </Ariakit.TabList>
          <Ariakit.TabPanel tabId={way} focusable={false}>
            {hasForgotten && way === "signIn" ? (
              <ForgotPassword onBack={() => setForgotten(false)} />
            ) : (
              <Form key={way} way={way} onForgotten={() => setForgotten(true)} />
            )}
          </Ariakit.TabPanel>
        </Ariakit.TabProvider>
      </div>
      <footer className={styles.footer}>
        <span className={styles.language}>
          <Languages size={17} aria-hidden />
          <LanguageSwitch />
        </span>
        <a href="/api/docs">{text.apiReference}</a>
      </footer>
    </main>
  );
}

function Form({ way, onForgotten }: { way: Way; onForgotten: () => void }) {
  const text = useText();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const field = (name: string) => String(fields.get(name) ?? "");
    const displayName = field("displayName").trim();
    const email = field("email").trim();
    const account = { username: field("username").trim(), password: field("password") };
    setBusy(true);
    setError(undefined);
    try {
      if (way === "guest") await tertulia.guest({ displayName });
      else if (way === "register") await tertulia.register({ ...account, ...(displayName && { displayName }), ...(email && { email }) });
      else await tertulia.login(account);
    } catch (error) {
      setError(error);
      setBusy(false);
    }
  };

  return (
    <form className={controls.form} onSubmit={submit}>
      {way !== "guest" && (
        <Field
          name="username"
          label={text.username}
          hint={way === "register" ? text.usernameHint : undefined}
          autoComplete="username"
          required
          {...(way === "register" && { minLength: 3, pattern: "[A-Za-z0-9_.\\-]+", title: text.usernameHint })}
          maxLength={32}
          autoCapitalize="none"
          spellCheck={false}
        />
      )}
      {way !== "guest" && (
        <Field
          name="password"
          label={text.password}
          hint={way === "register" ? text.passwordHint : undefined}
          type="password"
          required
          autoComplete={way === "register" ? "new-password" : "current-password"}
          minLength={way === "register" ? 8 : 1}
          maxLength={128}
        />
      )}
      {way !== "signIn" && (
        <Field
          name="displayName"
          label={text.displayName}
          note={way === "register" ? text.optional : undefined}
          hint={way === "guest" ? text.guestHint : undefined}
          autoComplete="nickname"
          required={way === "guest"}
          maxLength={64}
        />
      )}
      {way === "register" && (
        <Field name="email" label={text.email} note={text.optional} hint={text.emailHint} type="email" autoComplete="email" maxLength={254} />
      )}
      {error !== undefined && (
        <p className={controls.problem} role="alert">
          {words(error, way, text)}
        </p>
      )}
      <button className={`${controls.button} ${controls.primary}`} disabled={isBusy}>
        {isBusy ? text.connection.connecting : way === "guest" ? text.comeIn : text[way]}
      </button>
      {way === "signIn" && (
        <button type="button" className={controls.link} onClick={onForgotten}>
          {text.forgot}
        </button>
      )}
    </form>
  );
}

function words(error: unknown, way: Way, text: Text): string {
  if (way === "signIn" && isRefused(error, "unauthenticated")) return text.wrongPassword;
  if (way === "register" && isRefused(error, "conflict")) return text.usernameTaken;
  if (way === "guest" && isRefused(error, "forbidden")) return text.noGuests;
  return explain(error, text);
}
