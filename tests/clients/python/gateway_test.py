"""The gateway as python-socketio sees it, over websocket, polling and the upgrade between them.

GATEWAY_URL is where it listens.
"""

import asyncio
import os
import unittest
import uuid

import socketio

URL = os.environ["GATEWAY_URL"]
PATIENCE = 60


class Client:
    """A client whose events wait in queues until they are asked for."""

    def __init__(self, transports, namespaces=("/",)):
        self.io = socketio.AsyncClient(reconnection_delay=0.02, reconnection_delay_max=0.05, randomization_factor=0)
        self.transports = transports
        self.events = {}
        for namespace in namespaces:
            for name in ("connect", "connect_error", "disconnect", "welcome", "echo", "bytes", "number"):
                self.io.on(name, self._keep(namespace, name), namespace=namespace)
        self.namespaces = list(namespaces)

    def _keep(self, namespace, name):
        queue = self.events.setdefault((namespace, name), asyncio.Queue())

        async def keep(*arguments):
            queue.put_nowait(arguments)

        return keep

    async def connect(self, auth=None, **options):
        await self.io.connect(
            URL, transports=self.transports, auth=auth or {}, namespaces=self.namespaces, **options
        )
        return self

    async def next(self, name, namespace="/"):
        return await asyncio.wait_for(self.events[namespace, name].get(), PATIENCE)

    async def call(self, name, *arguments, namespace="/"):
        data = arguments if len(arguments) != 1 else arguments[0]
        return await self.io.call(name, data, namespace=namespace, timeout=PATIENCE)


