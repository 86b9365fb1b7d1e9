// The circuit breakers: what is called just now, and what isn't.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { Circuit, CircuitMode } from "@tertulia/sdk/admin";
import { Bot, CircleCheck, CircleSlash } from "lucide-react";
import { useState } from "react";
import { Ask } from "../ui/Dialog.tsx";
import type { MenuAction } from "../ui/Menu.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { admin } from "./admin.ts";
import { Page } from "./Page.tsx";
import { Status, type Tone } from "./Status.tsx";
import { allRows } from "./table/rows.ts";
import { Table } from "./table/Table.tsx";
import { useAdminText } from "./text/index.ts";

const KEY = ["admin", "circuits"];
const REREAD_MS = 3_000;
const TONES: Record<Circuit["state"], Tone> = { closed: "good", half_open: "plain", open: "bad" };
const ICONS = { automatic: Bot, closed: CircleCheck, open: CircleSlash };

export function Circuits() {
  const text = useAdminText();
  const { circuits: words } = text;
  const queries = useQueryClient();
  const [opening, setOpening] = useState<string>();
  const rows = allRows(useQuery({ queryKey: KEY, queryFn: () => admin.circuits(), refetchInterval: REREAD_MS, staleTime: 0 }));
  const set = (name: string, mode: CircuitMode) =>
    admin.setCircuit(name, mode).then(() => {
      say(text.done);
      void queries.invalidateQueries({ queryKey: KEY });
    }, complain);
  const actions = ({ name, mode }: Circuit): MenuAction[] =>
    (["automatic", "closed", "open"] as const)
      .filter((other) => other !== mode)
      .map((other) => ({
        label: words.set[other],
        icon: ICONS[other],
        isDangerous: other === "open",
        run: () => (other === "open" ? setOpening(name) : void set(name, other)),
      }));
  return (
    <Page title={words.title} hint={words.hint} onRefresh={rows.refresh}>
      <Table
        label={words.title}
        rows={rows}
        nameOf={({ name }) => name}
        empty={text.none}
        actions={actions}
        columns={[
          { title: words.name, cell: ({ name }) => name },
          { title: words.state, width: "5.5rem", cell: ({ state }) => <Status tone={TONES[state]}>{words.states[state]}</Status> },
          { title: words.mode, cell: ({ mode }) => words.modes[mode] },
          { title: words.failures, isNumber: true, isWide: true, cell: ({ failures, calls }) => `${failures} / ${calls}` },
          { title: words.rejected, isNumber: true, isWide: true, cell: ({ rejected }) => rejected.toLocaleString() },
        ]}
      />
      {opening !== undefined && (
        <Ask title={words.openAsk(opening)} action={words.set.open} onClose={() => setOpening(undefined)} onAgree={() => void set(opening, "open")}>
          {words.openHint}
        </Ask>
      )}
    </Page>
  );
}
