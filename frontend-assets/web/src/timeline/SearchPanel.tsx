// Messages of the room that hold certain words.

import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { SidePanel } from "../rooms/Panel.tsx";
import { full } from "../text/dates.ts";
import { useText } from "../text/index.ts";
import { nameOf } from "../text/names.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import { Name } from "../ui/Name.tsx";
import { useDebounced } from "../ui/useDebounced.ts";
import { Waiting } from "../ui/Waiting.tsx";
import { useRoom } from "./context.ts";
import { plain } from "./markup.ts";
import styles from "./search-panel.module.css";

const LIMIT = 50;

export function SearchPanel({ onClose }: { onClose: () => void }) {
  const text = useText();
  const { room, jumpTo } = useRoom();
  const [words, setWords] = useState("");
  const query = useDebounced(words.trim());
  const field = useRef<HTMLInputElement>(null);
  const { data, error, isFetching, refetch, hasNextPage, fetchNextPage } = useInfiniteQuery({
    queryKey: ["search", room.id, query],
    initialPageParam: undefined as number | undefined,
    queryFn: ({ pageParam: before }) => room.search(query, { limit: LIMIT, ...(before !== undefined && { before }) }),
    getNextPageParam: (page) => (page.hasMore ? page.messages.at(-1)?.seq : undefined),
    enabled: query !== "",
    staleTime: 5_000,
  });
  const messages = data?.pages.flatMap((page) => page.messages) ?? [];
  useEffect(() => field.current?.focus(), []);

  const open = (seq: number) => {
    // Where there is no room for both, the panel makes way first.
    if (matchMedia("(max-width: 64rem)").matches) onClose();
    requestAnimationFrame(() => jumpTo(seq));
  };

  return (
    <SidePanel title={text.searchRoom} onClose={onClose}>
      <input
        ref={field}
        type="search"
        className={controls.input}
        value={words}
        onChange={({ target }) => setWords(target.value)}
        maxLength={256}
        placeholder={text.searchHint}
        aria-label={text.searchHint}
      />
      <p className={styles.count} role="status">
        {query !== "" && data && text.found(messages.length)}
      </p>
      {query !== "" && !data && (isFetching || error) && <Waiting error={!isFetching && error} onRetry={() => void refetch()} />}
      <ul className={styles.found}>
        {query !== "" &&
          messages.map((message) => (
            <li key={message.id}>
              <button type="button" onClick={() => open(message.seq)}>
                <Avatar name={nameOf(message.sender)} userId={message.sender.id || undefined} size="small" />
                <span className={controls.grow}>
                  <b>
                    <Name>{nameOf(message.sender)}</Name>
                  </b> <span className={controls.faint}>{full(message.at)}</span>
                  <span className={styles.body} dir="auto">{plain(message.body.slice(0, 300))}</span>
                </span>
              </button>
            </li>
          ))}
      </ul>
      {query !== "" && hasNextPage && (
        <button type="button" className={controls.button} disabled={isFetching} onClick={() => void fetchNextPage()}>
          {text.more}
        </button>
      )}
    </SidePanel>
  );
}
