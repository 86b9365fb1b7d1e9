// Everything about oneself and this browser, a section a tab.

import * as Ariakit from "@ariakit/react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { forgetDrafts } from "../composer/drafts.ts";
import { NotificationSettings } from "../notifications/NotificationSettings.tsx";
import { turnOff } from "../notifications/push.ts";
import { prefer, preferences, type Theme } from "../preferences.ts";
import { useBlocks } from "../rooms/people.ts";
import { useStore } from "../store.ts";
import { tertulia, useMe } from "../tertulia.ts";
import { ago, full } from "../text/dates.ts";
import { explain, isRefused } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import { nameOf } from "../text/names.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import { Ask, Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { Name } from "../ui/Name.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { Waiting } from "../ui/Waiting.tsx";
import { AvatarField } from "./AvatarField.tsx";
import { LanguageSwitch } from "./LanguageSwitch.tsx";
import styles from "./settings.module.css";

const SECTIONS = {
  profile: Profile,
  appearance: Appearance,
  notifications: NotificationSettings,
  devices: Devices,
  blocked: Blocked,
  keyboard: Keyboard,
};
/** How long signing out waits for the end of push. */
const TURN_OFF_MS = 1_000;
type Section = keyof typeof SECTIONS;

export default function Settings({ onClose }: { onClose: () => void }) {
  const text = useText();
  const sections = Object.entries(SECTIONS) as [Section, () => React.ReactNode][];
  return (
    <Dialog title={text.settings} onClose={onClose} isWide>
      <Ariakit.TabProvider defaultSelectedId="profile">
        <div className={styles.settings}>
          <Ariakit.TabList className={styles.tabs} aria-label={text.settings}>
            {sections.map(([section]) => (
              <Ariakit.Tab key={section} id={section} className={styles.tab}>
                {text[section]}
              </Ariakit.Tab>
            ))}
          </Ariakit.TabList>
          {sections.map(([section, Contents]) => (
            <Ariakit.TabPanel key={section} tabId={section} className={styles.panel} unmountOnHide>
              <Contents />
            </Ariakit.TabPanel>
          ))}
        </div>
      </Ariakit.TabProvider>
    </Dialog>
  );
}

function Profile() {
  const text = useText();
  const me = useMe();
  const [isAsking, setAsking] = useState(false);
  const rename = useMutation({
    mutationFn: async (displayName: string) => {
      await tertulia.api.patch("me", { body: { displayName } });
      await tertulia.reloadUser();
    },
    onSuccess: () => say(text.saved),
  });
  const signOut = () => {
    forgetDrafts(me.id);
    // This browser is nobody's then. The server forgets it with the session, too.
    const moment = new Promise<void>((resolve) => setTimeout(resolve, TURN_OFF_MS));
    void Promise.race([turnOff().catch(() => undefined), moment]).then(() => tertulia.logout().catch(complain));
  };
  return (
    <>
      <AvatarField />
      <form
        className={controls.form}
        onSubmit={(event) => {
          event.preventDefault();
          rename.mutate(String(new FormData(event.currentTarget).get("displayName")).trim());
        }}
      >
        <Field name="displayName" label={text.displayName} defaultValue={me.displayName} required maxLength={64} autoComplete="nickname" />
        {rename.error && (
          <p className={controls.problem} role="alert">
            {explain(rename.error, text)}
          </p>
        )}
        <div className={controls.actions}>
          <button className={controls.button} disabled={rename.isPending}>
            {text.save}
          </button>
        </div>
      </form>
      {!me.guest && <Email />}
      {!me.guest && <Password />}
      <div className={styles.end}>
        <button type="button" className={controls.button} onClick={signOut}>
          {text.signOut}
        </button>
        <button type="button" className={`${controls.button} ${controls.danger}`} onClick={() => setAsking(true)}>
          {text.deleteAccount}
        </button>
      </div>
      {isAsking && (
        <Ask
          title={text.deleteAccount}
          action={text.deleteAccount}
          onClose={() => setAsking(false)}
          onAgree={() => void tertulia.api.delete("me").then(signOut, complain)}
        >
          {text.deleteAccountAsk}
        </Ask>
      )}
    </>
  );
}

