// Where the rows of a table come from: all at once, or as the pages that are looked at.

import { useQueries, useQueryClient } from "@tanstack/react-query";
import type { NumberedPage } from "@tertulia/sdk/admin";
import { useCallback, useState } from "react";
import { useDebounced } from "../../ui/useDebounced.ts";

export interface Rows<Row> {
  readonly total: number;
  /** Nothing is known yet. */
  readonly isPending: boolean;
  readonly error: unknown;
  /** `undefined` while it is on its way. */
  at(index: number): Row | undefined;
  /** Hears which of them are shown. */
  show(first: number, last: number): void;
  refresh(): void;
}

interface Answer<Row> {
  readonly data: readonly Row[] | undefined;
  readonly error: unknown;
  readonly isPending: boolean;
  readonly refetch: () => unknown;
}

/** Rows that were read at once. */
export function allRows<Row>({ data, error, isPending, refetch }: Answer<Row>): Rows<Row> {
  return {
    total: data?.length ?? 0,
    isPending,
    error: data ? undefined : error,
    at: (index) => data?.[index],
    show: () => undefined,
    refresh: () => void refetch(),
  };
}

export const PAGE_ROWS = 100;
/** Pages that are scrolled past in less aren't asked for. */
const SETTLED_MS = 120;
/** How long pages that are out of sight are kept. */
const KEPT_MS = 60_000;

export interface PageRequest {
  readonly page: number;
  readonly limit: number;
}

/** The rows of a numbered list, read where they are looked at. `read` belongs to `key`. */
export function useNumberedRows<Row>(
  key: readonly unknown[],
  read: (page: PageRequest, signal: AbortSignal) => Promise<NumberedPage<Row>>,
): Rows<Row> {
  const queries = useQueryClient();
  const [pages, setPages] = useState<readonly number[]>([1]);
  const settled = useDebounced(pages, SETTLED_MS);
  const answers = useQueries({
    queries: settled.map((page) => ({
      queryKey: [...key, page],
      queryFn: ({ signal }: { signal: AbortSignal }) => read({ page, limit: PAGE_ROWS }, signal),
      gcTime: KEPT_MS,
    })),
  });
  const show = useCallback((first: number, last: number) => {
    const from = pageOf(first);
    const to = Math.max(from, pageOf(last - 1));
    setPages((now) => (now[0] === from && now.at(-1) === to ? now : Array.from({ length: to - from + 1 }, (_, n) => from + n)));
  }, []);
  const latest = answers.find(({ data }) => data)?.data;
  const known = latest ?? queries.getQueriesData<NumberedPage<Row>>({ queryKey: key }).find(([, data]) => data)?.[1];
  return {
    total: known?.pagination.total ?? 0,
    isPending: !known && !answers.some(({ error }) => error),
    error: known ? undefined : answers.find(({ error }) => error)?.error,
    at: (index) => queries.getQueryData<NumberedPage<Row>>([...key, pageOf(index)])?.data[index % PAGE_ROWS],
    show,
    refresh: () => void queries.invalidateQueries({ queryKey: key }),
  };
}

const pageOf = (index: number): number => Math.floor(Math.max(0, index) / PAGE_ROWS) + 1;
