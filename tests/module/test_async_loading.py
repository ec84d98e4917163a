"""A replica that loads its primary's snapshot beside its own data (repl-diskless-load swapdb)."""

import os
import signal
import time

import pytest
import valkey

KEYS, VALUE = 2000, "x" * 10_000
"""More than sockets hold: while a part is loaded, the rest is with the primary."""

SLOWLY = 1000
"""Microseconds for which a key of a snapshot takes: two seconds for all."""


@pytest.fixture
def pair(launch, connect, worker_of, replicate, eventually):
    """A primary with a worker, and a replica in step that will load beside its data."""
    primary = launch(
        "--repl-diskless-sync", "yes", "--repl-backlog-size", "16384", "--rdbcompression", "no"
    )
    # So that it serves others while it loads little.
    often = ("--loading-process-events-interval-bytes", "1024")
    replica = launch("--repl-diskless-load", "swapdb", *often)
    worker = worker_of(primary)
    worker.serve("echo", "echo:", "VERSION", "1", "CLEAN")
    worker.serve("tokens", "text:", "ON", "WRITE")
    client = connect(primary)
    client.set("echo:stored", "old")
    client.mset({f"key:{number}": VALUE for number in range(KEYS)})
    replicate(replica, primary)
    eventually(lambda: connect(replica).dbsize() == client.dbsize())
    return primary, replica


@pytest.fixture
def loading(connect, eventually):
    """Makes the primary send a whole new snapshot, slowly, in which one value is another; returns
    when the replica loads it."""

    def begin(primary, replica):
        client = connect(primary)
        client.config_set("rdb-key-save-delay", SLOWLY)
        pipeline = client.pipeline(transaction=True)
        # More than the backlog holds: the replica cannot go on where it was.
        pipeline.execute_command("CLIENT", "KILL", "TYPE", "replica")
        pipeline.set("echo:stored", "new")
        for number in range(20):
            pipeline.set(f"fill:{number}", "x" * 16384)
        pipeline.execute()
        eventually(lambda: is_loading(connect(replica)))

    return begin


def is_loading(client):
    return client.info("persistence")["async_loading"] == 1


def wait_until(condition):
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def names(client):
    return {each[1] for each in client.execute_command("KEYMISS.LIST")}


def test_the_old_data_is_served_meanwhile_and_the_functions_after_it(
    pair, loading, connect, worker_of, eventually
):
    primary, replica = pair
    loading(primary, replica)
    client = connect(replica)
    assert (client.get("echo:stored"), client.get("key:1")) == ("old", VALUE)
    with pytest.raises(valkey.ResponseError, match="KEYMISS replica"):
        client.get("echo:missing")
    # It is in the stream that follows the snapshot.
    worker_of(primary).serve("late", "late:")
    assert is_loading(client)
    wait_until(lambda: client.get("echo:stored") == "new")
    eventually(lambda: names(client) == {"echo", "tokens", "late"})
    with pytest.raises(valkey.ResponseError, match="KEYMISS replica"):
        client.get("late:1")


def test_after_a_load_that_was_given_up_the_old_data_stays_and_a_promoted_server_computes(
    pair, loading, connect, worker_of, background
):
    primary, replica = pair
    loading(primary, replica)
    client = connect(replica)
    os.kill(primary.pid, signal.SIGKILL)
    wait_until(lambda: not is_loading(client))
    assert "Failed trying to load" in replica.log.read_text()
    assert (client.get("echo:stored"), names(client)) == ("old", {"echo", "tokens"})
    with pytest.raises(valkey.ResponseError, match="KEYMISS replica"):
        client.get("echo:missing")
    client.execute_command("REPLICAOF", "NO", "ONE")
    assert client.get("echo:stored") == "old"
    computes(replica, client, worker_of, background)


def computes(server, client, worker_of, background):
    """Both kinds of functions work there, and nothing that is stored needs to be dropped."""
    worker, follower = worker_of(server), worker_of(server)
    assert worker.serve("echo", "echo:", "VERSION", "1") == 1
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"
    follower.serve("tokens", "text:", "ON", "WRITE")
    client.set("text:1", "x")
    assert "text:1" in {item.key for item in follower.take("tokens")}


def test_who_is_promoted_after_it_computes_with_the_new_data(
    pair, loading, connect, worker_of, background
):
    primary, replica = pair
    loading(primary, replica)
    client = connect(replica)
    wait_until(lambda: client.get("echo:stored") == "new")
    client.execute_command("REPLICAOF", "NO", "ONE")
    # For a second it would wait for a worker.
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
        client.get("echo:1")
    computes(replica, client, worker_of, background)
