// What can be done with somebody: write to them, block them.

import { Ban, MessageCircle } from "lucide-react";
import { useState } from "react";
import { useLocation } from "wouter";
import { tertulia, useMe } from "../tertulia.ts";
import { noteWhereabouts } from "../whereabouts.ts";
import { useText } from "../text/index.ts";
import { isolated, nameOf, type Named } from "../text/names.ts";
import { Ask } from "../ui/Dialog.tsx";
import { Menu, type MenuAction } from "../ui/Menu.tsx";
import { Name } from "../ui/Name.tsx";
import { complain } from "../ui/toasts.tsx";
import { add } from "./my-rooms.ts";
import { useBlocks } from "./people.ts";

export interface Person extends Named {
  readonly id: string;
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
  const write = () => {
    const isHere = noteWhereabouts();
    openDirect(user.id).then((path) => isHere() && navigate(path), complain);
  };
  if (!me.guest) actions.unshift({ label: text.message, icon: MessageCircle, run: write });
  return (
    <>
      <Menu label={nameOf(user)} className={className} actions={actions}>
        {children ?? <Name>{nameOf(user)}</Name>}
      </Menu>
      {isAsking && (
        <Ask
          title={text.blockAsk(isolated(nameOf(user)))}
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
