// Changes to one thing that the server keeps, such as preferences.

import { useMutation, useMutationState, useQueryClient } from "@tanstack/react-query";
import { complain } from "./toasts.tsx";

interface Options<Kept, Change> {
  /** Of the query that reads it. */
  readonly key: readonly string[];
  /** Changes it on the server; the answer is what it is now. */
  readonly send: (change: Change) => Promise<Kept>;
}

/** Changes it: one after another, so that what was chosen last is what stays. `pending` are those without an answer yet, in order. */
export function useChanges<Kept, Change>({ key, send }: Options<Kept, Change>): {
  readonly change: (change: Change) => void;
  readonly pending: readonly Change[];
} {
  const queries = useQueryClient();
  const { mutate } = useMutation<Kept, Error, Change>({
    mutationKey: key,
    scope: { id: key.join("/") },
    mutationFn: send,
    // What is being read may be older.
    onMutate: () => queries.cancelQueries({ queryKey: key }),
    onSuccess: (now) => void queries.setQueryData(key, now),
    onError: (error) => {
      complain(error);
      void queries.invalidateQueries({ queryKey: key });
    },
  });
  const pending = useMutationState({
    filters: { mutationKey: [...key], status: "pending" },
    select: ({ state }) => state.variables as Change,
  });
  return { change: mutate, pending };
}
