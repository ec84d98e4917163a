"""What handlers read from a shard, also of a server that is frozen."""

import asyncio
import os
import signal
from contextlib import aclosing

import pytest
from valkey.exceptions import BusyLoadingError

from keymiss.errors import ShardLost
from keymiss.functions import Shard, shard


def test_a_frozen_server_holds_a_batch_up_for_seconds_only(server, client, monkeypatch):
    monkeypatch.setattr(shard, "SHARD_REPLY_SECONDS", 0.3)
    client.set("text", "here")

    async def act():
        async with aclosing(Shard(server.url)) as reader:
            before = await reader.read([("GET", "text")])
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with pytest.raises(ShardLost, match="does not answer"):
                    await reader.read([("GET", "text")])
            finally:
                os.kill(server.pid, signal.SIGCONT)
            return before, await reader.read([("GET", "text"), ("GET",)])

    before, (after, error) = asyncio.run(act())
    assert before == [b"here"]
    assert after == b"here"
    assert "wrong number of arguments" in str(error)


def test_keys_are_found_by_their_prefix_whatever_it_is_made_of(server, raw):
    odd = [f"[a-z]*\\{number}" for number in range(3)]
    for key in (*odd, "b0", "[a-z]x"):
        raw.set(key, "")

    async def act():
        async with aclosing(Shard(server.url)) as reader:
            return sorted([key async for key in reader.keys("[a-z]*")])

    assert asyncio.run(act()) == odd


def test_a_node_that_loads_its_data_is_asked_again_who_it_is():
    loading = b"-LOADING the dataset is being loaded\r\n"
    packets = [2 * loading, b"+node\r\n+shard\r\n"]

    async def load_first(reader, writer):
        while data := await reader.read(4096):
            writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
            if b"MYID" in data:
                writer.write(packets.pop(0))
        writer.close()
        await writer.wait_closed()

    async def act():
        server = await asyncio.start_server(load_first, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with aclosing(Shard(f"valkey://127.0.0.1:{port}")) as node:
            with pytest.raises(BusyLoadingError):
                await node.identify()
            await node.identify()
        await asyncio.sleep(0.1)
        server.close()
        await server.wait_closed()
        return node.id

    assert asyncio.run(act()) == "shard"
