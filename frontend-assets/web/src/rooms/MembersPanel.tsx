// Who is in a room, who of them is there, and what moderators can do.

import type { RoomInfo, RoomMember, RoomRole } from "@tertulia/sdk";
import { MoreHorizontal, ShieldMinus, ShieldPlus, UserMinus } from "lucide-react";
import { tertulia, isMe } from "../tertulia.ts";
import { useText } from "../text/index.ts";
import { nameOf } from "../text/names.ts";
import { Avatar } from "../ui/Avatar.tsx";
import controls from "../ui/controls.module.css";
import type { MenuAction } from "../ui/Menu.tsx";
import { Name } from "../ui/Name.tsx";
import { complain } from "../ui/toasts.tsx";
import { Waiting } from "../ui/Waiting.tsx";
import { SidePanel } from "./Panel.tsx";
import type { useMembers } from "./people.ts";
import { PersonMenu } from "./PersonMenu.tsx";

interface Props {
  info: RoomInfo;
  members: ReturnType<typeof useMembers>;
  online: ReadonlySet<string>;
  onClose: () => void;
}

export function MembersPanel({
  info,
  members: { members, error, isPending, hasNextPage, fetchNextPage, isFetchingNextPage, refetch },
  online,
  onClose,
}: Props) {
  const text = useText();
  const sorted = members.toSorted(
    (one, other) =>
      Number(online.has(other.user.id)) - Number(online.has(one.user.id)) || one.user.displayName.localeCompare(other.user.displayName),
  );
  return (
    <SidePanel title={`${text.showMembers} · ${info.memberCount}`} onClose={onClose}>
      {(isPending || error) && <Waiting error={error} onRetry={() => void refetch()} />}
      <ul>
        {sorted.map((member) => (
          <Member key={member.user.id} member={member} info={info} isOnline={online.has(member.user.id)} />
        ))}
      </ul>
      {hasNextPage && (
        <button type="button" className={controls.button} disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {text.more}
        </button>
      )}
    </SidePanel>
  );
}

const RANK: Record<RoomRole, number> = { member: 0, moderator: 1, owner: 2 };

function Member({ member: { user, role }, info, isOnline }: { member: RoomMember; info: RoomInfo; isOnline: boolean }) {
  const text = useText();
  const path = { roomId: info.id, userId: user.id };
  const mine = RANK[info.role ?? "member"];
  const more: MenuAction[] = [];
  if (info.kind !== "direct") {
    const setRole = (role: RoomRole) => void tertulia.api.put("rooms/{roomId}/members/{userId}", { path, body: { role } }).catch(complain);
    if (info.role === "owner" && role === "member")
      more.push({ label: text.makeModerator, icon: ShieldPlus, run: () => setRole("moderator") });
    if (info.role === "owner" && role === "moderator")
      more.push({ label: text.makeMember, icon: ShieldMinus, run: () => setRole("member") });
    const canRemove = mine >= RANK.moderator && (mine === RANK.owner || RANK[role] < mine);
    if (canRemove)
      more.push({
        label: text.remove,
        icon: UserMinus,
        isDangerous: true,
        run: () => void tertulia.api.delete("rooms/{roomId}/members/{userId}", { path }).catch(complain),
      });
  }
  return (
    <li className={controls.row}>
      <Avatar name={nameOf(user)} userId={user.id} isOnline={isOnline} />
      <div className={controls.grow}>
        <p className={controls.name}>
          <Name>{nameOf(user)}</Name>
          {isMe(user.id) && <span className={controls.badge}>{text.you}</span>}
          {user.guest && <span className={controls.badge}>{text.guestBadge}</span>}
        </p>
        <p className={controls.faint}>
          {role === "member" ? `@${user.username}` : text[role]}
          <span className="unseen">, {isOnline ? text.isOnline : text.isOffline}</span>
        </p>
      </div>
      {!isMe(user.id) && (
        <PersonMenu user={user} className={controls.icon} more={more}>
          <MoreHorizontal size={18} aria-hidden />
        </PersonMenu>
      )}
    </li>
  );
}
