// What is counted of a user, an address or an API key.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { RateLimitSubject } from "@tertulia/sdk/admin";
import { Eraser } from "lucide-react";
import { useId, useState, type FormEvent } from "react";
import controls from "../ui/controls.module.css";
import { Field } from "../ui/Field.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { admin } from "./admin.ts";
import { Page } from "./Page.tsx";
import { PickUser, useUserOfAddress } from "./PickUser.tsx";
import { Status } from "./Status.tsx";
import { allRows } from "./table/rows.ts";
import { Table } from "./table/Table.tsx";
import { useAdminText } from "./text/index.ts";
import styles from "./admin.module.css";

type Kind = "user" | "address" | "apiKey";

export function RateLimits() {
  const text = useAdminText();
  const id = useId();
  const { userId, pick } = useUserOfAddress();
  const [kind, setKind] = useState<Kind>("user");
  const [other, setOther] = useState<RateLimitSubject>();
  const subject: RateLimitSubject | undefined = kind === "user" ? (userId === undefined ? undefined : { userId }) : other;
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const value = String(fields.get("value")).trim();
    const username = String(fields.get("username") ?? "").trim();
    setOther(kind === "address" ? { address: value, ...(username && { username }) } : { apiKey: value });
  };
  return (
    <Page title={text.limits.title} hint={text.limits.hint}>
      <div className={styles.subject}>
        <div className={controls.field}>
          <label className={controls.label} htmlFor={id}>
            {text.limits.subject}
          </label>
          <select
            id={id}
            className={controls.input}
            value={kind}
            onChange={({ target }) => {
              setKind(target.value as Kind);
              setOther(undefined);
            }}
          >
            <option value="user">{text.user}</option>
            <option value="address">{text.address}</option>
            <option value="apiKey">{text.limits.apiKey}</option>
          </select>
        </div>
        {kind === "user" ? (
          <PickUser userId={userId} onPick={pick} />
        ) : (
          <form key={kind} className={styles.lookUp} onSubmit={submit}>
            <Field name="value" label={kind === "address" ? text.address : text.limits.apiKey} required maxLength={64} autoComplete="off" />
            {kind === "address" && <Field name="username" label={text.limits.username} hint={text.limits.usernameHint} maxLength={32} autoComplete="off" />}
            <button className={controls.button}>{text.limits.look}</button>
          </form>
        )}
      </div>
      {subject && <Limits key={JSON.stringify(subject)} subject={subject} />}
    </Page>
  );
}

function Limits({ subject }: { subject: RateLimitSubject }) {
  const text = useAdminText();
  const { limits: words } = text;
  const queries = useQueryClient();
  const key = ["admin", "rate-limits", subject];
  const query = useQuery({ queryKey: key, queryFn: () => admin.rateLimits(subject), staleTime: 0 });
  const rows = allRows(query);
  const clear = (tier?: string) =>
    admin.clearRateLimits({ ...subject, ...(tier !== undefined && { tier }) }).then(() => {
      say(text.done);
      void queries.invalidateQueries({ queryKey: key });
    }, complain);
  return (
    <>
      {query.data?.some(({ complete }) => !complete) && <p className={controls.note}>{words.partial}</p>}
      <Table
        label={words.title}
        rows={rows}
        nameOf={({ tier }) => tier}
        empty={text.none}
        actions={({ tier }) => [{ label: words.clear, icon: Eraser, run: () => void clear(tier) }]}
        columns={[
          { title: words.tier, cell: ({ tier }) => tier },
          { title: words.used, width: "minmax(0, 1.2fr)", cell: ({ used, limit }) => <Used used={used} limit={limit} /> },
          { title: words.window, isWide: true, cell: ({ windowSeconds }) => words.seconds(windowSeconds) },
          {
            title: words.next,
            width: "minmax(0, 0.8fr)",
            cell: ({ retryAfterMs }) => (
              <Status tone={retryAfterMs ? "bad" : "plain"}>{retryAfterMs ? words.inSeconds(Math.ceil(retryAfterMs / 1_000)) : words.now}</Status>
            ),
          },
        ]}
      />
      {rows.total > 0 && (
        <div className={controls.actions}>
          <button type="button" className={controls.button} onClick={() => void clear()}>
            {words.clearAll}
          </button>
        </div>
      )}
    </>
  );
}

function Used({ used, limit }: { used: number; limit: number }) {
  return (
    <span className={styles.used}>
      <span className={styles.usedWords}>
        {used.toLocaleString()} / {limit.toLocaleString()}
      </span>
      <span className={styles.bar} aria-hidden="true">
        <span className={used >= limit ? styles.full : undefined} style={{ width: `${Math.min(100, (used / Math.max(1, limit)) * 100)}%` }} />
      </span>
    </span>
  );
}
