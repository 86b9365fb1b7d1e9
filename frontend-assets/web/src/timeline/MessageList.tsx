// The messages of a room, of which only those near the eye are elements, however many are loaded.
//
// What must stay true: who is at the end stays there as messages come; who isn't sees nothing move, whatever is loaded
// before or after.

import { ArrowDown, ArrowUp } from "lucide-react";
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useRef, useState, type KeyboardEvent, type Ref } from "react";
import { attend } from "../rooms/my-rooms.ts";
import { useStore } from "../store.ts";
import { isMe } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import { isolated } from "../text/names.ts";
import controls from "../ui/controls.module.css";
import { Waiting } from "../ui/Waiting.tsx";
import { Announcer } from "./Announcer.tsx";
import { useRoom } from "./context.ts";
import styles from "./message-list.module.css";
import { guessHeight, MessageRow } from "./MessageRow.tsx";
import { isOutgoing, keyOf, type Row } from "./timeline.ts";
import { VirtualRows, type Place, type VirtualRowsHandle } from "./VirtualRows.tsx";

/** More is loaded this far ahead. */
const AHEAD_PX = 4_000;
const FOUND_MS = 2_500;
/** Who has stood at the end so long has seen it. */
const SEEN_MS = 5_000;

export interface MessageListHandle {
  /** The reader has written something: goes to the end, where it stands. */
  answered: () => void;
  jumpTo: (seq: number) => void;
}

interface Props {
  ref: Ref<MessageListHandle>;
  name: string;
  /** How many were unread when the room was opened. */
  unread: number;
  /** The `seq` up to which everything was read then; absent if that was all. */
  unreadAfter: number | undefined;
  /** How far others have read; absent in rooms where that isn't shown. */
  readSeqs: ReadonlyMap<string, number> | undefined;
}

export function MessageList({ ref, name, unread, unreadAfter, readSeqs }: Props) {
  const text = useText();
  const { room, timeline, me } = useRoom();
  const view = useStore(timeline.view);
  const { rows, generation } = view;
  const list = useRef<VirtualRowsHandle>(null);
  const [showsEnd, setShowsEnd] = useState(true);
  const [found, setFound] = useState<number>();
  const [seen, setSeen] = useState(Number.MAX_SAFE_INTEGER);
  const [isUnreadAbove, setUnreadAbove] = useState(unreadAfter !== undefined);
  const [isReading, setReading] = useState(false);
  const firstUnread = unreadAfter === undefined ? undefined : firstOfOthersAfter(rows, unreadAfter, view.hasOlder);
  const lastOwn = readSeqs && lastOwnSeq(rows);

  const look = useCallback(() => {
    const { hasNewer, rows } = timeline.view.get();
    const isAtEnd = list.current?.place().isAtEnd ?? true;
    const isReading = isAtEnd && !hasNewer && rows.length > 0 && !document.hidden && document.hasFocus();
    attend(isReading ? room.id : undefined);
    setReading(isReading);
  }, [timeline, room]);

  const scrolled = useCallback(
    ({ isAtEnd, before, after, first }: Place) => {
      const { hasOlder, hasNewer } = timeline.view.get();
      setShowsEnd(isAtEnd);
      setSeen(isAtEnd ? Number.MAX_SAFE_INTEGER : (now) => (now === Number.MAX_SAFE_INTEGER ? room.seq : now));
      if (hasOlder && before < AHEAD_PX) void timeline.loadOlder();
      if (hasNewer && after < AHEAD_PX) void timeline.loadNewer();
      const unread = unreadAfter === undefined ? undefined : timeline.indexFrom(unreadAfter + 1);
      if (unread !== undefined && first <= unread) setUnreadAbove(false);
      look();
    },
    [room, timeline, look, unreadAfter],
  );

  const mark = useCallback((seq: number) => setFound(seq), []);
  useEffect(() => {
    if (found === undefined) return;
    const timer = setTimeout(() => setFound(undefined), FOUND_MS);
    return () => clearTimeout(timer);
  }, [found]);

  useEffect(() => {
    if (!isReading) return;
    const timer = setTimeout(() => setUnreadAbove(false), SEEN_MS);
    return () => clearTimeout(timer);
  }, [isReading]);

  const toEnd = useCallback(() => {
    if (timeline.view.get().hasNewer) void timeline.loadNewest();
    else list.current?.toEnd();
  }, [timeline]);

  useImperativeHandle(ref, () => ({
    answered() {
      setUnreadAbove(false);
      toEnd();
    },
    jumpTo(seq) {
      mark(seq);
      setUnreadAbove(false);
      const index = timeline.indexFrom(seq);
      if (index === undefined) void timeline.loadAround(seq);
      else list.current?.toRow(index);
    },
  }));

  useLayoutEffect(look, [rows, look]);

  useEffect(() => {
    // What is loaded may not reach far enough, in which case nothing may be scrolled.
    if (view.isLoading || view.error || !list.current) return;
    const { before, after } = list.current.place();
    if (view.hasOlder && before < AHEAD_PX) void timeline.loadOlder();
    else if (view.hasNewer && after < AHEAD_PX) void timeline.loadNewer();
  }, [view, timeline]);

  useEffect(() => {
    const events = ["focus", "blur"] as const;
    for (const event of events) addEventListener(event, look);
    document.addEventListener("visibilitychange", look);
    return () => {
      for (const event of events) removeEventListener(event, look);
      document.removeEventListener("visibilitychange", look);
      attend(undefined);
      timeline.shrink();
    };
  }, [look, timeline]);

  if (rows.length === 0 && (view.isLoading || view.error)) {
    return (
      <div className={styles.list}>
        <Waiting error={view.error} onRetry={() => timeline.retry()} />
      </div>
    );
  }
  const below = showsEnd ? 0 : countNew(rows, seen);
  return (
    <div className={styles.list}>
      <div className={styles.scroller} role="feed" aria-label={text.messages} aria-busy={view.isLoading} tabIndex={0} onKeyDown={walk}>
        <div className={styles.spacer} />
        {!view.hasOlder && (
          <div className={styles.beginning}>
            <div>{text.beginning(isolated(name))}</div>
            {rows.length === 0 && text.beginningHint}
          </div>
        )}
        <VirtualRows
          key={generation}
          ref={list}
          rows={rows}
          keyOf={keyOf}
          guess={(row, previous) => guessHeight(row, previous, me)}
          start={view.around === undefined ? undefined : timeline.indexFrom(view.around)}
          isEndLoaded={!view.hasNewer}
          onScroll={scrolled}
        >
          {(row, index) => (
            <MessageRow
              row={row}
              previous={rows[index - 1]}
              isFirstUnread={firstUnread !== undefined && row === rows[firstUnread]}
              isFocused={found !== undefined && !isOutgoing(row) && row.seq === found}
              readers={readSeqs && !isOutgoing(row) && row.seq === lastOwn ? countReaders(readSeqs, row.seq) : undefined}
            />
          )}
        </VirtualRows>
        <div className={styles.foot} />
      </div>
      {view.isLoading && <div className={styles.loading} aria-hidden="true" />}
      {view.error && (
        <div className={styles.failed} role="alert">
          {text.historyFailed}{" "}
          <button type="button" className={controls.link} onClick={() => timeline.retry()}>
            {text.tryAgain}
          </button>
        </div>
      )}
      {isUnreadAbove && unreadAfter !== undefined && <UnreadAbove count={unread} unreadAfter={unreadAfter} />}
      {(!showsEnd || view.hasNewer) && (
        <button type="button" className={below > 0 ? `${styles.pill} ${styles.news}` : styles.pill} onClick={toEnd}>
          <ArrowDown size={16} aria-hidden />
          {below > 0 ? text.newBelow(below) : text.toNewest}
        </button>
      )}
      <Announcer />
    </div>
  );
}

