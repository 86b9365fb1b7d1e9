// A small town with something to say, for the tests that look at screens, and for the screenshots.

import { api, makeRoom, PASSWORD, register } from "./people.mjs";

const PEOPLE = [
  ["ana", "Ana Lafuente"],
  ["bruno", "Bruno Díaz"],
  ["chiara", "Chiara Moretti"],
  ["dmitri", "Dmitri Orlov"],
  ["edith", "Edith Nyberg"],
];

const KITCHEN = [
  ["bruno", "Morning! The new oven arrives **today**, somebody has to be here at 11."],
  ["chiara", "I can be there. Do we still have the papers of the old one?"],
  ["ana", "In the blue folder, I think. @chiara look under _warranty_."],
  ["chiara", "Found them, thanks ☕"],
  [
    "dmitri",
    "For the order I wrote a little script, so nobody has to count trays again:\n```python\ndef trays(guests: int, per_tray: int = 12) -> int:\n    return -(-guests // per_tray)\n```\nRun it with `python trays.py 130`.",
  ],
  ["edith", "Nice. 130 guests, so 11 trays? The list is at https://example.org/lists/saturday."],
  ["ana", "Eleven it is.", 5],
  ["bruno", "@ana could you call the market before noon?"],
  ["ana", "Done. They bring everything on Friday at 8."],
  ["edith", "🎉"],
  ["bruno", "You are wonderful. See you all at the tertulia tonight."],
];

export async function connections(server) {
  const people = {};
  for (const [username, displayName] of PEOPLE) people[username] = await register(server, username, displayName);
  const { ana, bruno, chiara, dmitri, edith } = people;
  const kitchen = await makeRoom(server, ana, "kitchen");
  const others = [];
  for (const name of ["book club", "garden", "trips"]) others.push(await makeRoom(server, chiara, name));
  await makeRoom(server, edith, "chess on Sundays");
  await makeRoom(server, dmitri, "bicycles");
  const office = await makeRoom(server, ana, "accounts", "private");
  for (const { user } of [bruno, chiara, dmitri, edith])
    await api(server, ana.accessToken, "PUT", `rooms/${kitchen.id}/members/${user.id}`, {});
  for (const room of others) await api(server, chiara.accessToken, "PUT", `rooms/${room.id}/members/${ana.user.id}`, {});
  await api(server, ana.accessToken, "PUT", `rooms/${office.id}/members/${edith.user.id}`, {});

  const seqs = [];
  for (const [who, body, replyTo] of KITCHEN) {
    const { message } = await api(server, people[who].accessToken, "POST", `rooms/${kitchen.id}/messages`, {
      body,
      ...(replyTo && { replyTo: seqs[replyTo] }),
    });
    seqs.push(message.seq);
  }
  for (const body of ["New on the shelf: three by Rosa Montero", "@ana you wanted to begin with the first"])
    await api(server, chiara.accessToken, "POST", `rooms/${others[0].id}/messages`, { body });
  await api(server, chiara.accessToken, "POST", `rooms/${others[2].id}/messages`, { body: "The train at 9:20 has seats" });
  const { room: direct } = await api(server, bruno.accessToken, "POST", "rooms", { kind: "direct", members: [ana.user.id] });
  await api(server, bruno.accessToken, "POST", `rooms/${direct.id}/messages`, { body: "Can you bring the keys?" });
  await api(server, edith.accessToken, "POST", "rooms", { kind: "direct", members: [ana.user.id] });
  return { people, kitchen, seqs, username: "ana", password: PASSWORD, last: KITCHEN.at(-1)[1] };
}
