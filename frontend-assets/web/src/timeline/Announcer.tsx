// Says new messages to screen readers. The list itself can't: its elements come and go with scrolling.

import { useEffect, useState } from "react";
import { isMe } from "../tertulia.ts";
import { nameOf } from "../text/names.ts";
import { useRoom } from "./context.ts";

const SPOKEN = 300;

export function Announcer() {
  const { room, blocked } = useRoom();
  const [words, setWords] = useState("");
  useEffect(
    () =>
      room.on("message:new", ({ sender, body }) => {
        if (!isMe(sender.id) && !blocked.has(sender.id) && !document.hidden) setWords(`${nameOf(sender)}: ${body.slice(0, SPOKEN)}`);
      }),
    [room, blocked],
  );
  return (
    <div className="unseen" aria-live="polite">
      {words}
    </div>
  );
}
