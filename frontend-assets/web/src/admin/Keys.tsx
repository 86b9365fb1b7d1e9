// Keys with which other programs publish events.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { ApiKey } from "@tertulia/sdk/admin";
import { Trash2 } from "lucide-react";
import { useState, type FormEvent } from "react";
import { ago } from "../text/dates.ts";
import { useText } from "../text/index.ts";
import { isolated } from "../text/names.ts";
import controls from "../ui/controls.module.css";
import { Ask, Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { admin } from "./admin.ts";
import { Page } from "./Page.tsx";
import { allRows } from "./table/rows.ts";
import { Table } from "./table/Table.tsx";
import { useAdminText } from "./text/index.ts";
import styles from "./admin.module.css";

const KEY = ["admin", "keys"];
const EVERYWHERE = "publish";
const SCOPES = [EVERYWHERE, "publish:/"];
/** The namespace of a scope. */
const namespaceOf = (scope: string) => scope.slice("publish:".length);

export function Keys() {
  const text = useAdminText();
  const { keys: words } = text;
  const queries = useQueryClient();
  const [isCreating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey>();
  const rows = allRows(useQuery({ queryKey: KEY, queryFn: () => admin.keys(), staleTime: 0 }));
  const reread = () => void queries.invalidateQueries({ queryKey: KEY });
  const nameOfScopes = (scopes: readonly string[]) => scopes.map((scope) => (scope === EVERYWHERE ? words.everywhere : namespaceOf(scope))).join(", ");
  return (
    <Page
      title={words.title}
      hint={words.hint}
      onRefresh={rows.refresh}
      actions={
        <button type="button" className={`${controls.button} ${controls.primary}`} onClick={() => setCreating(true)}>
          {words.create}
        </button>
      }
    >
      <Table
        label={words.title}
        rows={rows}
        nameOf={({ name }) => name}
        empty={words.noKeys}
        actions={(key) => [{ label: words.revoke, icon: Trash2, isDangerous: true, run: () => setRevoking(key) }]}
        columns={[
          { title: words.name, cell: ({ name }) => <bdi>{name}</bdi> },
          { title: words.scopes, isWide: true, cell: ({ scopes }) => nameOfScopes(scopes) },
          { title: words.created, isWide: true, cell: ({ createdAt }) => ago(createdAt) },
          { title: words.used, cell: ({ lastUsedAt }) => (lastUsedAt === undefined ? text.never : ago(lastUsedAt)) },
        ]}
      />
      {isCreating && <Create onCreated={reread} onClose={() => setCreating(false)} />}
      {revoking && (
        <Ask
          title={words.revokeAsk(isolated(revoking.name))}
          action={words.revoke}
          onClose={() => setRevoking(undefined)}
          onAgree={() =>
            void admin.revokeKey(revoking.id).then(() => {
              say(text.done);
              reread();
            }, complain)
          }
        />
      )}
    </Page>
  );
}

function Create({ onCreated, onClose }: { onCreated: () => void; onClose: () => void }) {
  const { keys: words } = useAdminText();
  const { copy, copied, close } = useText();
  const [secret, setSecret] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    setBusy(true);
    admin
      .createKey({ name: String(fields.get("name")), scopes: [String(fields.get("scope"))] })
      .then((created) => {
        setSecret(created.secret);
        onCreated();
      }, complain)
      .finally(() => setBusy(false));
  };
  if (secret !== undefined)
    return (
      <Dialog title={words.create} onClose={onClose}>
        <p className={controls.note}>{words.secret}</p>
        <code className={styles.secret}>{secret}</code>
        <div className={controls.actions}>
          <button type="button" className={controls.button} onClick={() => void navigator.clipboard.writeText(secret).then(() => say(copied), complain)}>
            {copy}
          </button>
          <button type="button" className={controls.button} onClick={onClose}>
            {close}
          </button>
        </div>
      </Dialog>
    );
  return (
    <Dialog title={words.create} onClose={onClose}>
      <form className={controls.form} onSubmit={submit}>
        <Field name="name" label={words.name} required maxLength={64} autoComplete="off" autoFocus />
        <label className={controls.field}>
          <span className={controls.label}>{words.scopes}</span>
          <select name="scope" className={controls.input}>
            {SCOPES.map((scope) => (
              <option key={scope} value={scope}>
                {scope === EVERYWHERE ? words.everywhere : namespaceOf(scope)}
              </option>
            ))}
          </select>
        </label>
        <div className={controls.actions}>
          <button className={`${controls.button} ${controls.primary}`} disabled={isBusy}>
            {words.create}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
