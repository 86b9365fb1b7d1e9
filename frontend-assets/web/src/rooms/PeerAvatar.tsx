// The other one of a direct room, of whom the room says nothing but the name.

import { useQuery } from "@tanstack/react-query";
import type { RoomInfo } from "@tertulia/sdk";
import { isMe, tertulia } from "../tertulia.ts";
import { roomName } from "../text/names.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { notePictures } from "./pictures.ts";

interface Props {
  room: RoomInfo;
  size?: "small" | "medium";
  isOnline?: boolean;
}

export function PeerAvatar({ room, ...props }: Props) {
  const { data: peer } = useQuery({
    queryKey: ["peer", room.id],
    queryFn: async () => {
      const { members } = await tertulia.api.get("rooms/{roomId}/members", { path: { roomId: room.id }, query: { limit: 2 } });
      const peer = members.find(({ user }) => !isMe(user.id))?.user;
      if (peer) notePictures([peer]);
      return peer?.id ?? null;
    },
    staleTime: Infinity,
  });
  return <Avatar name={roomName(room)} userId={peer ?? undefined} {...props} />;
}
