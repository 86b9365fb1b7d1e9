// Public rooms, by name.

import { useInfiniteQuery } from "@tanstack/react-query";
import type { RoomInfo } from "@tertulia/sdk";
import { Hash } from "lucide-react";
import { useState } from "react";
import { useLocation } from "wouter";
import { useStore } from "../store.ts";
import { tertulia } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import { roomName } from "../text/names.ts";
import { useWhereabouts } from "../whereabouts.ts";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import { Name } from "../ui/Name.tsx";
import { SearchField } from "../ui/SearchField.tsx";
import { complain } from "../ui/toasts.tsx";
import { useDebounced } from "../ui/useDebounced.ts";
import { Waiting } from "../ui/Waiting.tsx";
import { add, myRooms } from "./my-rooms.ts";

export default function BrowseRooms({ onClose }: { onClose: () => void }) {
  const text = useText();
  const [words, setWords] = useState("");
  const query = useDebounced(words.trim());
  const { data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useInfiniteQuery({
    queryKey: ["rooms", query],
    initialPageParam: "",
    queryFn: ({ pageParam: after }) => tertulia.api.get("rooms", { query: { ...(query && { query }), ...(after && { after }) } }),
    getNextPageParam: (page) => (page.hasMore ? page.rooms.at(-1)?.id : undefined),
    staleTime: 0,
  });
  const rooms = data?.pages.flatMap((page) => page.rooms) ?? [];
  return (
    <Dialog title={text.browse} onClose={onClose} isWide>
      <SearchField words={words} onWords={setWords} label={text.findRoom} autoFocus />
      {(isPending || error) && <Waiting error={error} onRetry={() => void refetch()} />}
      {data && rooms.length === 0 && <p className={controls.empty}>{text.noMatch}</p>}
      <ul>
        {rooms.map((room) => (
          <PublicRoom key={room.id} room={room} onClose={onClose} />
        ))}
      </ul>
      {hasNextPage && (
        <button type="button" className={controls.button} disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {text.more}
        </button>
      )}
    </Dialog>
  );
}

function PublicRoom({ room, onClose }: { room: RoomInfo; onClose: () => void }) {
  const text = useText();
  const [, navigate] = useLocation();
  const [isBusy, setBusy] = useState(false);
  const isIn = useStore(myRooms, ({ entries }) => entries.has(room.id));
  const note = useWhereabouts();
  const enter = async () => {
    const isHere = note();
    setBusy(true);
    try {
      if (!isIn) add(await tertulia.room(room.id).join());
      if (!isHere()) return;
      navigate(`/rooms/${room.id}`);
      onClose();
    } catch (error) {
      complain(error);
      setBusy(false);
    }
  };
  return (
    <li className={controls.row}>
      <Hash size={18} aria-hidden />
      <div className={controls.grow}>
        <p className={controls.name}>
          <Name>{roomName(room)}</Name>
        </p>
        <p className={controls.faint}>{text.members(room.memberCount)}</p>
      </div>
      <button
        type="button"
        className={`${controls.button} ${controls.small}`}
        disabled={isBusy}
        onClick={() => void enter()}
        aria-label={`${isIn ? text.open : text.join}: ${roomName(room)}`}
      >
        {isIn ? text.open : text.join}
      </button>
    </li>
  );
}
