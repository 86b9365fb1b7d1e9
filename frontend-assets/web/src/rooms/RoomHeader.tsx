// A room's name, who is there, and what can be done with it.

import type { RoomInfo, User } from "@tertulia/sdk";
import { ArrowLeft, Ban, Bell, Hash, Lock, LogOut, MoreVertical, Pencil, Search, Trash2, UserPlus, Users } from "lucide-react";
import { lazy, Suspense, useEffect, useState, type FormEvent } from "react";
import { Link, useLocation } from "wouter";
import { ConnectionBadge } from "../ConnectionState.tsx";
import { unreadNotifications } from "../notifications/unread.ts";
import { useStore } from "../store.ts";
import { tertulia } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import { isolated, nameOf, roomName } from "../text/names.ts";
import { noteWhereabouts, useWhereabouts } from "../whereabouts.ts";
import controls from "../ui/controls.module.css";
import { Ask, Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { Menu, type MenuAction } from "../ui/Menu.tsx";
import { Name } from "../ui/Name.tsx";
import { complain } from "../ui/toasts.tsx";
import { forget, leave } from "./my-rooms.ts";
import { useBlocks } from "./people.ts";
import { PeerAvatar } from "./PeerAvatar.tsx";
import styles from "./room-header.module.css";

const AddPeople = lazy(async () => ({ default: (await import("./FindPeople.tsx")).AddPeople }));

const RoomNotifications = lazy(() => import("../notifications/RoomNotifications.tsx"));

export type Panel = "members" | "search" | undefined;

interface Props {
  info: RoomInfo;
  /** The other one of a direct room, once known. */
  peer: User | undefined;
  peerOnline: boolean;
  online: number;
  panel: Panel;
  onPanel: (panel: Panel) => void;
}

type Asking = "notifications" | "rename" | "add" | "leave" | "delete" | "block";

export function RoomHeader({ info, peer, peerOnline, online, panel, onPanel }: Props) {
  const text = useText();
  const [, navigate] = useLocation();
  const { blocked, set } = useBlocks();
  const [asking, setAsking] = useState<Asking>();
  const close = () => setAsking(undefined);
  const isDirect = info.kind === "direct";
  const canModerate = !isDirect && (info.role === "moderator" || info.role === "owner");
  const hasNotifications = useStore(unreadNotifications, (unread) => unread !== undefined);
  const isBlocked = peer !== undefined && blocked.has(peer.id);

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || !event.shiftKey || event.key.toLowerCase() !== "f") return;
      event.preventDefault();
      onPanel("search");
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [onPanel]);

  const actions: MenuAction[] = [];
  if (canModerate)
    actions.push(
      { label: text.addPeople, icon: UserPlus, run: () => setAsking("add") },
      { label: text.rename, icon: Pencil, run: () => setAsking("rename") },
    );
  if (peer) {
    const run = () => (isBlocked ? void set(peer.id, false).catch(complain) : setAsking("block"));
    actions.push({ label: isBlocked ? text.unblock : text.block, icon: Ban, isDangerous: !isBlocked, run });
  }
  if (hasNotifications) actions.push({ label: text.roomNotifications, icon: Bell, run: () => setAsking("notifications") });
  if (!isDirect) actions.push({ label: text.leave, icon: LogOut, run: () => setAsking("leave") });
  if (!isDirect && info.role === "owner")
    actions.push({ label: text.deleteRoom, icon: Trash2, isDangerous: true, run: () => setAsking("delete") });

  /** Does something after which there is nothing to stay here for. */
  const end = (action: () => Promise<void>) => {
    const isHere = noteWhereabouts();
    action().then(() => isHere() && navigate("/"), complain);
  };
  const toggle = (wanted: Panel) => onPanel(panel === wanted ? undefined : wanted);

  return (
    <header className={styles.header}>
      <Link href="/" className={`${controls.icon} ${styles.back}`} aria-label={text.back} title={text.back}>
        <ArrowLeft size={20} aria-hidden />
      </Link>
      {isDirect ? (
        <PeerAvatar room={info} isOnline={peerOnline} />
      ) : info.kind === "private" ? (
        <Lock size={19} aria-hidden />
      ) : (
        <Hash size={20} aria-hidden />
      )}
      <div className={styles.title}>
        <h1>
          <Name>{roomName(info)}</Name>
        </h1>
        <p>{isDirect ? (peerOnline ? text.isOnline : text.isOffline) : `${text.members(info.memberCount)} · ${text.online(online)}`}</p>
      </div>
      <span className={styles.connection}>
        <ConnectionBadge />
      </span>
      <button
        type="button"
        className={controls.icon}
        aria-pressed={panel === "search"}
        onClick={() => toggle("search")}
        aria-label={text.searchRoom}
        title={text.searchRoom}
      >
        <Search size={19} aria-hidden />
      </button>
      <button
        type="button"
        className={controls.icon}
        aria-pressed={panel === "members"}
        onClick={() => toggle("members")}
        aria-label={text.showMembers}
        title={text.showMembers}
      >
        <Users size={19} aria-hidden />
      </button>
      {actions.length > 0 && (
        <Menu label={text.roomMenu} className={controls.icon} actions={actions}>
          <MoreVertical size={19} aria-hidden />
        </Menu>
      )}
      {asking === "rename" && <Rename info={info} onClose={close} />}
      <Suspense>{asking === "notifications" && <RoomNotifications room={info} onClose={close} />}</Suspense>
      <Suspense>{asking === "add" && <AddPeople room={info} onClose={close} />}</Suspense>
      {asking === "leave" && (
        <Ask
          title={text.leaveAsk(isolated(roomName(info)))}
          action={text.leave}
          onClose={close}
          onAgree={() => end(() => leave(info.id))}
        >
          {info.kind === "private" ? text.leavePrivate : text.leavePublic}
        </Ask>
      )}
      {asking === "delete" && (
        <Ask
          title={text.deleteRoomAsk(isolated(roomName(info)))}
          action={text.deleteRoom}
          onClose={close}
          onAgree={() => end(() => tertulia.api.delete("rooms/{roomId}", { path: { roomId: info.id } }).then(() => forget(info.id)))}
        />
      )}
      {asking === "block" && peer && (
        <Ask
          title={text.blockAsk(isolated(nameOf(peer)))}
          action={text.block}
          onClose={close}
          onAgree={() => void set(peer.id, true).catch(complain)}
        >
          {text.blockHint}
        </Ask>
      )}
    </header>
  );
}

function Rename({ info, onClose }: { info: RoomInfo; onClose: () => void }) {
  const text = useText();
  const note = useWhereabouts();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const isHere = note();
    const name = String(new FormData(event.currentTarget).get("name"));
    tertulia.api.patch("rooms/{roomId}", { path: { roomId: info.id }, body: { name } }).then(() => isHere() && onClose(), complain);
  };
  return (
    <Dialog title={text.rename} onClose={onClose}>
      <form className={controls.form} onSubmit={submit}>
        <Field name="name" label={text.roomName} defaultValue={info.name} required maxLength={128} autoComplete="off" />
        <div className={controls.actions}>
          <button className={`${controls.button} ${controls.primary}`}>{text.save}</button>
        </div>
      </form>
    </Dialog>
  );
}
