// One's rooms and people, what is unread, and how the connection is.

import { Bell, Compass, Hash, LayoutDashboard, Lock, PenLine, Plus, Search, Settings } from "lucide-react";
import { memo, useMemo, useState } from "react";
import { Link, useRoute } from "wouter";
import { ConnectionBadge } from "../ConnectionState.tsx";
import type { Overlay } from "../Shell.tsx";
import { unreadNotifications } from "../notifications/unread.ts";
import { useStore } from "../store.ts";
import { useMe } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import { nameOf, roomName } from "../text/names.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import { Name } from "../ui/Name.tsx";
import { Waiting } from "../ui/Waiting.tsx";
import { Wordmark } from "../ui/Wordmark.tsx";
import { myRooms, reload, type Entry } from "./my-rooms.ts";
import { inOrder } from "./order.ts";
import { PeerAvatar } from "./PeerAvatar.tsx";
import styles from "./sidebar.module.css";

interface Props {
  className: string | undefined;
  onOpen: (overlay: Overlay) => void;
}

export function Sidebar({ className, onOpen }: Props) {
  const text = useText();
  const me = useMe();
  const { status, error, entries } = useStore(myRooms);
  const [query, setQuery] = useState("");
  const { rooms, direct } = useMemo(() => inOrder(entries, query), [entries, query]);
  const isEmpty = rooms.length + direct.length === 0;

  return (
    <nav className={`${styles.sidebar} ${className}`} aria-label={text.rooms}>
      <header className={styles.header}>
        <Wordmark />
        <ConnectionBadge />
      </header>
      <div className={styles.filter}>
        <Search size={16} aria-hidden />
        <input
          type="search"
          value={query}
          onChange={({ target }) => setQuery(target.value)}
          placeholder={text.filterRooms}
          aria-label={text.filterRooms}
        />
      </div>
      <div className={styles.lists}>
        <Group title={text.rooms} entries={rooms}>
          <button type="button" className={controls.icon} onClick={() => onOpen("browse")} aria-label={text.browse} title={text.browse}>
            <Compass size={17} aria-hidden />
          </button>
          {!me.guest && (
            <button type="button" className={controls.icon} onClick={() => onOpen("create")} aria-label={text.create} title={text.create}>
              <Plus size={18} aria-hidden />
            </button>
          )}
        </Group>
        {isEmpty && status !== "ready" && <Waiting error={status === "failed" && error} onRetry={reload} />}
        {isEmpty && status === "ready" && (
          <div className={controls.empty}>
            <p>{query ? text.noMatch : text.noRooms}</p>
            {!query && (
              <button type="button" className={controls.button} onClick={() => onOpen("browse")}>
                {text.browse}
              </button>
            )}
          </div>
        )}
        <Group title={text.people} entries={direct}>
          {!me.guest && (
            <button type="button" className={controls.icon} onClick={() => onOpen("people")} aria-label={text.writeTo} title={text.writeTo}>
              <PenLine size={16} aria-hidden />
            </button>
          )}
        </Group>
      </div>
      <footer className={styles.footer}>
        <Avatar name={nameOf(me)} userId={me.id} />
        <span className={controls.grow}>
          <span className={styles.me}>
            <Name>{nameOf(me)}</Name>
          </span>
          <span className={controls.faint}>{me.guest ? text.guestBadge : `@${me.username}`}</span>
        </span>
        {me.role === "admin" && (
          <Link href="/admin" className={controls.icon} aria-label={text.dashboard} title={text.dashboard}>
            <LayoutDashboard size={18} aria-hidden />
          </Link>
        )}
        {!me.guest && <Notifications onOpen={() => onOpen("notifications")} />}
        <button type="button" className={controls.icon} onClick={() => onOpen("settings")} aria-label={text.settings} title={text.settings}>
          <Settings size={18} aria-hidden />
        </button>
      </footer>
    </nav>
  );
}

/** Nothing where the server has no notifications. */
function Notifications({ onOpen }: { onOpen: () => void }) {
  const text = useText();
  const unread = useStore(unreadNotifications);
  if (unread === undefined) return null;
  const label = unread > 0 ? `${text.notifications}, ${text.unread(unread)}` : text.notifications;
  return (
    <button type="button" className={`${controls.icon} ${styles.bell}`} onClick={onOpen} aria-label={label} title={label}>
      <Bell size={18} aria-hidden />
      {unread > 0 && (
        <span className={styles.bellCount} aria-hidden="true">
          {unread > 99 ? "99+" : unread}
        </span>
      )}
    </button>
  );
}

function Group({ title, entries, children }: { title: string; entries: readonly Entry[]; children: React.ReactNode }) {
  return (
    <section>
      <div className={styles.group}>
        <h2>{title}</h2>
        {children}
      </div>
      <ul>
        {entries.map((entry) => (
          <Item key={entry.info.id} entry={entry} />
        ))}
      </ul>
    </section>
  );
}

const Item = memo(function Item({ entry: { info, unread, mentioned, peerOnline } }: { entry: Entry }) {
  const text = useText();
  const href = `/rooms/${info.id}`;
  const [isCurrent] = useRoute(href);
  const classes = [styles.item, unread > 0 && styles.unread, isCurrent && styles.current].filter(Boolean).join(" ");
  return (
    <li>
      <Link href={href} className={classes} aria-current={isCurrent ? "page" : undefined}>
        <span className={styles.mark}>
          {info.kind === "direct" ? (
            <PeerAvatar room={info} size="small" isOnline={peerOnline} />
          ) : info.kind === "private" ? (
            <Lock size={15} aria-hidden />
          ) : (
            <Hash size={16} aria-hidden />
          )}
        </span>
        <span className={styles.name}>
          <Name>{roomName(info)}</Name>
        </span>
        {peerOnline && <span className="unseen">, {text.isOnline}</span>}
        {unread > 0 && (
          <span className={mentioned || info.kind === "direct" ? `${styles.count} ${styles.called}` : styles.count}>
            <span aria-hidden="true">
              {mentioned && "@"}
              {unread > 999 ? "999+" : unread}
            </span>
            <span className="unseen">
              , {text.unread(unread)}
              {mentioned && `, ${text.mentioned}`}
            </span>
          </span>
        )}
      </Link>
    </li>
  );
});
