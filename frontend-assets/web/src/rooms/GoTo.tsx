// One field that leads to any of one's rooms, or to a person.

import * as Ariakit from "@ariakit/react";
import { Hash, Lock } from "lucide-react";
import { useMemo, useState } from "react";
import { useLocation } from "wouter";
import { useStore } from "../store.ts";
import { isMe, useMe } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import { nameOf, roomName } from "../text/names.ts";
import { useWhereabouts } from "../whereabouts.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import { Name } from "../ui/Name.tsx";
import { complain } from "../ui/toasts.tsx";
import { useDebounced } from "../ui/useDebounced.ts";
import { PeerAvatar } from "./PeerAvatar.tsx";
import styles from "./go-to.module.css";
import { myRooms } from "./my-rooms.ts";
import { inOrder } from "./order.ts";
import { usePeople } from "./people.ts";
import { openDirect } from "./PersonMenu.tsx";

const SHOWN = 12;

export default function GoTo({ onClose }: { onClose: () => void }) {
  const text = useText();
  const me = useMe();
  const [, navigate] = useLocation();
  const { entries } = useStore(myRooms);
  const [query, setQuery] = useState("");
  const people = usePeople(useDebounced(me.guest ? "" : query.trim()));
  const found = useMemo(() => {
    const { rooms, direct } = inOrder(entries, query);
    return [...rooms, ...direct].toSorted((one, other) => Number(other.unread > 0) - Number(one.unread > 0)).slice(0, SHOWN);
  }, [entries, query]);
  const known = new Set(found.filter(({ info }) => info.kind === "direct").map(({ info }) => info.name));
  const others = query.trim()
    ? (people.data?.users.filter(({ id, displayName }) => !isMe(id) && !known.has(displayName)).slice(0, SHOWN) ?? [])
    : [];
  const note = useWhereabouts();
  const go = (path: string) => {
    navigate(path);
    onClose();
  };
  const write = (userId: string) => {
    const isHere = note();
    openDirect(userId).then((path) => isHere() && go(path), complain);
  };

  return (
    <Dialog title={text.goTo} onClose={onClose}>
      <Ariakit.ComboboxProvider open setValue={setQuery}>
        <Ariakit.Combobox className={controls.input} placeholder={text.goTo} aria-label={text.goTo} autoFocus autoSelect="always" />
        <Ariakit.ComboboxList alwaysVisible className={styles.found} aria-label={text.goTo}>
          {found.map(({ info, unread }) => (
            <Ariakit.ComboboxItem key={info.id} className={styles.item} onClick={() => go(`/rooms/${info.id}`)}>
              {info.kind === "direct" ? (
                <PeerAvatar room={info} size="small" />
              ) : info.kind === "private" ? (
                <Lock size={16} aria-hidden />
              ) : (
                <Hash size={17} aria-hidden />
              )}
              <span className={controls.grow}>
                <Name>{roomName(info)}</Name>
              </span>
              {unread > 0 && <span className={controls.badge}>{text.unread(unread)}</span>}
            </Ariakit.ComboboxItem>
          ))}
          {others.map((user) => (
            <Ariakit.ComboboxItem key={user.id} className={styles.item} onClick={() => write(user.id)}>
              <Avatar name={nameOf(user)} userId={user.id} size="small" />
              <span className={controls.grow}>
                <Name>{nameOf(user)}</Name>
              </span>
              <span className={controls.faint}>@{user.username}</span>
            </Ariakit.ComboboxItem>
          ))}
          {found.length + others.length === 0 && <p className={controls.empty}>{text.noMatch}</p>}
        </Ariakit.ComboboxList>
      </Ariakit.ComboboxProvider>
    </Dialog>
  );
}
