// The audit log: filtered, each entry whole, and all of it as a file.

import type { AuditEntry, AuditQuery } from "@tertulia/sdk/admin";
import { Download, Filter } from "lucide-react";
import { useState, type FormEvent } from "react";
import { useSearch } from "wouter";
import { full, moment } from "../text/dates.ts";
import { useText } from "../text/index.ts";
import { nameOf } from "../text/names.ts";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { complain } from "../ui/toasts.tsx";
import { admin } from "./admin.ts";
import { Details } from "./Details.tsx";
import { Page } from "./Page.tsx";
import { useUser } from "./PickUser.tsx";
import { Status, type Tone } from "./Status.tsx";
import { saveAs } from "./saveAs.ts";
import { useNumberedRows } from "./table/rows.ts";
import { Table } from "./table/Table.tsx";
import { useAdminText, type AdminText } from "./text/index.ts";
import styles from "./admin.module.css";

const TONES: Record<AuditEntry["outcome"], Tone> = { succeeded: "good", refused: "plain", failed: "bad" };
const WORDS = ["action", "actorId", "targetKind", "targetId", "address"] as const;

export function Audit() {
  const text = useAdminText();
  const { audit: words } = text;
  const search = useSearch();
  const [filter, setFilter] = useState<AuditQuery>(() => Object.fromEntries(new URLSearchParams(search)));
  const [isFiltering, setFiltering] = useState(false);
  const [isExporting, setExporting] = useState(false);
  const [open, setOpen] = useState<AuditEntry>();
  const rows = useNumberedRows(["admin", "audit", filter], (page, signal) => admin.audit({ ...filter, ...page }, signal));
  const active = Object.keys(filter).length;
  const save = async () => {
    setExporting(true);
    try {
      saveAs(await (await admin.exportAudit(filter)).blob(), `audit-${new Date().toISOString().slice(0, 10)}.ndjson`);
    } catch (error) {
      complain(error);
    } finally {
      setExporting(false);
    }
  };
  return (
    <Page
      title={words.title}
      hint={words.hint}
      onRefresh={rows.refresh}
      actions={
        <>
          <button type="button" className={controls.button} onClick={() => setFiltering(true)}>
            <Filter size={15} aria-hidden /> {text.filters}
            {active > 0 && ` (${active})`}
          </button>
          <button type="button" className={controls.button} disabled={isExporting || rows.total === 0} onClick={() => void save()}>
            <Download size={15} aria-hidden /> {isExporting ? words.exporting : words.export}
          </button>
        </>
      }
    >
      <p className={styles.total} role="status">
        {!rows.isPending && !rows.error && text.rows(rows.total)}
      </p>
      <Table
        key={JSON.stringify(filter)}
        label={words.title}
        rows={rows}
        nameOf={({ action, at }) => `${action} ${at}`}
        empty={active > 0 ? text.noMatch : text.none}
        onOpen={setOpen}
        columns={[
          { title: words.at, width: "9.5rem", isWide: true, cell: ({ at }) => moment(at) },
          { title: words.action, cell: ({ action }) => <code className={styles.code}>{action}</code> },
          { title: words.outcome, width: "6rem", cell: ({ outcome }) => <Status tone={TONES[outcome]}>{words.outcomes[outcome]}</Status> },
          { title: words.actor, isWide: true, cell: (entry) => actor(entry, text) },
          { title: words.target, isWide: true, cell: target },
          { title: text.address, width: "8rem", isWide: true, cell: ({ address }) => address },
        ]}
      />
      {isFiltering && (
        <Filters
          filter={filter}
          onFilter={(next) => {
            setFilter(next);
            setFiltering(false);
          }}
          onClose={() => setFiltering(false)}
        />
      )}
      {open && <Entry entry={open} onClose={() => setOpen(undefined)} />}
    </Page>
  );
}

const actor = ({ actorKind, actorId }: AuditEntry, { audit: { kinds } }: AdminText): string => {
  const kind = kinds[actorKind] ?? actorKind;
  return actorId === undefined ? kind : `${kind} ${actorId}`;
};

const target = ({ targetKind, targetId }: AuditEntry): string => [targetKind, targetId].filter(Boolean).join(" ");

function Entry({ entry, onClose }: { entry: AuditEntry; onClose: () => void }) {
  const text = useAdminText();
  const { audit: words } = text;
  const { data } = useUser(entry.actorId);
  const { at, action, outcome, address, sessionId, requestId, instance, details } = entry;
  return (
    <Details
      title={action}
      onClose={onClose}
      details={[
        [words.at, full(at)],
        [words.outcome, <Status tone={TONES[outcome]}>{words.outcomes[outcome]}</Status>],
        [words.actor, data ? `${nameOf(data.user)} (${actor(entry, text)})` : actor(entry, text)],
        [words.target, target(entry)],
        [text.address, address],
        [words.session, sessionId],
        [words.request, requestId],
        [words.instance, instance],
        [words.more, details && <pre className={styles.json}>{JSON.stringify(details, null, 2)}</pre>],
      ]}
    />
  );
}

interface FilterProps {
  filter: AuditQuery;
  onFilter: (filter: AuditQuery) => void;
  onClose: () => void;
}

function Filters({ filter, onFilter, onClose }: FilterProps) {
  const text = useAdminText();
  const { audit: words } = text;
  const { cancel } = useText();
  const labels = { action: words.action, actorId: words.actorId, targetKind: words.targetKind, targetId: words.targetId, address: text.address };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const said = (name: string) => String(fields.get(name) ?? "").trim();
    const time = (name: string) => (said(name) === "" ? "" : new Date(said(name)).toISOString());
    const all = { ...Object.fromEntries([...WORDS, "outcome"].map((name) => [name, said(name)])), from: time("from"), to: time("to") };
    onFilter(Object.fromEntries(Object.entries(all).filter(([, value]) => value !== "")));
  };
  return (
    <Dialog title={text.filters} onClose={onClose}>
      <form className={controls.form} onSubmit={submit}>
        {WORDS.map((name) => (
          <Field
            key={name}
            name={name}
            label={labels[name]}
            hint={name === "action" ? words.actionHint : undefined}
            defaultValue={filter[name] ?? ""}
            maxLength={255}
            autoComplete="off"
          />
        ))}
        <label className={controls.field}>
          <span className={controls.label}>{words.outcome}</span>
          <select name="outcome" className={controls.input} defaultValue={filter.outcome ?? ""}>
            <option value="">{text.any}</option>
            {Object.entries(words.outcomes).map(([outcome, word]) => (
              <option key={outcome} value={outcome}>
                {word}
              </option>
            ))}
          </select>
        </label>
        <Field name="from" label={text.from} type="datetime-local" step={1} defaultValue={local(filter.from)} />
        <Field name="to" label={text.to} type="datetime-local" step={1} defaultValue={local(filter.to)} />
        <div className={controls.actions}>
          <button type="button" className={controls.button} onClick={onClose}>
            {cancel}
          </button>
          <button type="button" className={controls.button} onClick={() => onFilter({})}>
            {text.reset}
          </button>
          <button className={`${controls.button} ${controls.primary}`}>{text.apply}</button>
        </div>
      </form>
    </Dialog>
  );
}

/** A time as its field has it: in the zone of here. */
function local(at: string | undefined): string {
  if (at === undefined) return "";
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
