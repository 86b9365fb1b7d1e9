// Jobs that failed for good: they can be tried again or forgotten, one by one or all of a kind.

import { useQueryClient } from "@tanstack/react-query";
import type { DeadJob } from "@tertulia/sdk/admin";
import { RotateCcw, Trash2 } from "lucide-react";
import { useState } from "react";
import { ago, full } from "../text/dates.ts";
import controls from "../ui/controls.module.css";
import { Ask } from "../ui/Dialog.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { useDebounced } from "../ui/useDebounced.ts";
import { admin } from "./admin.ts";
import { Details } from "./Details.tsx";
import { Page } from "./Page.tsx";
import { useNumberedRows } from "./table/rows.ts";
import { Table } from "./table/Table.tsx";
import { useAdminText } from "./text/index.ts";
import styles from "./admin.module.css";

const KEY = ["admin", "jobs"];

interface Wanted {
  readonly action: "replay" | "drop";
  readonly kind: string;
  readonly id?: string;
}

export function DeadJobs() {
  const text = useAdminText();
  const { jobs: words } = text;
  const queries = useQueryClient();
  const [typed, setTyped] = useState("");
  const [dropping, setDropping] = useState<Wanted>();
  const [open, setOpen] = useState<DeadJob>();
  const kind = useDebounced(typed.trim());
  const rows = useNumberedRows([...KEY, kind], (page, signal) => admin.deadJobs({ ...page, ...(kind && { kind }) }, signal));
  const settle = (wanted: Wanted) =>
    admin.settleDeadJobs(wanted).then((jobs) => {
      say(words.settled(jobs));
      void queries.invalidateQueries({ queryKey: KEY });
    }, complain);
  return (
    <Page title={words.title} hint={words.hint} onRefresh={rows.refresh}>
      <div className={styles.toolbar}>
        <input
          type="search"
          className={controls.input}
          value={typed}
          onChange={({ target }) => setTyped(target.value)}
          maxLength={255}
          placeholder={words.kind}
          aria-label={words.kind}
        />
        {kind !== "" && rows.total > 0 && (
          <>
            <button type="button" className={controls.button} onClick={() => void settle({ action: "replay", kind })}>
              {words.replayKind(kind)}
            </button>
            <button type="button" className={`${controls.button} ${controls.danger}`} onClick={() => setDropping({ action: "drop", kind })}>
              {words.dropKind(kind)}
            </button>
          </>
        )}
      </div>
      <Table
        key={kind}
        label={words.title}
        rows={rows}
        nameOf={({ kind, id }) => `${kind} ${id}`}
        empty={kind ? text.noMatch : words.noJobs}
        onOpen={setOpen}
        actions={({ kind, id }) => [
          { label: words.replay, icon: RotateCcw, run: () => void settle({ action: "replay", kind, id }) },
          { label: words.drop, icon: Trash2, isDangerous: true, run: () => setDropping({ action: "drop", kind, id }) },
        ]}
        columns={[
          { title: words.kind, cell: ({ kind }) => kind },
          { title: words.id, isWide: true, cell: ({ id }) => <code className={styles.code}>{id}</code> },
          { title: words.died, cell: ({ diedAt }) => ago(diedAt) },
          { title: words.attempts, width: "6rem", isNumber: true, isWide: true, cell: ({ attempts }) => attempts },
          { title: words.error, width: "minmax(0, 2fr)", isWide: true, cell: ({ error }) => error },
        ]}
      />
      {open && (
        <Details
          title={open.kind}
          onClose={() => setOpen(undefined)}
          details={[
            [words.id, <code className={styles.code}>{open.id}</code>],
            [words.enqueued, full(open.enqueuedAt)],
            [words.died, full(open.diedAt)],
            [words.attempts, open.attempts],
            [words.error, open.error],
          ]}
        />
      )}
      {dropping && (
        <Ask title={words.dropAsk} action={words.drop} onClose={() => setDropping(undefined)} onAgree={() => void settle(dropping)}>
          {dropping.id === undefined ? words.dropKind(dropping.kind) : `${dropping.kind} ${dropping.id}`}
        </Ask>
      )}
    </Page>
  );
}
