import { useQuery } from "@tanstack/react-query";
import { admin } from "./admin.ts";
import { Page } from "./Page.tsx";
import { Status } from "./Status.tsx";
import { allRows } from "./table/rows.ts";
import { Table } from "./table/Table.tsx";
import { useAdminText } from "./text/index.ts";
import styles from "./admin.module.css";

const REREAD_MS = 5_000;

export function Instances() {
  const text = useAdminText();
  const rows = allRows(useQuery({ queryKey: ["admin", "instances"], queryFn: () => admin.instances(), refetchInterval: REREAD_MS, staleTime: 0 }));
  return (
    <Page title={text.instances.title} hint={text.instances.hint} onRefresh={rows.refresh}>
      <Table
        label={text.instances.title}
        rows={rows}
        nameOf={({ id }) => id}
        empty={text.none}
        columns={[
          { title: text.instances.id, cell: ({ id }) => <code className={styles.code}>{id}</code> },
          { title: "", width: "auto", cell: ({ current }) => current && <Status tone="good">{text.instances.answered}</Status> },
        ]}
      />
    </Page>
  );
}
