// Socket.IO on Node with its default WebSocket engine (ws), set up as its documentation advises for many connections.
// With REDIS_URL it is one of several over a Redis Cluster; ADAPTER says how: `plain`, the default of the adapter's
// documentation, or `sharded`, which it advises for a Cluster.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");

async function connectAdapter(io) {
  const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
  const { createCluster } = require("redis");
  const nodes = process.env.REDIS_URL.replace("redis://", "").split(",");
  const publisher = createCluster({ rootNodes: nodes.map((node) => ({ url: `redis://${node}` })) });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const name = process.env.REDIS_PREFIX;
  io.adapter(
    process.env.ADAPTER === "sharded"
      ? createShardedAdapter(publisher, subscriber, { channelPrefix: name, subscriptionMode: "dynamic" })
      : createAdapter(publisher, subscriber, { key: name }),
  );
}

async function main() {
  const http = createServer();
  const io = new Server(http, { transports: ["websocket"] });
  if (process.env.REDIS_URL) await connectAdapter(io);

  // Advised for memory: the first request isn't needed once the connection stands.
  io.engine.on("connection", (connection) => {
    connection.request = null;
  });

  io.on("connection", (socket) => {
    socket.on("join", async (room, ack) => {
      await socket.join(room);
      ack();
    });
    socket.on("publish", (room, payload) => {
      io.to(room).emit("event", payload);
    });
  });

  http.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 });
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
