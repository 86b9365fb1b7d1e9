// The official client, told to leave it to this package when to connect, and how.

import { io } from "socket.io-client";

import type { SocketFactory } from "./connection.js";

export function officialClient(origin: string): SocketFactory {
  return (auth) => {
    const socket = io(origin, {
      auth: (answer) => auth(answer),
      autoConnect: false,
      reconnection: false,
      forceNew: true,
      tryAllTransports: true,
    });
    const manager = socket.io;
    let isSilent = false;
    manager.on("open", () => {
      const { engine } = manager;
      isSilent = false;
      engine.on("upgrade", () => (isSilent = true));
      engine.on("packet", () => {
        if (engine.transport.name === "websocket") isSilent = false;
      });
    });
    return {
      connect({ transports, upgrade }) {
        // Read whenever a connection is begun.
        Object.assign(manager.opts, { transports: [...transports], upgrade });
        socket.connect();
      },
      disconnect: () => socket.disconnect(),
      emit: (event, payload, answer) => socket.emit(event, payload, answer),
      on: (event, listener) => socket.on(event, listener),
      onAny: (listener) => socket.onAny(listener),
      get transport() {
        return manager.engine?.transport?.name;
      },
      get isSilent() {
        return isSilent;
      },
    };
  };
}
