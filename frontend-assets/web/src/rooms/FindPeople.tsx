// People by name: to write to one of them, or to add some to a room.

import type { RoomInfo, User } from "@tertulia/sdk";
import { useEffect, useState } from "react";
import { useLocation } from "wouter";
import { isMe, tertulia } from "../tertulia.ts";
import { isRefused } from "../text/errors.ts";
import { useText } from "../text/index.ts";
import { isolated, nameOf } from "../text/names.ts";
import { useWhereabouts } from "../whereabouts.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import { Name } from "../ui/Name.tsx";
import { SearchField } from "../ui/SearchField.tsx";
import { complain, say } from "../ui/toasts.tsx";
import { useDebounced } from "../ui/useDebounced.ts";
import { Waiting } from "../ui/Waiting.tsx";
import { useMembers, useMembersNamed, usePeople } from "./people.ts";
import { openDirect } from "./PersonMenu.tsx";

/** To write to somebody. */
export default function FindPeople({ onClose }: { onClose: () => void }) {
  const text = useText();
  const [, navigate] = useLocation();
  const note = useWhereabouts();
  const write = async ({ id }: User) => {
    const isHere = note();
    const path = await openDirect(id);
    if (!isHere()) return;
    navigate(path);
    onClose();
  };
  return <People title={text.writeTo} action={text.message} onPick={write} onClose={onClose} />;
}

/** To add people to a room. */
export function AddPeople({ room, onClose }: { room: RoomInfo; onClose: () => void }) {
  const text = useText();
  const { members } = useMembers(tertulia.room(room.id));
  const [query, setQuery] = useState("");
  const named = useMembersNamed(tertulia.room(room.id), query).data?.members ?? [];
  const invite = async (user: User) => {
    await tertulia.api.put("rooms/{roomId}/members/{userId}", { path: { roomId: room.id, userId: user.id }, body: {} });
    say(text.added(isolated(nameOf(user))));
  };
  return (
    <People
      title={text.addPeople}
      action={text.addPeople}
      onPick={invite}
      isDone={({ id }) => [...members, ...named].some(({ user }) => user.id === id)}
      onQuery={setQuery}
      onClose={onClose}
    />
  );
}

interface Props {
  title: string;
  action: string;
  onPick: (user: User) => Promise<void>;
  /** Whether there is nothing more to do for somebody. */
  isDone?: (user: User) => boolean;
  /** What is looked for is another. */
  onQuery?: (query: string) => void;
  onClose: () => void;
}

function People({ title, action, onPick, isDone, onQuery, onClose }: Props) {
  const text = useText();
  const [words, setWords] = useState("");
  const query = useDebounced(words.trim());
  useEffect(() => onQuery?.(query), [onQuery, query]);
  const { data, error, isFetching, refetch } = usePeople(query);
  const people = query ? (data?.users.filter(({ id }) => !isMe(id)) ?? []) : [];
  const pick = (user: User) =>
    onPick(user).catch((error: unknown) => (isRefused(error, "forbidden") ? say(text.errors.blocked, true) : complain(error)));
  return (
    <Dialog title={title} onClose={onClose}>
      <SearchField words={words} onWords={setWords} label={text.findPeople} placeholder={text.findPeopleHint} autoFocus />
      {query !== "" && !data && (isFetching || error) && <Waiting error={!isFetching && error} onRetry={() => void refetch()} />}
      {query !== "" && data && people.length === 0 && <p className={controls.empty}>{text.noMatch}</p>}
      <ul>
        {people.map((user) => (
          <li key={user.id} className={controls.row}>
            <Avatar name={nameOf(user)} userId={user.id} />
            <div className={controls.grow}>
              <p className={controls.name}>
                <Name>{nameOf(user)}</Name> {user.guest && <span className={controls.badge}>{text.guestBadge}</span>}
              </p>
              <p className={controls.faint}>@{user.username}</p>
            </div>
            {isDone?.(user) ? (
              <span className={controls.faint}>{text.alreadyIn}</span>
            ) : (
              <button
                type="button"
                className={`${controls.button} ${controls.small}`}
                onClick={() => void pick(user)}
                aria-label={`${action}: ${nameOf(user)}`}
              >
                {action}
              </button>
            )}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
