// The dashboard of administrators: a section beside the list of all.

import { useQuery } from "@tanstack/react-query";
import { ArrowLeft } from "lucide-react";
import { useEffect, useRef } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import { ConnectionBadge, ConnectionLine } from "../ConnectionState.tsx";
import { useStore } from "../store.ts";
import { connection, tertulia, useMe } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Waiting } from "../ui/Waiting.tsx";
import { SECTIONS } from "./sections.tsx";
import { useAdminText } from "./text/index.ts";
import styles from "./admin.module.css";

/** What the server says of oneself: a role that was given, or taken, since one signed in. */
function useRole() {
  const me = useMe();
  const isConnected = useStore(connection, ({ status }) => status === "connected");
  const { isPending } = useQuery({
    queryKey: ["me", isConnected],
    queryFn: () => tertulia.reloadUser(),
    staleTime: 0,
  });
  useEffect(
    () => tertulia.on("outdated", (key) => void (key === `user:${me.id}` && tertulia.reloadUser().catch(() => undefined))),
    [me.id],
  );
  return { role: me.role, isPending };
}

export default function Dashboard() {
  const text = useAdminText();
  const { toRooms } = useText();
  const { role, isPending } = useRole();
  const [first] = SECTIONS;
  useTitle(text.dashboard);
  if (role !== "admin" || !first)
    return (
      <main className={styles.closed}>
        {isPending ? (
          <Waiting />
        ) : (
          <>
            <h1>{text.forbidden}</h1>
            <Link className={controls.button} href="/">
              {toRooms}
            </Link>
          </>
        )}
      </main>
    );
  return (
    <div className={styles.dashboard}>
      <Sections />
      <main className={styles.main}>
        <ConnectionLine />
        <Switch>
          {SECTIONS.map(({ name, Page }) => (
            <Route key={name} path={`/admin/${name}`}>
              <Page />
            </Route>
          ))}
          <Route>
            <Redirect to={`/admin/${first.name}`} replace />
          </Route>
        </Switch>
      </main>
    </div>
  );
}

function Sections() {
  const text = useAdminText();
  const [location] = useLocation();
  const current = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    void current.current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [location]);
  return (
    <nav className={styles.side} aria-label={text.sections}>
      <header className={styles.sideHeader}>
        <Link href="/" className={controls.icon} aria-label={text.toChat} title={text.toChat}>
          <ArrowLeft size={20} aria-hidden />
        </Link>
        <span className={styles.brand}>{text.dashboard}</span>
        <ConnectionBadge />
      </header>
      <ul className={styles.sections}>
        {SECTIONS.map(({ name, icon: Icon, titleOf }) => {
          const isCurrent = location === `/admin/${name}`;
          return (
            <li key={name}>
              <Link
                ref={isCurrent ? current : undefined}
                href={`/admin/${name}`}
                className={isCurrent ? `${styles.section} ${styles.current}` : styles.section}
                aria-current={isCurrent ? "page" : undefined}
              >
                <Icon size={17} aria-hidden />
                {titleOf(text)}
              </Link>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

function useTitle(title: string) {
  useEffect(() => {
    const before = document.title;
    document.title = `${title} · Tertulia`;
    return () => {
      document.title = before;
    };
  }, [title]);
}
