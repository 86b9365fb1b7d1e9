// Where a user is signed in, and the end of it.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { UserSession } from "@tertulia/sdk/admin";
import { LogOut } from "lucide-react";
import { useState } from "react";
import { ago, full, moment } from "../text/dates.ts";
import { isolated, nameOf } from "../text/names.ts";
import controls from "../ui/controls.module.css";
import { Ask } from "../ui/Dialog.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { admin } from "./admin.ts";
import { Details } from "./Details.tsx";
import { Page } from "./Page.tsx";
import { PickUser, useUser, useUserOfAddress } from "./PickUser.tsx";
import { allRows } from "./table/rows.ts";
import { Table } from "./table/Table.tsx";
import { useAdminText } from "./text/index.ts";

export function Sessions() {
  const text = useAdminText();
  const { userId, pick } = useUserOfAddress();
  return (
    <Page title={text.sessions.title} hint={text.sessions.hint}>
      <PickUser userId={userId} onPick={pick} />
      {userId !== undefined && <OfUser key={userId} userId={userId} />}
    </Page>
  );
}

function OfUser({ userId }: { userId: string }) {
  const text = useAdminText();
  const { sessions: words } = text;
  const queries = useQueryClient();
  const [ending, setEnding] = useState<UserSession | "all">();
  const [open, setOpen] = useState<UserSession>();
  const { data: user } = useUser(userId);
  const key = ["admin", "sessions", userId];
  const rows = allRows(useQuery({ queryKey: key, queryFn: () => admin.sessions(userId), staleTime: 0 }));
  const end = (sessionId?: string) =>
    admin.endSessions(userId, sessionId).then(() => {
      say(text.done);
      void queries.invalidateQueries({ queryKey: key });
    }, complain);
  return (
    <>
      <Table
        label={words.title}
        rows={rows}
        nameOf={({ device }) => device}
        empty={words.noSessions}
        onOpen={setOpen}
        actions={(session) => [{ label: words.end, icon: LogOut, isDangerous: true, run: () => setEnding(session) }]}
        columns={[
          { title: words.device, cell: ({ device }) => <bdi>{device}</bdi> },
          { title: text.address, isWide: true, cell: ({ address }) => address },
          { title: words.created, isWide: true, cell: ({ createdAt }) => moment(createdAt) },
          { title: words.seen, cell: ({ lastSeenAt }) => ago(lastSeenAt) },
        ]}
      />
      {rows.total > 0 && (
        <div className={controls.actions}>
          <button type="button" className={`${controls.button} ${controls.danger}`} onClick={() => setEnding("all")}>
            {words.endAll}
          </button>
        </div>
      )}
      {open && (
        <Details
          title={open.device}
          onClose={() => setOpen(undefined)}
          details={[
            [text.address, open.address],
            [words.created, full(open.createdAt)],
            [words.seen, full(open.lastSeenAt)],
          ]}
        />
      )}
      {ending && (
        <Ask
          title={ending === "all" ? words.endAllAsk(user ? isolated(nameOf(user.user)) : userId) : words.endAsk(isolated(ending.device))}
          action={ending === "all" ? words.endAll : words.end}
          onClose={() => setEnding(undefined)}
          onAgree={() => void end(ending === "all" ? undefined : ending.id)}
        >
          {words.endHint}
        </Ask>
      )}
    </>
  );
}
