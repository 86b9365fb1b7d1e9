// The official client, told to leave it to this package when to connect.

import { io } from "socket.io-client";

import type { SocketFactory } from "./connection.js";

export function officialClient(origin: string): SocketFactory {
  return (auth) =>
    io(origin, {
      auth: (answer) => auth(answer),
      autoConnect: false,
      reconnection: false,
      forceNew: true,
      // The quick one first; where something in between doesn't let it through, polling.
      transports: ["websocket", "polling"],
      tryAllTransports: true,
    });
}
