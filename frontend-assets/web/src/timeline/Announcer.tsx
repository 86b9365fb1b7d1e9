// Says new messages to screen readers. The list itself can't: its elements come and go with scrolling.

import { useEffect, useState } from "react";
import { isMe } from "../tertulia.ts";
import { nameOf } from "../text/names.ts";
import { summary } from "../attachments/summary.ts";
import { useRoom } from "./context.ts";

const SPOKEN = 300;

export function Announcer() {
  const { room, blocked } = useRoom();
  const [words, setWords] = useState("");
  useEffect(
    () =>
      room.on("message:new", (message) => {
        const { sender, body } = message;
        if (isMe(sender.id) || blocked.has(sender.id) || document.hidden) return;
        setWords(`${nameOf(sender)}: ${body.slice(0, SPOKEN) || summary(message, 0)}`);
      }),
    [room, blocked],
  );
  return (
    <div className="unseen" aria-live="polite">
      {words}
    </div>
  );
}
