// One message: who, when, what, what others put to it, and what became of one's own on its way.

import { useQuery } from "@tanstack/react-query";
import { bounds, type Attachment, type Message, type OutgoingMessage } from "@tertulia/sdk";
import { AlertCircle, Check, CheckCheck, Clock, CornerUpRight, Pencil, RotateCcw, X } from "lucide-react";
import { memo, useState } from "react";
import { useStore } from "../store.ts";
import { connection } from "../tertulia.ts";
import { day, full, isSameDay, time } from "../text/dates.ts";
import { explain, isRefused } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import { isolated, nameOf } from "../text/names.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import { Name } from "../ui/Name.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { PersonMenu } from "../rooms/PersonMenu.tsx";
import { Attachments } from "../attachments/Attachments.tsx";
import { localOf, outgoing } from "../attachments/locals.ts";
import { guessAttachments } from "../attachments/sizes.ts";
import { summary } from "../attachments/summary.ts";
import { resend, takeBackRefused } from "../attachments/tray.ts";
import { Body } from "./Body.tsx";
import { useRoom } from "./context.ts";
import { discardEdit, edit, editOf, edits, type Edit } from "./edits.ts";
import { mentionsIn } from "./markup.ts";
import { MessageActions } from "./MessageActions.tsx";
import styles from "./message-row.module.css";
import { isOutgoing, type Row } from "./timeline.ts";

interface Props {
  row: Row;
  previous: Row | undefined;
  /** Whether what is new to the reader begins here. */
  isFirstUnread: boolean;
  isFocused: boolean;
  /** Of one's last message: how many have read it. */
  readers: number | undefined;
}

const GROUP_MS = 5 * 60_000;

export const MessageRow = memo(function MessageRow({ row, previous, isFirstUnread, isFocused, readers }: Props) {
  const text = useText();
  const { room, me, isDirect, blocked } = useRoom();
  const [isActive, setActive] = useState(false);
  const [isShown, setShown] = useState(false);
  const at = timeOf(row);
  const sender = senderOf(row, me);
  const name = nameOf(sender);
  const beginsDay = !previous || !isSameDay(timeOf(previous), at);
  const beginsGroup = beginsDay || isFirstUnread || row.replyTo !== undefined || !continues(previous, row, me);
  const isMine = sender.id === me.id;
  const isHidden = blocked.has(sender.id) && !isShown && !isDirect;
  const message = isOutgoing(row) ? undefined : row;
  const changed = useStore(edits, (all) => (message && !message.deletedAt ? editOf(all, room, message.seq) : undefined));
  const calls = message && !isMine && message.body.includes("@") && mentionsIn(message.body).has(me.username.toLowerCase());
  const classes = [styles.row, beginsGroup && styles.first, isFocused && styles.focused, calls && styles.calls, (!message || changed) && styles.outgoing]
    .filter(Boolean)
    .join(" ");

  return (
    <>
      {beginsDay && (
        <div className={styles.day}>
          <span>{day(at)}</span>
        </div>
      )}
      {isFirstUnread && (
        <div className={styles.unread}>
          <span>{text.newMessages}</span>
        </div>
      )}
      <article
        className={classes}
        tabIndex={-1}
        aria-label={`${name}, ${time(at)}`}
        data-seq={message?.seq}
        onMouseEnter={() => setActive(true)}
        onMouseLeave={() => setActive(false)}
        onFocus={() => setActive(true)}
        onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && setActive(false)}
      >
        <div className={styles.gutter}>
          {beginsGroup ? (
            <Avatar name={name} userId={sender.id || undefined} />
          ) : (
            <time dateTime={at} className={styles.aside}>
              {time(at)}
            </time>
          )}
        </div>
        <div className={styles.content}>
          {row.replyTo !== undefined && <Replied seq={row.replyTo} />}
          {beginsGroup && (
            <header className={styles.header}>
              {isMine || !sender.id ? (
                <span className={styles.name}>
                  <Name>{name}</Name>
                </span>
              ) : (
                <PersonMenu className={styles.name} user={{ ...sender, displayName: name }} />
              )}
              {sender.guest && <span className={controls.badge}>{text.guestBadge}</span>}
              <time dateTime={at} title={full(at)} className={styles.time}>
                {time(at)}
              </time>
            </header>
          )}
          {isHidden ? (
            <p className={styles.gone}>
              {text.hiddenByBlock}{" "}
              <button type="button" className={controls.link} onClick={() => setShown(true)}>
                {text.show}
              </button>
            </p>
          ) : message?.deletedAt ? (
            <p className={styles.gone}>{text.deleted}</p>
          ) : (
            <Contents row={row} body={changed?.body ?? row.body} me={me.username} isMine={isMine} />
          )}
          {message?.editedAt && !message.deletedAt && !changed && (
            <span className={styles.edited} title={full(message.editedAt)}>
              {text.edited}
            </span>
          )}
          {message && message.reactions.length > 0 && <Reactions message={message} />}
          {message && changed && <EditFate seq={message.seq} edit={changed} />}
          {isOutgoing(row) ? <Fate row={row} /> : readers !== undefined && <Receipt readers={readers} />}
        </div>
        {message && !message.deletedAt && <MessageActions message={message} isActive={isActive} />}
      </article>
    </>
  );
});

