"""A worker spoken by hand: one connection that sends the module's commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import valkey

from keymiss.server.embedded import EmbeddedServer


class Taken(NamedTuple):
    function: str
    event: str
    id: str
    key: str


class RawWorker:
    def __init__(self, port: int, **credentials: str) -> None:
        self.client = valkey.Valkey(
            port=port, single_connection_client=True, decode_responses=True, **credentials
        )

    def serve(self, name: str = "echo", prefix: str = "echo:", *options: Any) -> Any:
        kind = () if "ON" in options else ("ON", "MISS")
        return self.client.execute_command("KEYMISS.SERVE", name, *kind, "PREFIX", prefix, *options)

    def take(self, *names: str, count: int = 100, block: int = 3000) -> list[Taken]:
        reply = self.client.execute_command(
            "KEYMISS.TAKE", "COUNT", count, "BLOCK", block, *(names or ("echo",))
        )
        return [Taken(*item) for item in reply]

    def take_one(self, *names: str) -> Taken:
        (item,) = self.take(*names)
        return item

    def answer(self, item: Taken, *value: Any) -> int:
        reply: int = self.client.execute_command("KEYMISS.ANSWER", item.id, *value)
        return reply

    def fail(self, item: Taken, message: Any) -> int:
        reply: int = self.client.execute_command("KEYMISS.FAIL", item.id, message)
        return reply

    def die(self) -> None:
        self.client.close()
        self.client.connection_pool.disconnect()


@pytest.fixture
def new_worker(server: EmbeddedServer) -> Iterator[Callable[..., RawWorker]]:
    workers: list[RawWorker] = []

    def make(**credentials: str) -> RawWorker:
        workers.append(RawWorker(server.port, **credentials))
        return workers[-1]

    yield make
    for worker in workers:
        worker.die()


@pytest.fixture
def worker(new_worker: Callable[..., RawWorker]) -> RawWorker:
    """A worker that serves `echo:` keys."""
    made = new_worker()
    made.serve()
    return made
