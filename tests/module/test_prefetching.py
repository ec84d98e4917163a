"""KEYMISS.PREFETCH: keys are computed before anybody waits, and hold up nobody who does."""

import pytest
import valkey


def prefetch(client, *keys):
    return [client.execute_command("KEYMISS.PREFETCH", key) for key in keys]


def test_a_prefetched_key_is_stored_without_anybody_waiting(client, worker, counters):
    assert prefetch(client, "echo:1") == [1]
    item = worker.take_one()
    assert (item.event, item.key) == ("miss", "echo:1")
    assert worker.answer(item, "one") == 1
    assert client.get("echo:1") == "one"
    seen = counters()
    assert (seen["misses"], seen["hits"], seen["prefetched"]) == (0, 1, 1)
    assert seen["pending"] == seen["pending_bytes"] == 0


def test_the_keys_of_a_pipeline_are_computed_together(server, worker):
    keys = [f"echo:{number}" for number in range(5)]
    with valkey.Valkey(port=server.port, single_connection_client=True) as client:
        link = client.connection
        begun = [("KEYMISS.PREFETCH", key) for key in keys]
        link.send_packed_command(link.pack_commands([*begun, *(("GET", key) for key in keys)]))
        items = [item for _ in range(2) for item in worker.take(block=100)]
        assert sorted(item.key for item in items) == keys
        for item in items:
            worker.answer(item, item.key.upper())
        replies = [link.read_response() for _ in range(10)]
    assert replies == [1] * 5 + [key.upper().encode() for key in keys]


def test_who_waits_comes_first(client, worker, background, counters, eventually):
    prefetch(client, "echo:1", "echo:2")
    background(client.get, "echo:3")
    eventually(lambda: counters()["waiting"] == 1)
    assert [item.key for item in worker.take(count=1)] == ["echo:3"]
    client.flushall()  # and nobody waits


def test_a_take_is_filled_to_half_with_what_nobody_waits_for(client, worker):
    prefetch(client, *(f"echo:{number}" for number in range(9)))
    assert [len(worker.take(count=8, block=0)) for _ in range(4)] == [4, 4, 1, 0]


def test_who_asks_for_a_prefetched_key_waits_like_everybody(
    client, worker, background, counters, eventually
):
    prefetch(client, "echo:1", "echo:2")
    reply = background(client.get, "echo:2")
    eventually(lambda: counters()["waiting"] == 1)
    (item,) = worker.take(count=1)
    assert item.key == "echo:2"
    worker.answer(item, "two")
    assert reply.result(3) == "two"
    seen = counters()
    assert (seen["joined"], seen["prefetched"]) == (1, 0)


def test_a_key_that_is_there_or_in_computation_is_not_begun_again(
    client, worker, background, counters, eventually
):
    client.set("echo:there", "x")
    client.set("other", "x")
    background(client.get, "echo:1")
    eventually(lambda: counters()["waiting"] == 1)
    assert prefetch(client, "echo:there", "other", "echo:1", "echo:2", "echo:2") == [1] * 5
    assert counters()["pending"] == 2
    client.flushall()  # and nobody waits


def test_what_would_not_be_stored_is_not_begun(client, new_worker, counters):
    worker = new_worker()
    worker.serve("echo", "echo:", "CACHE", "off")
    worker.serve("follow", "text:", "ON", "WRITE")
    long = "echo:" + "x" * 70_000
    assert prefetch(client, "echo:1", "text:1", "nobody:1", long) == [0] * 4
    worker.serve("echo", "echo:", "CACHE", "forever")
    assert prefetch(client, long) == [0]
    client.config_set("maxmemory", 1)
    try:
        assert prefetch(client, "echo:1") == [0]
    finally:
        client.config_set("maxmemory", 0)
    client.client_pause(10_000, all=False)
    try:
        assert prefetch(client, "echo:1") == [0]
    finally:
        client.client_unpause()
    assert counters()["pending"] == 0
    assert prefetch(client, "echo:1") == [1]


