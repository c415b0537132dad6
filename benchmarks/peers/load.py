"""The cameras of a comparison, in the peers' environment: reads orders, a line of JSON each, and answers with one."""

import asyncio
import base64
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import aclosing, suppress
from importlib import import_module
from itertools import count
from time import monotonic
from typing import Any

import aiohttp
import numpy as np
import tritonclient.grpc.aio as triton
from redis.asyncio import Redis

from benchmarks.peers.serve_loop import ANSWERS, FRAMES, NUMBER

_ANSWER_S = 60.0
Times = tuple[float, float]
"""When a frame was sent and when its answer came, seconds."""


class Client(ABC):
    """Sends one frame and waits for its answer."""

    @abstractmethod
    async def ask(self) -> None:
        """One frame."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what is open."""


class Http(Client):
    """LitServe takes base64 in JSON, mosec the bytes; encoded once, for real cameras do that on machines of their own.

    Args:
        url: to post to.
        body: of every request.
        kind: its content type.
    """

    def __init__(self, url: str, body: bytes, kind: str) -> None:
        self._url, self._body, self._headers = url, body, {"Content-Type": kind}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(_ANSWER_S)
        )

    async def ask(self) -> None:
        async with self._session.post(self._url, data=self._body, headers=self._headers) as answer:
            answer.raise_for_status()
            if not await answer.read():
                raise ValueError("an empty answer")

    async def aclose(self) -> None:
        await self._session.close()


class Triton(Client):
    """Over gRPC, its faster way.

    Args:
        address: host and port.
        jpeg: the frame.
    """

    def __init__(self, address: str, jpeg: bytes) -> None:
        self._client = triton.InferenceServerClient(address)
        self._input = triton.InferInput("jpeg", [1, 1], "BYTES")
        self._input.set_data_from_numpy(np.array([[jpeg]], object))

    async def ask(self) -> None:
        answer = await self._client.infer("detector", [self._input], client_timeout=_ANSWER_S)
        if not len(answer.as_numpy("boxes")[0, 0]):
            raise ValueError("an empty answer")

    async def aclose(self) -> None:
        await self._client.close()


class Numbered(Client):
    """Over Redis: a frame goes out with a number, and its answer comes back with it.

    Args:
        url: of the server.
        jpeg: the frame.
    """

    def __init__(self, url: str, jpeg: bytes) -> None:
        self._jpeg = jpeg
        self._sending, self._reading = (Redis.from_url(url, socket_timeout=None) for _ in range(2))
        self._numbers = count()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._reader = asyncio.create_task(self._read())

    async def ask(self) -> None:
        number = next(self._numbers).to_bytes(NUMBER, "big")
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._send(number)
        await asyncio.wait_for(self._waiting[number], _ANSWER_S)

    async def _send(self, number: bytes) -> None:
        await self._sending.rpush(FRAMES, number + self._jpeg)

    async def _read(self) -> None:
        while True:
            _, answer = await self._reading.blpop([ANSWERS])
            self._waiting.pop(answer[:NUMBER]).set_result(None)

    async def aclose(self) -> None:
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._sending.aclose()
        await self._reading.aclose()


class Tasks(Numbered):
    """A Celery task for each frame."""

    def __init__(self, url: str, jpeg: bytes) -> None:
        super().__init__(url, jpeg)
        self._task = import_module("benchmarks.peers.serve_celery").detect

    async def _send(self, number: bytes) -> None:
        self._task.delay(number, self._jpeg)


def client(peer: str, where: str, jpeg: bytes) -> Client:
    """The one that talks to this peer."""
    if peer == "litserve":
        body = json.dumps({"image": base64.b64encode(jpeg).decode()}).encode()
        return Http(f"http://{where}/predict", body, "application/json")
    if peer == "mosec":
        return Http(f"http://{where}/inference", jpeg, "application/octet-stream")
    if peer == "triton":
        return Triton(where, jpeg)
    return (Tasks if peer == "celery" else Numbered)(where, jpeg)


async def saturate(client: Client, cameras: int, seconds: float) -> list[Times]:
    """Every camera sends its next frame when its last is answered."""
    deadline = monotonic() + seconds
    times: list[Times] = []

    async def camera() -> None:
        while monotonic() < deadline:
            times.append(await _timed(client, monotonic()))

    await asyncio.gather(*(camera() for _ in range(cameras)))
    return times


async def pace(client: Client, due: list[float]) -> list[Times]:
    """Frames at their times, seconds from now, whether those before are answered or not."""
    began = monotonic()
    asking = []
    for at in due:
        await asyncio.sleep(max(0.0, began + at - monotonic()))
        # From when it was due, for a late client is no excuse for a late answer.
        asking.append(asyncio.create_task(_timed(client, began + at)))
    return list(await asyncio.gather(*asking))


async def _timed(client: Client, sent: float) -> Times:
    await client.ask()
    return sent, monotonic()


def _orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


async def main() -> None:
    """The first line says whom to ask and with which picture, the others what to do."""
    orders = _orders()
    first = next(orders)
    async with aclosing(client(first["peer"], first["where"], base64.b64decode(first["jpeg"]))) as asking:
        await _answering(asking)
        print(json.dumps("ready"), flush=True)
        for order in orders:
            if "due" in order:
                times = await pace(asking, order["due"])
            else:
                times = await saturate(asking, order["cameras"], order["seconds"])
            print(json.dumps(times), flush=True)


async def _answering(client: Client) -> None:
    """Ask until an answer comes: the server is starting."""
    deadline = monotonic() + _ANSWER_S
    while True:
        try:
            return await client.ask()
        except (aiohttp.ClientError, triton.InferenceServerException):
            if monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
