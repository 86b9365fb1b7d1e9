import { Tertulia } from "@tertulia/sdk";

const [name = "Somebody", url = "http://localhost:4000"] = process.argv.slice(2);
const client = new Tertulia({ url });
await client.register({ username: `u${Date.now()}`, password: crypto.randomUUID(), displayName: name });
const { rooms } = await client.api.get("rooms", { query: { query: "lobby" } });
const room = client.room((rooms[0] ?? (await client.createRoom({ name: "lobby", kind: "public" }))).id);
room.on("message:new", ({ sender, body }) => console.log(`${sender.displayName}: ${body}`));
await room.join();
for await (const line of process.stdin.setEncoding("utf8")) room.send({ body: line.trim() });
