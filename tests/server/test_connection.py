"""Connections on asyncio: replies in their order, and what happens when one is given up or lost."""

import asyncio
import time

import pytest
import valkey
from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.server.connection import ServerConnections, open_connection, raised

TEXTS = st.text(st.characters(codec="utf-8")) | st.just("\udcff, which is no UTF-8")
VALUES = TEXTS | st.binary(max_size=100_000) | st.integers()


@pytest.fixture
def url(server):
    return f"valkey://127.0.0.1:{server.port}"


async def on_a_connection(url, act):
    connection = await open_connection(url)
    try:
        return await act(connection)
    finally:
        connection.close()


def test_tasks_that_share_a_connection_get_their_own_replies(url):
    async def act(connection):
        await connection.send([("SET", f"shared:{n}", "x" * 1000 * n) for n in range(50)])
        return await asyncio.gather(
            *(connection.send([("STRLEN", f"shared:{n}"), ("ECHO", n)]) for n in range(50))
        )

    replies = asyncio.run(on_a_connection(url, act))
    assert replies == [[1000 * n, str(n).encode()] for n in range(50)]


@settings(max_examples=50, deadline=None)
@given(values=st.lists(VALUES))
def test_whatever_is_sent_comes_back(running_server, values):
    async def act(connection):
        return await connection.send([("ECHO", value) for value in values])

    expected = [
        value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
        for value in values
    ]
    assert (
        asyncio.run(on_a_connection(f"valkey://127.0.0.1:{running_server.port}", act)) == expected
    )


def test_errors_are_replies_among_others_and_keep_all_their_words(url):
    async def act(connection):
        replies = await connection.send([("GET",), ("ECHO", "a"), ("NO-SUCH-COMMAND",)])
        with pytest.raises(valkey.ResponseError, match="^ERR wrong number of arguments"):
            raised(replies[0])
        return replies

    few, echo, unknown = asyncio.run(on_a_connection(url, act))
    assert str(few).startswith("ERR wrong number")
    assert echo == b"a"
    assert str(unknown).startswith("ERR unknown command")


@pytest.mark.parametrize("wrong", [None, "\ud800", {}, ["x"]])
def test_a_command_that_cannot_be_sent_does_not_take_the_replies_of_others(url, wrong):
    async def act(connection):
        with pytest.raises((TypeError, ValueError)):
            await connection.send([("ECHO", "theirs"), ("ECHO", wrong)])
        return await connection.send([("ECHO", "mine")])

    assert asyncio.run(on_a_connection(url, act)) == [b"mine"]


def test_who_gives_up_does_not_take_the_replies_of_others(url):
    async def act(connection):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.send([("BLPOP", "given-up", 1)])
        return await connection.send([("ECHO", "mine")])

    assert asyncio.run(on_a_connection(url, act)) == [b"mine"]


def test_a_server_that_hangs_up_is_an_error_for_all_who_wait(url, raw):
    async def act(connection):
        (id,) = await connection.send([("CLIENT", "ID")])
        waiting = [asyncio.create_task(connection.send([("BLPOP", "never", 0)])) for _ in range(3)]
        await asyncio.sleep(0.05)
        raw.client_kill_filter(_id=id)
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert not connection.is_open
        with pytest.raises(valkey.ConnectionError):
            await connection.send([("PING",)])
        return ended

    assert all(
        isinstance(one, valkey.ConnectionError) for one in asyncio.run(on_a_connection(url, act))
    )


def test_a_lent_connection_is_closed_when_its_task_gives_up(url, raw):
    async def act():
        connections = ServerConnections(url, most=4)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connections.send([("BLPOP", "given-up", 0)])
        await asyncio.sleep(0.05)
        blocked = raw.info("clients")["blocked_clients"]
        again = await connections.send([("ECHO", "still there")])
        connections.close()
        return blocked, again

    assert asyncio.run(act()) == (0, [b"still there"])


def test_no_more_connections_are_open_than_allowed_and_idle_ones_are_used_again(url, raw):
    async def act():
        connections = ServerConnections(url, most=3)
        before = raw.info("stats")["total_connections_received"]
        await asyncio.gather(*(connections.send([("BLPOP", "none", 0.01)]) for _ in range(9)))
        opened = raw.info("stats")["total_connections_received"] - before
        connections.close()
        return opened

    assert asyncio.run(act()) == 3


def test_a_connection_that_the_server_closed_is_not_lent(url, raw):
    async def act():
        connections = ServerConnections(url, most=1)
        (id,) = await connections.send([("CLIENT", "ID")])
        raw.client_kill_filter(_id=id)
        await asyncio.sleep(0.05)
        (other,) = await connections.send([("CLIENT", "ID")])
        connections.close()
        return id, other

    first, second = asyncio.run(act())
    assert first != second


def test_a_server_that_does_not_greet_is_given_up_in_time():
    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    async def act():
        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        started = time.monotonic()
        with pytest.raises((TimeoutError, valkey.TimeoutError)):
            await open_connection(f"valkey://user:secret@127.0.0.1:{port}", seconds=0.2)
        silent.close()
        await silent.wait_closed()
        await asyncio.sleep(0.05)
        return time.monotonic() - started

    assert asyncio.run(act()) < 2


def test_a_url_that_asks_for_resp3_is_served_by_resp2(url):
    async def act(connection):
        return await connection.send([("HSET", "hash", "field", "value"), ("HGETALL", "hash")])

    assert asyncio.run(on_a_connection(f"{url}?protocol=3", act)) == [1, [b"field", b"value"]]


def test_a_connection_that_says_what_nobody_has_asked_for_is_closed():
    async def greet_twice(reader, writer):
        while data := await reader.read(4096):
            writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
            if b"PING" in data:
                writer.write(b"+PONG\r\n")
                await asyncio.sleep(0.05)
                writer.write(b"+an answer to nothing\r\n")
        writer.close()

    async def act():
        server = await asyncio.start_server(greet_twice, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = await open_connection(f"valkey://127.0.0.1:{port}")
        (pong,) = await connection.send([("PING",)])
        await asyncio.sleep(0.1)
        is_open = connection.is_open
        connection.close()
        server.close()
        await server.wait_closed()
        return pong, is_open

    assert asyncio.run(act()) == (b"PONG", False)


def test_who_is_stopped_while_connecting_stops(url):
    async def stopped_at(step):
        connecting = asyncio.create_task(open_connection(url))
        for _ in range(step):
            await asyncio.sleep(0)
        if connecting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await connecting
            return True
        connecting.result().close()
        return False

    async def stopped():
        return [await stopped_at(step) for step in range(200)]

    assert sum(asyncio.run(stopped())) > 5
