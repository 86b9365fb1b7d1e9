// What one is told of in one room.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { Notify, RoomInfo } from "@tertulia/sdk";
import { useState } from "react";
import { tertulia } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import { complain } from "../ui/toasts.tsx";
import { Waiting } from "../ui/Waiting.tsx";

const CHOICES: readonly Notify[] = ["all", "mentions", "nothing"];

export default function RoomNotifications({ room, onClose }: { room: RoomInfo; onClose: () => void }) {
  const text = useText();
  const queries = useQueryClient();
  const key = ["notify", room.id];
  const { data, error, isPending, refetch } = useQuery({ queryKey: key, queryFn: () => tertulia.notifications.inRoom(room.id), staleTime: 0 });
  const [chosen, setChosen] = useState<Notify>();
  const set = useMutation({
    mutationFn: (notify: Notify) => tertulia.notifications.preferInRoom(room.id, notify),
    onError: (error) => {
      complain(error);
      setChosen(undefined);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
  const choose = (notify: Notify) => {
    setChosen(notify);
    set.mutate(notify);
  };
  return (
    <Dialog title={text.roomNotifications} onClose={onClose}>
      {isPending || error ? (
        <Waiting error={error} onRetry={() => void refetch()} />
      ) : (
        <fieldset className={controls.stack}>
          <legend className="unseen">{text.roomNotifications}</legend>
          {CHOICES.map((choice) => (
            <label key={choice} className={controls.choice}>
              <input type="radio" name="notify" checked={(chosen ?? data) === choice} onChange={() => choose(choice)} />
              {text.notify[choice]}
            </label>
          ))}
        </fieldset>
      )}
    </Dialog>
  );
}