function UnreadAbove({ count, unreadAfter }: { count: number; unreadAfter: number }) {
  const text = useText();
  const { jumpTo } = useRoom();
  return (
    <button type="button" className={`${styles.pill} ${styles.above}`} onClick={() => jumpTo(unreadAfter + 1)}>
      <ArrowUp size={16} aria-hidden />
      {text.unreadAbove(count)}
    </button>
  );
}

/** The arrow keys go from message to message. */
function walk(event: KeyboardEvent<HTMLDivElement>): void {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const scroller = event.currentTarget;
  const target = event.target as HTMLElement;
  const articles = [...scroller.querySelectorAll<HTMLElement>("article")];
  let next: HTMLElement | undefined;
  if (target === scroller) {
    const { bottom } = scroller.getBoundingClientRect();
    next = articles.findLast((article) => article.getBoundingClientRect().top < bottom);
  } else if (target.tagName === "ARTICLE") {
    next = articles[articles.indexOf(target) + (event.key === "ArrowUp" ? -1 : 1)];
  } else return;
  if (!next) return;
  event.preventDefault();
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function countNew(rows: readonly Row[], seen: number): number {
  let count = 0;
  for (let index = rows.length - 1; index >= 0; index--) {
    const row = rows[index];
    if (!row || isOutgoing(row)) continue;
    if (row.seq <= seen) break;
    if (!isMe(row.sender.id)) count++;
  }
  return count;
}

function firstOfOthersAfter(rows: readonly Row[], seq: number, hasOlder: boolean): number | undefined {
  let first: number | undefined;
  for (let index = rows.length - 1; index >= 0; index--) {
    const row = rows[index];
    if (!row || isOutgoing(row)) continue;
    if (row.seq <= seq) return first;
    if (!isMe(row.sender.id)) first = index;
  }
  // What is first may lie before what is loaded.
  return hasOlder ? undefined : first;
}

function lastOwnSeq(rows: readonly Row[]): number | undefined {
  const LOOKED_AT = 200;
  for (let index = rows.length - 1; index >= Math.max(0, rows.length - LOOKED_AT); index--) {
    const row = rows[index];
    if (row && !isOutgoing(row) && isMe(row.sender.id) && !row.deletedAt) return row.seq;
  }
  return undefined;
}

function countReaders(readSeqs: ReadonlyMap<string, number>, seq: number): number {
  let count = 0;
  for (const [userId, read] of readSeqs) if (read >= seq && !isMe(userId)) count++;
  return count;
}
