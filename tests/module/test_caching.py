"""When a computed value is stored, for how long, and when it is not."""

import socket
import time

import pytest
import valkey


def compute(client, worker, background, key="echo:1", value="computed"):
    reply = background(client.get, key)
    worker.answer(worker.take_one(), value)
    return reply.result(3)


def test_a_value_is_cached_for_as_long_as_the_function_says(
    client, new_worker, background, eventually
):
    worker = new_worker()
    worker.serve("echo", "echo:", "CACHE", 60000)
    compute(client, worker, background)
    eventually(lambda: client.exists("echo:1"))
    assert 59 <= client.ttl("echo:1") <= 60


def test_forever_is_without_expiry(client, new_worker, background, eventually):
    worker = new_worker()
    worker.serve("echo", "echo:", "CACHE", "forever")
    compute(client, worker, background)
    eventually(lambda: client.exists("echo:1"))
    assert client.ttl("echo:1") == -1


def test_off_stores_nothing(client, new_worker, background, counters):
    worker = new_worker()
    worker.serve("echo", "echo:", "CACHE", "off")
    assert compute(client, worker, background) == "computed"
    assert compute(client, worker, background, value="again") == "again"
    assert not client.exists("echo:1")


def test_somebody_elses_set_answers_those_who_wait_and_is_not_overwritten(
    client, server, worker, background, counters, eventually
):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with valkey.Valkey(port=server.port, decode_responses=True) as other:
        other.set("echo:1", "theirs")
        assert reply.result(3) == "theirs"
        worker.answer(item, "ours")
        eventually(lambda: counters()["pending"] == 0)
        assert other.get("echo:1") == "theirs"


def test_somebody_elses_list_is_the_usual_error_for_those_who_wait(
    client, server, worker, background, counters, eventually
):
    reply = background(client.get, "echo:1")
    eventually(lambda: counters()["waiting"] == 1)
    with valkey.Valkey(port=server.port) as other:
        other.rpush("echo:1", "x")
    with pytest.raises(valkey.ResponseError, match="WRONGTYPE"):
        reply.result(3)


def test_dropping_a_key_in_computation_answers_but_does_not_store(
    client, server, worker, background, counters
):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with valkey.Valkey(port=server.port) as other:
        assert other.execute_command("KEYMISS.DROP", "echo:1") == 0
    worker.answer(item, "stale")
    assert reply.result(3) == "stale"
    assert not client.exists("echo:1")


def test_drop_deletes_what_is_cached(client, worker, background, eventually):
    compute(client, worker, background)
    eventually(lambda: client.exists("echo:1"))
    assert client.execute_command("KEYMISS.DROP", "echo:1", "echo:2") == 1
    assert not client.exists("echo:1")


def test_what_was_computed_before_a_flush_is_not_stored_after_it(
    client, server, worker, background
):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with valkey.Valkey(port=server.port) as other:
        other.flushall()
    worker.answer(item, "stale")
    assert reply.result(3) == "stale"
    assert client.dbsize() == 0


def test_out_of_memory_answers_but_does_not_store(client, server, worker, background):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with valkey.Valkey(port=server.port) as admin:
        admin.config_set("maxmemory", "1")
        try:
            worker.answer(item, "computed")
            assert reply.result(3) == "computed"
            assert not client.exists("echo:1")
        finally:
            admin.config_set("maxmemory", "0")


def test_the_client_hears_of_its_value_before_of_its_invalidation(server, worker):
    # Were the value stored first, the push would come before the reply and the copy stay stale.
    with socket.create_connection(("127.0.0.1", server.port), timeout=3) as tracking:
        tracking.sendall(b"HELLO 3\r\nCLIENT TRACKING ON\r\n")
        received = read_until(tracking, b"+OK\r\n")
        tracking.sendall(b"GET echo:1\r\n")
        worker.answer(worker.take_one(), "one")
        received = read_until(tracking, b"echo:1\r\n")
    assert received.index(b"$3\r\none\r\n") < received.index(b"invalidate")


def read_until(connection, end):
    received = b""
    while not received.endswith(end):
        received += connection.recv(4096)
    return received


def test_a_key_that_expires_under_the_readers_eyes_is_computed_never_nil(
    client, new_worker, background
):
    worker = new_worker()
    worker.serve("echo", "echo:", "CACHE", 3)
    until = time.monotonic() + 1.5

    def serve():
        while time.monotonic() < until + 1:
            for item in worker.take(block=100):
                worker.answer(item, "computed")

    serving = background(serve)
    values = set()
    while time.monotonic() < until:
        values.add(client.get("echo:1"))
    assert values == {"computed"}
    serving.result(5)
