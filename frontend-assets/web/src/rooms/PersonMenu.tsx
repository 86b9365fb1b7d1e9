// What can be done with somebody: write to them, block them.

import { Ban, MessageCircle } from "lucide-react";
import { useState } from "react";
import { useLocation } from "wouter";
import { tertulia, useMe } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import { Ask } from "../ui/Dialog.tsx";
import { Menu, type MenuAction } from "../ui/Menu.tsx";
import { complain } from "../ui/toasts.tsx";
import { add } from "./my-rooms.ts";
import { useBlocks } from "./people.ts";

export interface Person {
  readonly id: string;
  readonly displayName: string;
}

interface Props {
  user: Person;
  className: string | undefined;
  /** The name unless given. */
  children?: React.ReactNode;
  more?: readonly MenuAction[];
}

/** Opens the direct room with somebody, and makes it if there is none. */
export async function openDirect(userId: string): Promise<string> {
  const room = await tertulia.createRoom({ kind: "direct", members: [userId] });
  add(room);
  return `/rooms/${room.id}`;
}

export function PersonMenu({ user, className, children, more = [] }: Props) {
  const text = useText();
  const me = useMe();
  const [, navigate] = useLocation();
  const { blocked, set } = useBlocks();
  const [isAsking, setAsking] = useState(false);
  const isBlocked = blocked.has(user.id);
  const actions: MenuAction[] = [
    {
      label: isBlocked ? text.unblock : text.block,
      icon: Ban,
      isDangerous: !isBlocked,
      run: () => (isBlocked ? void set(user.id, false).catch(complain) : setAsking(true)),
    },
    ...more,
  ];
  if (!me.guest)
    actions.unshift({ label: text.message, icon: MessageCircle, run: () => void openDirect(user.id).then(navigate, complain) });
  return (
    <>
      <Menu label={user.displayName} className={className} actions={actions}>
        {children ?? user.displayName}
      </Menu>
      {isAsking && (
        <Ask
          title={text.blockAsk(user.displayName)}
          action={text.block}
          onClose={() => setAsking(false)}
          onAgree={() => void set(user.id, true).catch(complain)}
        >
          {text.blockHint}
        </Ask>
      )}
    </>
  );
}
