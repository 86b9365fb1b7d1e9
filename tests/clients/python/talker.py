"""Somebody who writes COUNT messages to ROOM and listens until all of EXPECTED have come, whatever happens to the
server meanwhile. Prints what was acked and what was seen, in order, as JSON."""

import asyncio
import json
import os

import socketio

ROOM, NAME = os.environ["ROOM"], os.environ["NAME"]
COUNT, EXPECTED = int(os.environ["COUNT"]), int(os.environ["EXPECTED"])
acked, seen = [], []
joined = asyncio.Event()
changed = asyncio.Event()
io = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.3)


def auth():
    resume = {"resume": {ROOM: {"seq": seen[-1]["seq"] if seen else 0}}} if joined.is_set() else {}
    return {"token": os.environ["TOKEN"], **resume}


def keep(message):
    seen.append({"seq": message["seq"], "body": message["body"]})
    changed.set()


def entered(answer):
    joined.set()
    for message in answer["missed"]:
        keep(message)


io.on("message:new", keep)


@io.event
async def connect():
    if not joined.is_set():
        await io.emit("room:join", {"roomId": ROOM, "since": 0}, callback=entered)


async def write(number):
    message = {"roomId": ROOM, "clientId": f"{NAME}-{number}", "body": f"{NAME} {number}"}
    while True:
        try:
            answer = await io.call("message:send", message, timeout=2)
        except socketio.exceptions.SocketIOError:
            # Not connected, or no answer: the same again.
            await asyncio.sleep(0.05)
            continue
        if answer["ok"]:
            acked.append({"seq": answer["message"]["seq"], "body": message["body"]})
            return
        if not answer["error"]["retryable"]:
            raise SystemExit(json.dumps(answer))


async def talk():
    await io.connect(os.environ["SERVER_URL"], auth=auth, retry=True)
    await joined.wait()
    for number in range(COUNT):
        await write(number)
    while len(seen) < EXPECTED:
        changed.clear()
        await changed.wait()
    print(json.dumps({"acked": acked, "seen": seen}))
    await io.disconnect()


asyncio.run(talk())
