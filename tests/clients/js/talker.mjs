// Somebody who writes COUNT messages to ROOM and listens until all of EXPECTED have come, whatever happens to the
// server meanwhile. Prints what was acked and what was seen, in order, as JSON.

import { io } from "socket.io-client";

const { SERVER_URL, TOKEN, ROOM, NAME } = process.env;
const count = Number(process.env.COUNT);
const expected = Number(process.env.EXPECTED);
const acked = [];
const seen = [];
let joined = false;

const last = () => seen.at(-1)?.seq ?? 0;
const socket = io(SERVER_URL, {
  auth: (send) => send({ token: TOKEN, ...(joined && { resume: { [ROOM]: { seq: last() } } }) }),
  reconnectionDelay: 50,
  reconnectionDelayMax: 300,
});

const keep = ({ seq, body }) => {
  seen.push({ seq, body });
  if (seen.length >= expected && acked.length === count) finish();
};

socket.on("message:new", keep);
socket.on("connect", () => {
  if (joined) return;
  // By a callback, which runs before any later event: a promise would run behind it.
  socket.emit("room:join", { roomId: ROOM, since: 0 }, (answer) => {
    joined = true;
    answer.missed.forEach(keep);
  });
});

function finish() {
  console.log(JSON.stringify({ acked, seen }));
  process.exit();
}

for (let number = 0; number < count; number += 1) {
  const message = { roomId: ROOM, clientId: `${NAME}-${number}`, body: `${NAME} ${number}` };
  for (;;) {
    const answer = await socket.timeout(2_000).emitWithAck("message:send", message).catch(() => undefined);
    if (answer?.ok) {
      acked.push({ seq: answer.message.seq, body: message.body });
      break;
    }
    if (answer && !answer.error.retryable) throw new Error(JSON.stringify(answer));
  }
}
if (seen.length >= expected) finish();