/** What a message says and what is attached to it; one of both may be missing. */
function Contents({ row, body, me, isMine }: { row: Row; body: string; me: string; isMine: boolean }) {
  const attachments = attachmentsOf(row);
  return (
    <>
      {body !== "" && <Body body={body} me={me} />}
      {attachments.length > 0 && (
        <Attachments attachments={attachments} seq={isOutgoing(row) ? undefined : row.seq} isMine={isMine} />
      )}
    </>
  );
}

const attachmentsOf = (row: Row): readonly Attachment[] => (isOutgoing(row) ? (row.attachments ?? []).map(outgoing) : row.attachments);

/** Characters that fit into a line of a message on a wide screen. */
const LINE_CHARACTERS = 110;
/** Heights in pixels at the usual size of type: of a line, and of what may stand around them. */
const LINE = 22;
const HEADER = 27;
const DAY = 38;
/** A row of one line is as high as the time beside it. */
const ROW_MIN = 27;

/** How high a row may be before it is drawn. What it is wrong by is seen in the scroll bar only. */
export function guessHeight(row: Row, previous: Row | undefined, me: Message["sender"]): number {
  const beginsDay = !previous || !isSameDay(timeOf(previous), timeOf(row));
  const beginsGroup = beginsDay || row.replyTo !== undefined || !continues(previous, row, me);
  const attachments = attachmentsOf(row);
  const lines = row.body === "" && attachments.length > 0 ? 0 : row.body.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / LINE_CHARACTERS)), 0);
  return Math.max(ROW_MIN, lines * LINE + 3 + guessAttachments(attachments)) + (beginsGroup ? HEADER : 0) + (beginsDay ? DAY : 0);
}

const timeOf = (row: Row): string => (isOutgoing(row) ? row.createdAt : row.at);

const senderOf = (row: Row, me: Message["sender"]): Message["sender"] => (isOutgoing(row) ? me : row.sender);

function continues(previous: Row, row: Row, me: Message["sender"]): boolean {
  const near = new Date(timeOf(row)).getTime() - new Date(timeOf(previous)).getTime() < GROUP_MS;
  return near && senderOf(previous, me).id === senderOf(row, me).id;
}

/** What a message answers. */
function Replied({ seq }: { seq: number }) {
  const text = useText();
  const { room, timeline, jumpTo } = useRoom();
  const loaded = useStore(timeline.view, () => timeline.message(seq));
  const { data } = useQuery({
    queryKey: ["message", room.id, seq],
    queryFn: async () => (await room.history({ after: seq - 1, limit: 1 })).messages[0] ?? null,
    enabled: !loaded,
    staleTime: Infinity,
  });
  const original = loaded ?? (data?.seq === seq ? data : undefined);
  return (
    <button type="button" className={styles.replied} onClick={() => jumpTo(seq)} title={text.goToReplied}>
      <CornerUpRight size={14} aria-hidden />
      <span className="unseen">{original ? text.replied(isolated(nameOf(original.sender))) : text.goToReplied}</span>
      <b aria-hidden="true">{original && <Name>{nameOf(original.sender)}</Name>}</b>
      <span dir="auto">{original ? (original.deletedAt ? text.deleted : summary(original, 160)) : text.original}</span>
    </button>
  );
}