function Email() {
  const text = useText();
  const me = useMe();
  const change = useMutation({
    mutationFn: async ({ email, currentPassword }: { email: string; currentPassword: string }) => {
      await tertulia.api.patch("me", { body: { email: email || null, currentPassword } });
      await tertulia.reloadUser();
      return email;
    },
    onSuccess: (email) => say(email ? text.emailSaved : text.saved),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const fields = new FormData(form);
    const sent = { email: String(fields.get("email")).trim(), currentPassword: String(fields.get("emailPassword")) };
    const clear = () => {
      const password = form.elements.namedItem("emailPassword");
      // What was typed meanwhile stays.
      if (password instanceof HTMLInputElement && password.value === sent.currentPassword) password.value = "";
    };
    change.mutate(sent, { onSuccess: clear });
  };
  return (
    <form className={controls.form} onSubmit={submit}>
      <Field
        name="email"
        label={text.email}
        hint={text.emailHint}
        type="email"
        defaultValue={me.email ?? ""}
        maxLength={254}
        autoComplete="email"
      />
      <Field name="emailPassword" label={text.emailPassword} type="password" required maxLength={128} autoComplete="current-password" />
      {change.error && (
        <p className={controls.problem} role="alert">
          {isRefused(change.error, "forbidden") ? text.currentPasswordWrong : explain(change.error, text)}
        </p>
      )}
      <div className={controls.actions}>
        <button className={controls.button} disabled={change.isPending}>
          {text.save}
        </button>
      </div>
    </form>
  );
}

function Password() {
  const text = useText();
  const change = useMutation({
    mutationFn: (body: { currentPassword: string; newPassword: string }) => tertulia.api.post("me/password", { body }),
    onSuccess: () => say(text.passwordChanged),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const entered = () => {
      const fields = new FormData(form);
      return { currentPassword: String(fields.get("current")), newPassword: String(fields.get("new")) };
    };
    const sent = entered();
    const clear = () => {
      const now = entered();
      // What was typed meanwhile stays.
      if (now.currentPassword === sent.currentPassword && now.newPassword === sent.newPassword) form.reset();
    };
    change.mutate(sent, { onSuccess: clear });
  };
  return (
    <form className={controls.form} onSubmit={submit}>
      <h3 className={styles.heading}>{text.changePassword}</h3>
      <Field name="current" label={text.currentPassword} type="password" required maxLength={128} autoComplete="current-password" />
      <Field
        name="new"
        label={text.newPassword}
        hint={text.passwordHint}
        type="password"
        required
        minLength={8}
        maxLength={128}
        autoComplete="new-password"
      />
      {change.error && (
        <p className={controls.problem} role="alert">
          {isRefused(change.error, "forbidden") ? text.currentPasswordWrong : explain(change.error, text)}
        </p>
      )}
      <div className={controls.actions}>
        <button className={controls.button} disabled={change.isPending}>
          {text.changePassword}
        </button>
      </div>
    </form>
  );
}

const THEMES: readonly Theme[] = ["system", "light", "dark"];

function Appearance() {
  const text = useText();
  const { theme } = useStore(preferences);
  return (
    <>
      <fieldset className={controls.stack}>
        <legend className={controls.label}>{text.theme}</legend>
        {THEMES.map((choice) => (
          <label key={choice} className={controls.choice}>
            <input type="radio" name="theme" checked={theme === choice} onChange={() => prefer({ theme: choice })} />
            {text.themes[choice]}
          </label>
        ))}
      </fieldset>
      <div className={controls.field}>
        <span className={controls.label}>{text.languageLabel}</span>
        <LanguageSwitch />
      </div>
    </>
  );
}

function Devices() {
  const text = useText();
  const queries = useQueryClient();
  const { data, error, isPending, refetch } = useQuery({
    queryKey: ["sessions"],
    queryFn: () => tertulia.api.get("sessions"),
    staleTime: 0,
  });
  const revoke = useMutation({
    mutationFn: (sessionId: string) => tertulia.api.delete("sessions/{sessionId}", { path: { sessionId } }),
    onSettled: () => queries.invalidateQueries({ queryKey: ["sessions"] }),
    onError: complain,
  });
  if (isPending || error) return <Waiting error={error} onRetry={() => void refetch()} />;
  return (
    <ul>
      {data.sessions.map(({ id, device, address, createdAt, lastSeenAt, current }) => (
        <li key={id} className={controls.row}>
          <div className={controls.grow}>
            <p className={controls.name}>
              {deviceName(device)} {current && <span className={controls.badge}>{text.thisDevice}</span>}
            </p>
            <p className={controls.faint}>
              {address} · {text.lastSeen(ago(lastSeenAt))} · {text.since(full(createdAt))}
            </p>
          </div>
          {!current && (
            <button
              type="button"
              className={`${controls.button} ${controls.small} ${controls.danger}`}
              disabled={revoke.isPending}
              onClick={() => revoke.mutate(id)}
            >
              {text.revoke}
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

/** What a browser calls itself, in two words. */
function deviceName(agent: string): string {
  const browser = [
    ["Edg/", "Edge"],
    ["OPR/", "Opera"],
    ["Firefox/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["Safari/", "Safari"],
  ].find(([sign]) => agent.includes(sign ?? ""))?.[1];
  const system = [
    ["Android", "Android"],
    ["iPhone", "iPhone"],
    ["iPad", "iPad"],
    ["Windows", "Windows"],
    ["Mac OS", "macOS"],
    ["Linux", "Linux"],
  ].find(([sign]) => agent.includes(sign ?? ""))?.[1];
  return [browser, system].filter(Boolean).join(" · ") || agent || "?";
}

function Blocked() {
  const text = useText();
  const { users, set, error, isPending, refetch } = useBlocks();
  return (
    <>
      <p className={controls.hint}>{text.blockHint}</p>
      {isPending || error ? (
        <Waiting error={error} onRetry={() => void refetch()} />
      ) : (
        users.length === 0 && <p className={controls.empty}>{text.nobodyBlocked}</p>
      )}
      <ul>
        {users.map((user) => (
          <li key={user.id} className={controls.row}>
            <Avatar name={nameOf(user)} userId={user.id} />
            <div className={controls.grow}>
              <p className={controls.name}>
                <Name>{nameOf(user)}</Name>
              </p>
              <p className={controls.faint}>@{user.username}</p>
            </div>
            <button type="button" className={`${controls.button} ${controls.small}`} onClick={() => void set(user.id, false).catch(complain)}>
              {text.unblock}
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

function Keyboard() {
  const { shortcuts } = useText();
  const keys: [string, string][] = [
    [shortcuts.goTo, "Ctrl K"],
    [shortcuts.search, "Ctrl ⇧ F"],
    [shortcuts.previousRoom, "Alt ↑"],
    [shortcuts.nextRoom, "Alt ↓"],
    [shortcuts.editLast, "↑"],
    [shortcuts.walk, "↑ ↓"],
    [shortcuts.leaveField, "Esc"],
  ];
  return (
    <dl className={styles.keys}>
      {keys.map(([what, key]) => (
        <div key={what}>
          <dt>{what}</dt>
          <dd>
            <kbd>{key}</kbd>
          </dd>
        </div>
      ))}
    </dl>
  );
}
