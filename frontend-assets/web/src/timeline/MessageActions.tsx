// What can be done with a message. Its buttons exist only while the pointer or the focus is on it.

import type { Message } from "@tertulia/sdk";
import { Copy, MoreHorizontal, Pencil, Reply, SmilePlus, Trash2 } from "lucide-react";
import { useState } from "react";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Ask } from "../ui/Dialog.tsx";
import { Menu, type MenuAction } from "../ui/Menu.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { summary } from "../attachments/summary.ts";
import { useRoom } from "./context.ts";
import { EmojiPicker } from "./EmojiPicker.tsx";
import styles from "./message-actions.module.css";

export function MessageActions({ message, isActive }: { message: Message; isActive: boolean }) {
  const text = useText();
  const { room, me, canModerate, reply, edit } = useRoom();
  const [isOpen, setOpen] = useState(false);
  const [isAsking, setAsking] = useState(false);
  if (!isActive && !isOpen && !isAsking) return null;

  const { seq, body } = message;
  const isMine = message.sender.id === me.id;
  const react = (emoji: string) => {
    const isOn = message.reactions.some((reaction) => reaction.emoji === emoji && reaction.mine);
    void room.react(seq, emoji, !isOn).catch(complain);
  };
  const actions: MenuAction[] = [];
  if (body !== "")
    actions.push({ label: text.copy, icon: Copy, run: () => void navigator.clipboard.writeText(body).then(() => say(text.copied), complain) });
  if (isMine) actions.unshift({ label: text.edit, icon: Pencil, run: () => edit(message) });
  if (isMine || canModerate) actions.push({ label: text.delete, icon: Trash2, isDangerous: true, run: () => setAsking(true) });

  return (
    <div className={styles.actions} role="toolbar" aria-label={text.messageActions}>
      <EmojiPicker label={text.react} className={controls.icon} onPick={react} onToggle={setOpen}>
        <SmilePlus size={17} aria-hidden />
      </EmojiPicker>
      <button type="button" className={controls.icon} onClick={() => reply(message)} aria-label={text.reply} title={text.reply}>
        <Reply size={17} aria-hidden />
      </button>
      <Menu label={text.more} className={controls.icon} actions={actions} onToggle={setOpen}>
        <MoreHorizontal size={17} aria-hidden />
      </Menu>
      {isAsking && (
        <Ask
          title={text.deleteAsk}
          action={text.delete}
          onClose={() => setAsking(false)}
          onAgree={() => void room.delete(seq).catch(complain)}
        >
          <span dir="auto">{body.slice(0, 200) || summary(message, 0)}</span>
        </Ask>
      )}
    </div>
  );
}
