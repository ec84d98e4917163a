"""Keys of one node that are asked for together are computed together, each with its own outcome."""

import asyncio
import time

import valkey

from keymiss import functions
from keymiss.answers.computing import compute_all
from keymiss.errors import KeymissError
from keymiss.server.routing import Servers

KEYS = [f"echo:{number}" for number in range(10)]


def computed(server, keys, seconds=5.0):
    async def run():
        async with Servers(server.url) as servers:
            return await compute_all(servers, keys, seconds)

    return asyncio.run(run())


def test_all_are_in_one_batch(server, serve):
    batches = []

    @functions.on_miss("echo:")
    async def echo(misses):
        batches.append(len(misses))
        return [miss.key for miss in misses]

    serve(echo)
    assert computed(server, KEYS) == [key.encode() for key in KEYS]
    assert batches == [10]
    assert computed(server, KEYS[3:4]) == [KEYS[3].encode()]
    assert batches == [10]


def test_one_key_alone_is_not_begun_ahead(server, serve, counters):
    @functions.on_miss("echo:", cache="off")
    async def echo(misses):
        return [miss.key for miss in misses]

    serve(echo)
    assert computed(server, KEYS[:1]) == [b"echo:0"]
    assert counters()["misses"] == counters()["taken"] == 1


def test_keys_that_are_not_stored_are_computed_one_by_one(server, serve):
    @functions.on_miss("echo:", cache="off")
    async def echo(misses):
        return [miss.key for miss in misses]

    serve(echo)
    assert computed(server, KEYS) == [key.encode() for key in KEYS]


def test_an_error_is_that_of_its_key(server, serve):
    @functions.on_miss("echo:")
    async def echo(misses):
        return [ValueError("odd") if miss.key.endswith("7") else miss.key for miss in misses]

    serve(echo)
    values = computed(server, KEYS)
    error = values.pop(7)
    assert isinstance(error, KeymissError)
    assert "odd" in str(error)
    assert values == [key.encode() for key in KEYS if not key.endswith("7")]


def test_what_came_in_time_is_kept_when_another_key_is_late(server, serve):
    @functions.on_miss("echo:", batch=1)
    async def echo(misses):
        await asyncio.sleep(2 if misses[0].key.endswith("3") else 0)
        return [miss.key for miss in misses]

    serve(echo)
    started = time.monotonic()
    values = computed(server, KEYS[:4], seconds=0.5)
    assert time.monotonic() - started < 1.5
    assert values[:3] == [b"echo:0", b"echo:1", b"echo:2"]
    assert isinstance(values[3], TimeoutError)


def test_a_server_that_is_gone_is_the_error_of_each_key(server):
    async def run():
        async with Servers(server.url) as servers:
            await servers.topology()
            server.stop()
            try:
                return await compute_all(servers, KEYS, 1.0)
            finally:
                server.start()

    values = asyncio.run(run())
    assert len(values) == len(KEYS)
    assert all(isinstance(value, valkey.ConnectionError | OSError) for value in values)
