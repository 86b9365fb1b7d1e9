// Changes to one thing that the server keeps, such as preferences.

import { useMutation, useMutationState, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
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
  const { mutateAsync } = useMutation<Kept, Error, Change>({
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
  // Those that were begun before this was shown; what is chosen here is shown in the same moment, which they are told of later.
  const begun = useMutationState({
    filters: { mutationKey: [...key], status: "pending" },
    select: ({ state }) => state.variables as Change,
  });
  const [chosen, setChosen] = useState<readonly { readonly change: Change }[]>([]);
  const change = (change: Change) => {
    const entry = { change };
    setChosen((now) => [...now, entry]);
    const end = () => setChosen((now) => now.filter((other) => other !== entry));
    mutateAsync(change).then(end, end);
  };
  return { change, pending: [...begun, ...chosen.map(({ change }) => change)] };
}
