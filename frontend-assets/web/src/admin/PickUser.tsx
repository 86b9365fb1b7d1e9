// One user, found by name; the address of the page keeps who it is.

import { useQuery } from "@tanstack/react-query";
import type { User } from "@tertulia/sdk";
import { useState } from "react";
import { useLocation, useSearch } from "wouter";
import { usePeople } from "../rooms/people.ts";
import { tertulia } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import { nameOf } from "../text/names.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import { Name } from "../ui/Name.tsx";
import { SearchField } from "../ui/SearchField.tsx";
import { useDebounced } from "../ui/useDebounced.ts";
import { Waiting } from "../ui/Waiting.tsx";
import { useAdminText } from "./text/index.ts";
import styles from "./admin.module.css";

/** The user whom the page's address names. */
export function useUserOfAddress(): { readonly userId: string | undefined; readonly pick: (userId: string | undefined) => void } {
  const search = useSearch();
  const [location, navigate] = useLocation();
  const userId = new URLSearchParams(search).get("user") ?? undefined;
  return { userId, pick: (id) => navigate(id === undefined ? location : `${location}?user=${encodeURIComponent(id)}`) };
}

export function useUser(userId: string | undefined) {
  return useQuery({
    queryKey: ["user", userId],
    queryFn: () => tertulia.api.get("users/{userId}", { path: { userId: userId ?? "" } }),
    enabled: userId !== undefined,
  });
}

export function PickUser({ userId, onPick }: { userId: string | undefined; onPick: (userId: string | undefined) => void }) {
  const text = useAdminText();
  const { data } = useUser(userId);
  if (userId !== undefined)
    return (
      <div className={styles.picked}>
        {data ? <Person user={data.user} /> : <code className={styles.code}>{userId}</code>}
        <button type="button" className={`${controls.button} ${controls.small}`} onClick={() => onPick(undefined)}>
          {text.anotherUser}
        </button>
      </div>
    );
  return <Find onPick={onPick} />;
}

function Find({ onPick }: { onPick: (userId: string) => void }) {
  const text = useAdminText();
  const { noMatch } = useText();
  const [words, setWords] = useState("");
  const query = useDebounced(words.trim());
  const { data, error, isFetching, refetch } = usePeople(query);
  return (
    <div className={styles.find}>
      <SearchField words={words} onWords={setWords} label={text.pickUser} />
      {query !== "" && !data && (isFetching || error) && <Waiting error={!isFetching && error} onRetry={() => void refetch()} />}
      {query !== "" && data?.users.length === 0 && <p className={controls.empty}>{noMatch}</p>}
      <ul className={styles.found}>
        {query !== "" &&
          data?.users.map((user) => (
            <li key={user.id}>
              <button type="button" onClick={() => onPick(user.id)}>
                <Person user={user} />
              </button>
            </li>
          ))}
      </ul>
    </div>
  );
}

export function Person({ user }: { user: User }) {
  const { guestBadge } = useText();
  return (
    <span className={styles.person}>
      <Avatar name={nameOf(user)} userId={user.id} size="small" />
      <span className={styles.personName}>
        <Name>{nameOf(user)}</Name>
      </span>
      <span className={controls.faint}>{user.guest ? guestBadge : `@${user.username}`}</span>
    </span>
  );
}
