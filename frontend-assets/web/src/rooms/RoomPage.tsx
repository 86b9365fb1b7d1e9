// The page of one room: its messages for who is in it, else why not and what to do.

import { useQuery } from "@tanstack/react-query";
import type { Draft, Message, RoomInfo } from "@tertulia/sdk";
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { DropArea } from "../attachments/DropArea.tsx";
import { Composer } from "../composer/Composer.tsx";
import { ConnectionLine } from "../ConnectionState.tsx";
import { useStore } from "../store.ts";
import { isMe, tertulia, useMe } from "../tertulia.ts";
import { isRefused } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import { isolated, roomName } from "../text/names.ts";
import { RoomContextProvider, type RoomContext } from "../timeline/context.ts";
import { MessageList, type MessageListHandle } from "../timeline/MessageList.tsx";
import { SearchPanel } from "../timeline/SearchPanel.tsx";
import { timelineOf } from "../timeline/timelines.ts";
import controls from "../ui/controls.module.css";
import { complain } from "../ui/toasts.tsx";
import { Waiting } from "../ui/Waiting.tsx";
import { MembersPanel } from "./MembersPanel.tsx";
import { add, followShown, lostRooms, myRooms, type Entry } from "./my-rooms.ts";
import { useBlocks, useMembers, usePresence, useReadSeqs, useTyping } from "./people.ts";
import { RoomHeader, type Panel } from "./RoomHeader.tsx";
import styles from "./room-page.module.css";

const Lightbox = lazy(() => import("../attachments/Lightbox.tsx"));

export function RoomPage({ id }: { id: string }) {
  const entry = useStore(myRooms, ({ entries }) => entries.get(id));
  const isLoading = useStore(myRooms, ({ status }) => status !== "ready");
  const lost = useStore(lostRooms, (rooms) => rooms.get(id));
  if (entry) return <OpenRoom entry={entry} />;
  return isLoading ? <Waiting /> : <ClosedRoom id={id} lost={lost} />;
}

/** Readers are counted in rooms up to this size. */
const RECEIPTS_MAX = 100;

function OpenRoom({ entry }: { entry: Entry }) {
  const { info } = entry;
  const text = useText();
  const me = useMe();
  const room = tertulia.room(info.id);
  const timeline = useMemo(() => timelineOf(info.id), [info.id]);
  const list = useRef<MessageListHandle>(null);
  useEffect(() => followShown(info.id), [info.id]);
  const [{ unread, unreadAfter }] = useState({ unread: entry.unread, unreadAfter: entry.unread > 0 ? (info.readSeq ?? 0) : undefined });
  const [panel, setPanel] = useState<Panel>();
  const [replyTo, setReplyTo] = useState<Message>();
  const [editing, setEditing] = useState<Message>();
  const [returned, setReturned] = useState<Draft>();
  const [image, setImage] = useState<string>();
  const closeImage = useCallback(() => setImage(undefined), []);
  const members = useMembers(room);
  const presence = usePresence(room);
  const { blocked } = useBlocks();
  const isDirect = info.kind === "direct";
  const canModerate = !isDirect && (info.role === "owner" || info.role === "moderator");
  const typing = useTyping(room, members.members, isMe);
  const readSeqs = useReadSeqs(room, members.members);
  const peer = isDirect ? members.members.find(({ user }) => !isMe(user.id))?.user : undefined;

  const jumpTo = useCallback((seq: number) => list.current?.jumpTo(seq), []);
  // Where a notification leads.
  const [, navigate] = useLocation();
  const wanted = Number(new URLSearchParams(useSearch()).get("message") ?? NaN);
  useEffect(() => {
    if (!(wanted > 0)) return;
    jumpTo(wanted);
    // The same may be wanted once more.
    navigate(`/rooms/${info.id}`, { replace: true });
  }, [wanted, jumpTo, navigate, info.id]);
  const context = useMemo<RoomContext>(
    () => ({
      room,
      timeline,
      isDirect,
      canModerate,
      me,
      blocked,
      reply: (message) => {
        setEditing(undefined);
        setReplyTo(message);
      },
      edit: (message) => {
        setReplyTo(undefined);
        setEditing(message);
      },
      rewrite: (draft) => {
        setEditing(undefined);
        setReplyTo(draft.replyTo === undefined ? undefined : timeline.message(draft.replyTo));
        setReturned({ ...draft });
      },
      jumpTo,
      openImage: setImage,
    }),
    [room, timeline, isDirect, canModerate, me, blocked, jumpTo],
  );

  return (
    <RoomContextProvider value={context}>
      <DropArea className={panel ? `${styles.room} ${styles.besidePanel}` : styles.room} label={roomName(info)} roomId={info.id}>
        <RoomHeader info={info} peer={peer} peerOnline={entry.peerOnline} online={presence.count} panel={panel} onPanel={setPanel} />
        <ConnectionLine />
        <MessageList
          ref={list}
          name={roomName(info)}
          unread={unread}
          unreadAfter={unreadAfter}
          readSeqs={info.memberCount <= RECEIPTS_MAX ? readSeqs : undefined}
        />
        <p className={styles.typing} aria-live="polite">
          {typing.length > 0 && text.typing(typing.map((name) => isolated(name ?? text.somebody)))}
        </p>
        <Composer
          name={roomName(info)}
          members={members.members}
          replyTo={replyTo}
          editing={editing}
          returned={returned}
          onPlain={() => {
            setReplyTo(undefined);
            setEditing(undefined);
          }}
          onSent={() => list.current?.answered()}
        />
      </DropArea>
      <Suspense>{image !== undefined && <Lightbox id={image} onOpen={setImage} onClose={closeImage} />}</Suspense>
      {panel === "members" && <MembersPanel info={info} members={members} online={presence.online} onClose={() => setPanel(undefined)} />}
      {panel === "search" && <SearchPanel onClose={() => setPanel(undefined)} />}
    </RoomContextProvider>
  );
}

/** A room that one isn't in: never was, or no longer is. */
function ClosedRoom({ id, lost }: { id: string; lost: RoomInfo | undefined }) {
  const text = useText();
  const [isBusy, setBusy] = useState(false);
  const { data, error, isPending, refetch } = useQuery({
    queryKey: ["room", id, lost !== undefined],
    queryFn: () => tertulia.api.get("rooms/{roomId}", { path: { roomId: id } }),
    retry: (failures, error) => failures < 2 && !isRefused(error, "not_found"),
    staleTime: 0,
  });

  const join = async () => {
    setBusy(true);
    try {
      add(await tertulia.room(id).join());
    } catch (error) {
      complain(error);
      setBusy(false);
    }
  };

  if (isPending) return <Waiting />;
  if (isRefused(error, "not_found")) return <Closed words={lost ? text.roomGone(isolated(roomName(lost))) : text.roomNotFound} />;
  if (error) return <Waiting error={error} onRetry={() => void refetch()} />;
  return (
    <Closed words={(lost ? text.youLeft : text.joinFirst)(isolated(roomName(data.room)))}>
      <p className={controls.faint}>{text.members(data.room.memberCount)}</p>
      <button type="button" className={`${controls.button} ${controls.primary}`} disabled={isBusy} onClick={() => void join()}>
        {lost ? text.joinAgain : text.join}
      </button>
    </Closed>
  );
}

function Closed({ words, children }: { words: string; children?: ReactNode }) {
  const text = useText();
  return (
    <div className={styles.closed}>
      <h1>{words}</h1>
      {children}
      <Link className={controls.button} href="/">
        {text.toRooms}
      </Link>
    </div>
  );
}
