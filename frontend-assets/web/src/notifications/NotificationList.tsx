// What happened while one looked elsewhere, the newest first; each leads to where it happened.

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import type { Notification } from "@tertulia/sdk";
import { AtSign, Bell, MessageCircle, Reply, UserPlus, type LucideIcon } from "lucide-react";
import { useEffect } from "react";
import { useLocation } from "wouter";
import { useStore } from "../store.ts";
import { tertulia } from "../tertulia.ts";
import { ago, full } from "../text/dates.ts";
import { useText } from "../text/index.ts";
import { plain } from "../timeline/markup.ts";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import { complain } from "../ui/toasts.tsx";
import { Waiting } from "../ui/Waiting.tsx";
import styles from "./notification-list.module.css";
import { unreadNotifications } from "./unread.ts";

const PAGE = 30;
const KEY = ["notifications"];

const ICONS: Record<Notification["kind"], LucideIcon> = {
  mention: AtSign,
  reply: Reply,
  direct: MessageCircle,
  message: Bell,
  invitation: UserPlus,
};

export default function NotificationList({ onClose }: { onClose: () => void }) {
  const text = useText();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const unread = useStore(unreadNotifications);
  const { data, error, isPending, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: KEY,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: before }) => tertulia.notifications.list({ limit: PAGE, ...(before && { before }) }),
    getNextPageParam: (page) => (page.hasMore ? page.notifications.at(-1)?.id : undefined),
    staleTime: 0,
  });
  useEffect(() => {
    const reread = () => void queries.invalidateQueries({ queryKey: KEY });
    const subscriptions = [tertulia.notifications.on("new", reread), tertulia.notifications.on("read", reread)];
    return () => {
      for (const unsubscribe of subscriptions) unsubscribe();
    };
  }, [queries]);
  const notifications = data?.pages.flatMap((page) => page.notifications) ?? [];

  const open = (notification: Notification) => {
    if (!notification.readAt) tertulia.notifications.read(notification.id).catch(complain);
    onClose();
    const path = pathOf(notification);
    if (path) navigate(path);
  };

  return (
    <Dialog title={text.notifications} onClose={onClose}>
      <div className={styles.head}>
        <span className={controls.faint} aria-live="polite">
          {unread === undefined ? "" : text.unread(unread)}
        </span>
        <button
          type="button"
          className={`${controls.button} ${controls.small}`}
          disabled={!unread}
          onClick={() => void tertulia.notifications.readAll().catch(complain)}
        >
          {text.readAll}
        </button>
      </div>
      {(isPending || error) && <Waiting error={error} onRetry={() => void refetch()} />}
      {data && notifications.length === 0 && <p className={controls.empty}>{text.noNotifications}</p>}
      <ul>
        {notifications.map((notification) => {
          const { id, kind, title, body, createdAt, readAt } = notification;
          const Icon = ICONS[kind] ?? Bell;
          return (
            <li key={id}>
              <button type="button" className={readAt ? styles.entry : `${styles.entry} ${styles.isUnread}`} onClick={() => open(notification)}>
                <Icon size={18} aria-hidden />
                <span className={styles.words}>
                  <span className={styles.title}>
                    <span className="unseen">
                      {!readAt && `${text.newMessages}, `}
                      {text.notified[kind] ?? ""}:{" "}
                    </span>
                    <bdi>{title}</bdi>
                  </span>
                  {body && <span dir="auto">{plain(body)}</span>}
                  <time dateTime={createdAt} title={full(createdAt)} className={controls.faint}>
                    {ago(createdAt)}
                  </time>
                </span>
              </button>
            </li>
          );
        })}
      </ul>
      {hasNextPage && (
        <button type="button" className={controls.button} disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {text.more}
        </button>
      )}
    </Dialog>
  );
}

function pathOf({ data }: Notification): string | undefined {
  const { roomId, seq } = data as { roomId?: unknown; seq?: unknown };
  if (typeof roomId !== "string") return undefined;
  return `/rooms/${encodeURIComponent(roomId)}${typeof seq === "number" ? `?message=${seq}` : ""}`;
}
