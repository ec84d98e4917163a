"""When a computed value is stored, for how long, and when it is not."""

import time

import pytest
import valkey


def compute(client, worker, background, key="echo:1", value="computed"):
    reply = background(client.get, key)
    worker.answer(worker.take_one(), value)
    return reply.result(10)


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
        assert reply.result(10) == "theirs"
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
        reply.result(10)


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