class Gateway:
    """The cases, for each way to connect."""

    transports = None

    def setUp(self):
        self.clients = []

    async def asyncSetUp(self):
        # unittest turns it on, and it makes thousands of events many times slower.
        asyncio.get_running_loop().set_debug(False)

    async def asyncTearDown(self):
        for client in self.clients:
            await client.io.shutdown()

    def client(self, *namespaces):
        client = Client(self.transports, namespaces or ("/",))
        self.clients.append(client)
        return client

    async def connected(self, *namespaces, **options):
        return await self.client(*namespaces).connect(**options)

    async def test_uses_the_transport(self):
        client = await self.connected()
        expected = "polling" if self.transports == ["polling"] else "websocket"
        self.assertEqual(client.io.transport(), expected)
        self.assertEqual(await client.call("echo", 1), 1)

    async def test_connects_with_auth_and_loses_no_event_that_follows(self):
        auth = {"token": "täglich", "nested": {"list": [1, "two", None]}}
        client = await self.connected(auth=auth)
        self.assertEqual(await client.next("welcome"), (auth,))

    async def test_several_namespaces_on_one_connection(self):
        client = await self.connected("/", "/custom")
        await client.next("welcome", "/")
        await client.next("welcome", "/custom")
        self.assertNotEqual(client.io.get_sid("/"), client.io.get_sid("/custom"))
        self.assertEqual(await client.call("echo", "custom", namespace="/custom"), "custom")
        self.assertEqual(await client.call("echo", "main"), "main")

    async def test_refused_with_data(self):
        client = self.client("/refused")
        with self.assertRaises(socketio.exceptions.ConnectionError):
            await client.connect()
        (error,) = await client.next("connect_error", "/refused")
        data = {"code": "forbidden", "message": "you may not enter"}
        self.assertEqual(error, {"message": "you may not enter", "data": data})
        self.assertFalse(client.io.connected)

    async def test_unknown_namespace(self):
        client = self.client("/nothing")
        with self.assertRaises(socketio.exceptions.ConnectionError):
            await client.connect()
        self.assertEqual(await client.next("connect_error", "/nothing"), ({"message": "Invalid namespace"},))

    async def test_comes_back_when_told_to_try_later(self):
        busy = {"busy": {"key": str(uuid.uuid4()), "times": 2}}
        # Whoever waits here is told of the first failure; the client goes on by itself.
        client = await self.connected(auth=busy, wait=False)
        await client.next("connect")
        self.assertEqual(await client.call("echo", "in"), "in")

    async def test_events_and_acks_both_ways(self):
        client = await self.connected()
        values = [0, -1.5, 'é\U0001f600\u001e"\\', None, True, [], {"a": {"b": [{}]}}]
        self.assertEqual(list(await client.call("echo", *values)), values)
        await client.io.emit("echo", tuple(values))
        self.assertEqual(list(await client.next("echo")), values)

        # The client escapes such a name; nobody handles it, and nothing is lost by it.
        await client.io.emit("täglich", 1)

        async def answer(question):
            return {"answer": question["n"] + 1}

        client.io.on("question", answer)
        self.assertEqual(await client.call("ask", {"n": 41}), {"Ok": {"answer": 42}})

    async def test_attachments_both_ways(self):
        client = await self.connected()
        a, b, empty = bytes([0, 1, 254, 255]), bytes([9]) * 70_000, b""
        payload = {"a": a, "list": [b, {"empty": empty}], "text": "t"}
        self.assertEqual(await client.call("echo", payload), payload)
        await client.io.emit("echo", (a, 1, b))
        self.assertEqual(await client.next("echo"), (a, 1, b))
        await client.io.emit("bytes", 1000)
        self.assertEqual(await client.next("bytes"), (bytes([7]) * 1000,))

        async def answer(question):
            return bytes(reversed(question))

        client.io.on("question", answer)
        self.assertEqual(await client.call("ask-bytes", a), bytes([255, 254, 1, 0]))

    async def test_messages_just_below_max_payload(self):
        client = await self.connected()
        text = "x" * (1_000_000 - 100)
        self.assertEqual(await client.call("echo", text), text)
        self.assertEqual(len(await client.call("text", 1_000_000)), 1_000_000)
        # In a polling payload attachments are base64, a third larger.
        data = bytes([3]) * ((1_000_000 - 200) * 3 // 4)
        self.assertEqual(await client.call("echo", data), data)

    async def test_a_message_above_max_payload_closes_and_the_client_comes_back(self):
        client = await self.connected()
        await client.next("connect")
        await client.io.emit("echo", "x" * 1_000_001)
        await client.next("disconnect")
        await client.next("connect")
        self.assertEqual(await client.call("echo", 1), 1)

    async def test_order_of_many_events(self):
        client = await self.connected()
        count = 2_000
        await client.io.emit("count", count)
        numbers = [(await client.next("number"))[0] for _ in range(count)]
        self.assertEqual(numbers, list(range(count)))
        answered = asyncio.Queue()
        for number in range(count):
            await client.io.emit("echo", number, callback=answered.put_nowait)
        numbers = [await asyncio.wait_for(answered.get(), PATIENCE) for _ in range(count)]
        self.assertEqual(numbers, list(range(count)))

    async def test_comes_back_when_the_server_closes_the_transport(self):
        client = await self.connected()
        await client.next("connect")
        first = client.io.get_sid()
        await client.io.emit("close-me")
        await client.next("disconnect")
        await client.next("connect")
        self.assertNotEqual(client.io.get_sid(), first)
        self.assertEqual(await client.call("echo", "back"), "back")

    async def test_does_not_come_back_when_the_server_disconnects_it(self):
        client = await self.connected()
        await client.next("connect")
        await client.io.emit("disconnect-me")
        (reason,) = await client.next("disconnect")
        self.assertEqual(reason, socketio.AsyncClient.reason.SERVER_DISCONNECT)
        await asyncio.wait_for(client.io.wait(), PATIENCE)
        self.assertFalse(client.io.connected)
        self.assertTrue(client.events["/", "connect"].empty())


class OverWebSocket(Gateway, unittest.IsolatedAsyncioTestCase):
    transports = ["websocket"]


class OverPolling(Gateway, unittest.IsolatedAsyncioTestCase):
    transports = ["polling"]


class OverUpgrade(Gateway, unittest.IsolatedAsyncioTestCase):
    transports = ["polling", "websocket"]


if __name__ == "__main__":
    unittest.main()
