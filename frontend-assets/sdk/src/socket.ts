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
    const others: (typeof socket)[] = [];
    return {
      beside(namespace, auth) {
        const other = manager.socket(namespace, { auth: (answer) => auth(answer) });
        others.push(other);
        return {
          connect: () => other.connected || other.active || other.connect(),
          disconnect: () => other.disconnect(),
          emit: (event, payload, answer) => other.emit(event, payload, answer),
          on: (event, listener) => other.on(event, listener),
          onAny: (listener) => other.onAny(listener),
        };
      },
      connect({ transports, upgrade }) {
        // Read whenever a connection is begun.
        Object.assign(manager.opts, { transports: [...transports], upgrade });
        socket.connect();
      },
      disconnect() {
        // The transport closes with the last of them.
        for (const other of others) other.disconnect();
        socket.disconnect();
      },
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