def test_half_of_the_room_is_left_to_those_who_wait(
    client, new_worker, background, counters, eventually
):
    new_worker().serve("echo", "echo:", "PENDING", 6)
    assert prefetch(client, *(f"echo:{number}" for number in range(5))) == [1, 1, 1, 0, 0]
    for number in range(3):
        background(client.get, f"echo:waited{number}")
    eventually(lambda: counters()["waiting"] == 3)
    assert counters()["busy"] == 0
    assert prefetch(client, "echo:0", "echo:9") == [1, 0]
    client.flushall()  # and nobody waits


def test_half_of_the_memory_is_left_to_those_who_wait(
    client, worker, counters, background, eventually
):
    client.config_set("keymiss.max-pending-bytes", 3 << 20)
    try:
        taken = prefetch(client, *(f"echo:{number}" + "x" * 60_000 for number in range(60)))
        assert 5 < sum(taken) < 20
        reply = background(client.get, "echo:" + "y" * 60_000)
        eventually(lambda: counters()["waiting"] == 1)
        (item,) = worker.take(count=1)
        worker.answer(item, "found")
        assert reply.result(3) == "found"
    finally:
        client.config_set("keymiss.max-pending-bytes", "256mb")


def test_without_a_worker_nothing_is_kept(client, new_worker, counters, eventually):
    worker = new_worker()
    worker.serve("echo", "echo:")
    prefetch(client, "echo:1", "echo:2")
    worker.die()
    eventually(lambda: counters()["pending"] == 0)
    assert prefetch(client, "echo:1") == [0]


def test_what_a_worker_leaves_unanswered_is_given_up(client, new_worker, counters, eventually):
    first, second = new_worker(), new_worker()
    first.serve()
    second.serve()
    prefetch(client, "echo:1")
    assert first.take_one().key == "echo:1"
    first.die()
    eventually(lambda: counters()["pending"] == 0)
    assert second.take(block=0) == []
    assert client.execute_command("KEYMISS.PREFETCH", "echo:1") == 1
    second.serve("echo", "echo:", "LEASE", 20)
    second.take_one()
    eventually(lambda: counters()["pending"] == 0)


def test_a_flush_or_a_forgotten_function_takes_what_is_prefetched(client, worker, counters):
    prefetch(client, "echo:1")
    client.flushall()
    assert counters()["pending"] == 0
    prefetch(client, "echo:1")
    client.execute_command("KEYMISS.FORGET", "echo")
    assert counters()["pending"] == 0


def test_a_parked_worker_is_woken(client, worker, taking):
    reply = taking(worker, client)
    prefetch(client, "echo:1")
    assert [item.key for item in reply.result(3)] == ["echo:1"]


def test_in_a_transaction_keys_are_begun_too(client, worker):
    pipeline = client.pipeline(transaction=True)
    pipeline.execute_command("KEYMISS.PREFETCH", "echo:1")
    pipeline.get("echo:1")
    assert pipeline.execute() == [1, None]
    assert worker.take_one().key == "echo:1"


def test_a_script_may_not(client, worker):
    with pytest.raises(valkey.ResponseError):
        client.eval("return redis.call('KEYMISS.PREFETCH', KEYS[1])", 1, "echo:1")


def test_readers_begin_the_keys_that_they_may_read_and_no_others(server, client, worker, counters):
    client.execute_command("ACL", "SETUSER", "reader", "on", ">r", "%R~echo:*", "+@read")
    try:
        with valkey.Valkey(port=server.port, username="reader", password="r") as reader:
            assert prefetch(reader, "echo:1") == [1]
            with pytest.raises(valkey.exceptions.NoPermissionError):
                prefetch(reader, "other:1")
        assert counters()["pending"] == 1
    finally:
        client.execute_command("ACL", "DELUSER", "reader")


@pytest.mark.parametrize("arguments", [[], ["echo:1", "echo:2"]])
def test_one_key_is_named(client, worker, arguments):
    with pytest.raises(valkey.ResponseError, match="wrong number of arguments"):
        client.execute_command("KEYMISS.PREFETCH", *arguments)


def test_a_replica_begins_nothing(launch, connect, replicate, worker_of, eventually):
    primary, replica = launch(), launch()
    worker_of(primary).serve()
    replicate(replica, primary)
    reading = connect(replica)
    eventually(lambda: reading.execute_command("KEYMISS.LIST"))
    assert prefetch(reading, "echo:1") == [0]
