// What happened on each day that is over.

import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { locale } from "../text/index.ts";
import { admin } from "./admin.ts";
import { Chart } from "./Chart.tsx";
import { Page } from "./Page.tsx";
import { allRows } from "./table/rows.ts";
import { Table } from "./table/Table.tsx";
import { useAdminText } from "./text/index.ts";
import styles from "./admin.module.css";

const NUMBER = (n: number) => n.toLocaleString(locale());
const named = (day: string) => new Date(`${day}T00:00:00`).toLocaleDateString(locale(), { day: "numeric", month: "short", year: "numeric" });

export function Days() {
  const { days: words } = useAdminText();
  const query = useQuery({ queryKey: ["admin", "days"], queryFn: () => admin.days() });
  const rows = allRows({ ...query, data: useMemo(() => query.data?.toReversed(), [query.data]) });
  const times = useMemo(() => query.data?.map(({ day }) => new Date(`${day}T00:00:00`).getTime() / 1_000) ?? [], [query.data]);
  const messages = useMemo(() => query.data?.map(({ messages }) => messages) ?? [], [query.data]);
  const activeUsers = useMemo(() => query.data?.map(({ activeUsers }) => activeUsers) ?? [], [query.data]);
  return (
    <Page title={words.title} hint={words.hint} onRefresh={rows.refresh}>
      {rows.total > 0 && (
        <div className={styles.charts}>
          <Chart title={words.messages} times={times} series={[{ label: words.messages, colour: "accent", values: messages }]} format={NUMBER} isDays />
          <Chart
            title={words.activeUsers}
            times={times}
            series={[{ label: words.activeUsers, colour: "good", values: activeUsers }]}
            format={NUMBER}
            isDays
          />
        </div>
      )}
      <Table
        label={words.title}
        rows={rows}
        nameOf={({ day }) => day}
        empty={words.noDays}
        columns={[
          { title: words.day, cell: ({ day }) => named(day) },
          { title: words.messages, isNumber: true, cell: ({ messages }) => NUMBER(messages) },
          { title: words.activeUsers, isNumber: true, cell: ({ activeUsers }) => NUMBER(activeUsers) },
        ]}
      />
    </Page>
  );
}
