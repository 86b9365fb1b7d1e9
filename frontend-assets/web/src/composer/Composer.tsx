// Where messages are written. What is in it survives a reload, and the room being left.

import { bounds, type Draft, type Message, type RoomMember } from "@tertulia/sdk";
import { Paperclip, SendHorizontal, Smile, X } from "lucide-react";
import { useEffect, useId, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { AttachmentTray } from "../attachments/AttachmentTray.tsx";
import { summary } from "../attachments/summary.ts";
import { attach, post, trayOf, trays } from "../attachments/tray.ts";
import { useStore } from "../store.ts";
import { useRoom } from "../timeline/context.ts";
import { edit as changeText, editOf, edits } from "../timeline/edits.ts";
import { EmojiPicker } from "../timeline/EmojiPicker.tsx";
import { isOutgoing } from "../timeline/timeline.ts";
import { useText } from "../text/index.ts";
import { isolated, nameOf } from "../text/names.ts";
import controls from "../ui/controls.module.css";
import { Name } from "../ui/Name.tsx";
import { complain } from "../ui/toasts.tsx";
import styles from "./composer.module.css";
import { forgetDraft, keepDraft, recallDraft } from "./drafts.ts";
import { calledAt, useMentions, type Call } from "./mention-completion.ts";

interface Props {
  name: string;
  members: readonly RoomMember[];
  replyTo: Message | undefined;
  editing: Message | undefined;
  /** What couldn't be sent, to be written anew; each once. */
  returned: Draft | undefined;
  /** No longer an answer, nor a change of an earlier message. */
  onPlain: () => void;
  onSent: () => void;
}

/** Characters left from which on they are counted. */
const NEARLY_FULL = 1_000;

export function Composer({ name, members, replyTo, editing, returned, onPlain, onSent }: Props) {
  const text = useText();
  const { room, me, timeline, edit, rewrite } = useRoom();
  const [body, setBody] = useState(() => recallDraft(me.id, room.id));
  const [call, setCall] = useState<Call>();
  const [chosen, setChosen] = useState(0);
  const field = useRef<HTMLTextAreaElement>(null);
  const caret = useRef<number>(undefined);
  const listId = useId();
  const { offered, called } = useMentions(room, members, call, me.id);
  const length = [...body].length;
  const left = bounds.bodyCharacters - length;
  const hasAttached = useStore(trays, (all) => trayOf(all, room.id).items.length > 0);
  const canSend = (body.trim() !== "" || (hasAttached && !editing)) && left >= 0;
  const picker = useRef<HTMLInputElement>(null);

  useEffect(() => {
    if (!editing) keepDraft(me.id, room.id, body);
  }, [me.id, room.id, body, editing]);

  // The text of the message to change takes the field over; what was being written comes back afterwards.
  const [edited, setEdited] = useState<Message>();
  if (editing !== edited) {
    setEdited(editing);
    setBody(editing ? (editOf(edits.get(), room, editing.seq)?.body ?? editing.body) : recallDraft(me.id, room.id));
  }

  const [taken, setTaken] = useState<Draft>();
  if (returned !== taken) {
    setTaken(returned);
    // Before what was begun since.
    const begun = edited ? recallDraft(me.id, room.id) : body;
    if (returned) setBody([returned.body, begun].filter(Boolean).join("\n"));
  }

  useEffect(() => {
    if (replyTo ?? editing ?? returned) field.current?.focus();
  }, [replyTo, editing, returned]);

  useEffect(() => {
    // A phone's keyboard isn't to come up by itself.
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, []);

  useLayoutEffect(() => {
    if (caret.current === undefined) return;
    field.current?.setSelectionRange(caret.current, caret.current);
    caret.current = undefined;
  }, [body]);

  const write = (value: string, at: number) => {
    setBody(value);
    setCall(calledAt(value, at));
    setChosen(0);
    if (!editing) room.typing(value.trim() !== "");
  };

  const insert = (from: number, to: number, inserted: string) => {
    caret.current = from + inserted.length;
    write(body.slice(0, from) + inserted + body.slice(to), caret.current);
    field.current?.focus();
  };

  const complete = (member: RoomMember | undefined) => {
    if (call && member) insert(call.from, call.from + 1 + call.prefix.length, `@${member.user.username} `);
    setCall(undefined);
  };

  const submit = () => {
    if (!canSend) return;
    if (editing) {
      // What becomes of it stands at the message; the field is for what comes next.
      if (body !== editing.body) void changeText(timeline, editing.seq, body.trimEnd());
      setCall(undefined);
      onPlain();
      return;
    }
    const mentions = called(body);
    try {
      post(room.id, {
        body: body.trimEnd(),
        ...(replyTo && { replyTo: replyTo.seq }),
        ...(mentions.length > 0 && { mentions: mentions.slice(0, bounds.mentions) }),
      });
    } catch (error) {
      complain(error);
      return;
    }
    room.typing(false);
    setBody("");
    setCall(undefined);
    forgetDraft(me.id, room.id);
    onPlain();
    onSent();
  };

  const pressed = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    const count = offered.length;
    if (count > 0) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        return setChosen((chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % count);
      }
      // A name that is written out needs no completing.
      const isWhole = chosen === 0 && offered[0]?.user.username.toLowerCase() === call?.prefix.toLowerCase();
      if ((event.key === "Enter" && !isWhole) || event.key === "Tab") {
        event.preventDefault();
        return complete(offered[chosen]);
      }
      if (event.key === "Escape") {
        event.stopPropagation();
        return setCall(undefined);
      }
    }
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape" && (replyTo ?? editing)) {
      onPlain();
    } else if (event.key === "ArrowUp" && body === "" && !editing) {
      const last = timeline.view.get().rows.findLast((row) => !isOutgoing(row) && row.sender.id === me.id && !row.deletedAt);
      if (last && !isOutgoing(last)) {
        event.preventDefault();
        edit(last);
      }
    }
  };

  return (
    <form
      className={styles.composer}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {(replyTo ?? editing) && (
        <div className={styles.about}>
          <span className={controls.grow}>
            <b>{editing ? text.editing : text.replyTo(replyTo ? isolated(nameOf(replyTo.sender)) : text.somebody)}</b>
            {replyTo && !editing && <span className={styles.quoted} dir="auto">{summary(replyTo, 300)}</span>}
          </span>
          <button type="button" className={controls.icon} onClick={onPlain} aria-label={text.cancel} title={text.cancel}>
            <X size={16} aria-hidden />
          </button>
        </div>
      )}
      {offered.length > 0 && (
        <ul id={listId} role="listbox" className={styles.offered} aria-label={text.mentionList}>
          {offered.map((member, index) => (
            <li
              key={member.user.id}
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === chosen}
              onPointerDown={(event) => {
                event.preventDefault();
                complete(member);
              }}
            >
              <b>
                <Name>{nameOf(member.user)}</Name>
              </b>{" "}
              <span>@{member.user.username}</span>
            </li>
          ))}
        </ul>
      )}
      <AttachmentTray onTakeBack={rewrite} />
      <div className={styles.box}>
        {!editing && (
          <button
            type="button"
            className={controls.icon}
            onClick={() => picker.current?.click()}
            aria-label={text.attach}
            title={text.attach}
          >
            <Paperclip size={19} aria-hidden />
          </button>
        )}
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          data-picker="attachments"
          onChange={({ currentTarget }) => {
            attach(room.id, [...(currentTarget.files ?? [])]);
            // The same file again is a change, too.
            currentTarget.value = "";
            field.current?.focus();
          }}
        />
        <textarea
          ref={field}
          dir="auto"
          value={body}
          rows={Math.min(10, body.split("\n").length)}
          placeholder={text.write(isolated(name))}
          aria-label={text.write(name)}
          aria-describedby={`${listId}-hint`}
          aria-autocomplete="list"
          aria-controls={offered.length > 0 ? listId : undefined}
          aria-activedescendant={offered.length > 0 ? `${listId}-${chosen}` : undefined}
          aria-invalid={left < 0}
          onChange={({ target }) => write(target.value, target.selectionStart)}
          onKeyDown={pressed}
          onPaste={(event) => {
            const { files } = event.clipboardData;
            // What is text too, such as cells of a table, is pasted as text.
            if (editing || files.length === 0 || event.clipboardData.types.includes("text/plain")) return;
            event.preventDefault();
            attach(room.id, [...files]);
          }}
          onBlur={() => setCall(undefined)}
          onSelect={({ currentTarget }) => setCall(calledAt(currentTarget.value, currentTarget.selectionStart))}
        />
        <EmojiPicker
          label="Emoji"
          className={controls.icon}
          onPick={(emoji) => insert(field.current?.selectionStart ?? body.length, field.current?.selectionEnd ?? body.length, emoji)}
        >
          <Smile size={20} aria-hidden />
        </EmojiPicker>
        <button
          className={`${controls.icon} ${styles.send}`}
          disabled={!canSend}
          aria-label={editing ? text.save : text.send}
          title={editing ? text.save : text.send}
        >
          <SendHorizontal size={19} aria-hidden />
        </button>
      </div>
      <p
        id={`${listId}-hint`}
        className={left < 0 ? styles.over : left < NEARLY_FULL ? styles.left : "unseen"}
        role={left < 0 ? "alert" : undefined}
      >
        {left < 0 ? text.tooLong(-left) : left < NEARLY_FULL ? text.left(left) : text.writeHint}
      </p>
    </form>
  );
}
