// What one is told of in one room.

import { useQuery } from "@tanstack/react-query";
import type { Notify, RoomInfo } from "@tertulia/sdk";
import { tertulia } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog.tsx";
import { useChanges } from "../ui/useChanges.ts";
import { Waiting } from "../ui/Waiting.tsx";

const CHOICES: readonly Notify[] = ["all", "mentions", "nothing"];

export default function RoomNotifications({ room, onClose }: { room: RoomInfo; onClose: () => void }) {
  const text = useText();
  const key = ["notify", room.id];
  const { data, error, isPending, refetch } = useQuery({ queryKey: key, queryFn: () => tertulia.notifications.inRoom(room.id), staleTime: 0 });
  const { change: choose, pending } = useChanges({
    key,
    send: async (notify: Notify) => {
      await tertulia.notifications.preferInRoom(room.id, notify);
      return notify;
    },
  });
  const chosen = pending.at(-1) ?? data;
  return (
    <Dialog title={text.roomNotifications} onClose={onClose}>
      {isPending || error ? (
        <Waiting error={error} onRetry={() => void refetch()} />
      ) : (
        <fieldset className={controls.stack}>
          <legend className="unseen">{text.roomNotifications}</legend>
          {CHOICES.map((choice) => (
            <label key={choice} className={controls.choice}>
              <input type="radio" name="notify" checked={chosen === choice} onChange={() => choose(choice)} />
              {text.notify[choice]}
            </label>
          ))}
        </fieldset>
      )}
    </Dialog>
  );
}