function Reactions({ message }: { message: Message }) {
  const text = useText();
  const { room } = useRoom();
  return (
    <ul className={styles.reactions}>
      {message.reactions.map(({ emoji, count, mine }) => (
        <li key={emoji}>
          <button
            type="button"
            className={mine ? `${styles.reaction} ${styles.mine}` : styles.reaction}
            aria-pressed={mine}
            aria-label={text.reaction(emoji, count, mine)}
            onClick={() => void room.react(message.seq, emoji, !mine).catch(complain)}
          >
            <span aria-hidden="true">
              {emoji} {count}
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** How a message on its way is doing, and what its writer can do. */
function Fate({ row }: { row: OutgoingMessage }) {
  const text = useText();
  const { room, isDirect, rewrite } = useRoom();
  const isConnected = useStore(connection, ({ status }) => status === "connected");
  if (row.state === "failed") {
    const edit = () => {
      const lost = takeBackRefused(room.id, row);
      rewrite(row);
      if (lost > 0) say(text.attachAnew(lost), true);
    };
    const why = isRefused(row.error, "forbidden")
      ? isDirect
        ? text.errors.blocked
        : text.errors.sendGone
      : isRefused(row.error, "not_found")
        ? text.errors.sendGone
        : isRefused(row.error, "too_large")
          ? text.tooLong(Math.max(1, row.body.length - bounds.bodyCharacters))
          : row.attachments && isRefused(row.error, "conflict")
            ? text.errors.attachmentRefused
            : explain(row.error, text);
    const locals = row.attachments?.map(localOf) ?? [];
    const canResend = isRefused(row.error, "conflict") && locals.every(Boolean) && locals.some((local) => local?.isImage);
    return (
      <div className={`${styles.fate} ${styles.failed}`} role="alert" data-fate="failed">
        <AlertCircle size={14} aria-hidden />
        <span>
          {text.failed} {why}
        </span>
        {canResend && (
          <button type="button" className={controls.link} onClick={() => resend(room.id, row)}>
            {text.sendAsFile}
          </button>
        )}
        <button
          type="button"
          className={controls.link}
          onClick={({ currentTarget }) => {
            // The buttons go, the message stays.
            currentTarget.closest("article")?.focus();
            room.retry(row.clientId);
          }}
        >
          <RotateCcw size={13} aria-hidden /> {text.retry}
        </button>
        <button type="button" className={controls.link} onClick={edit}>
          <Pencil size={13} aria-hidden /> {text.edit}
        </button>
        <button
          type="button"
          className={controls.link}
          onClick={({ currentTarget }) => {
            currentTarget.closest<HTMLElement>('[role="feed"]')?.focus();
            room.discard(row.clientId);
          }}
        >
          <X size={13} aria-hidden /> {text.discard}
        </button>
      </div>
    );
  }
  const words =
    row.state === "sent"
      ? text.sent
      : !isConnected
        ? text.waiting
        : isRefused(row.error, "rate_limited")
          ? explain(row.error, text)
          : row.attempts > 1
            ? text.retrying(row.attempts)
            : text.sending;
  return (
    <div className={styles.fate} data-fate={row.state}>
      {row.state === "sent" ? <Check size={13} aria-hidden /> : <Clock size={13} aria-hidden />}
      <span>{words}</span>
    </div>
  );
}

/** The same for a changed text on its way. */
function EditFate({ seq, edit: { body, error } }: { seq: number; edit: Edit }) {
  const text = useText();
  const { room, timeline } = useRoom();
  const isConnected = useStore(connection, ({ status }) => status === "connected");
  if (error === undefined) {
    return (
      <div className={styles.fate} data-fate="editing">
        <Clock size={13} aria-hidden />
        <span>{isConnected ? text.saving : text.waiting}</span>
      </div>
    );
  }
  return (
    <div className={`${styles.fate} ${styles.failed}`} role="alert" data-fate="failed">
      <AlertCircle size={14} aria-hidden />
      <span>
        {text.notSaved} {explain(error, text)}
      </span>
      <button type="button" className={controls.link} onClick={() => void edit(timeline, seq, body)}>
        <RotateCcw size={13} aria-hidden /> {text.retry}
      </button>
      <button type="button" className={controls.link} onClick={() => discardEdit(room, seq)}>
        <X size={13} aria-hidden /> {text.discard}
      </button>
    </div>
  );
}

function Receipt({ readers }: { readers: number }) {
  const text = useText();
  const { isDirect } = useRoom();
  const Icon = readers > 0 ? CheckCheck : Check;
  return (
    <div className={styles.fate} data-fate="stored">
      <Icon size={14} aria-hidden />
      <span>{readers === 0 ? text.sent : isDirect ? text.read : text.readBy(readers)}</span>
    </div>
  );
}
