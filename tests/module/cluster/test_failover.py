"""A failover while clients and workers wait: they are told at once, and nothing is lost."""

import time

import pytest
import valkey

from tests.module.cluster.slots import HALF, key_of


def test_who_waits_is_sent_on_and_the_next_primary_computes(
    cluster, raw_worker, background, eventually, connect
):
    primary, replica = cluster.owner(0), cluster.replica()
    primary.client.set(key_of(0, HALF - 1, "kept:"), "kept")
    worker = raw_worker(primary.server.port)
    worker.serve("echo", "echo:", "LEASE", 60_000, "TIMEOUT", 60_000)
    keys = [key_of(0, HALF - 1, number=number) for number in range(3)]
    plain = [background(connect(primary.server).get, key) for key in keys[:2]]
    reading = connect(primary.server, single_connection_client=True)
    reading.execute_command("READONLY")
    plain.append(background(reading.get, keys[2]))
    eventually(lambda: primary.client.info("keymiss")["keymiss_pending"] == 3)
    worker.take(count=1)
    eventually(lambda: replica.ask("KEYMISS.LIST"))

    started = time.monotonic()
    replica.ask("CLUSTER", "FAILOVER")
    for reply in plain:
        error = reply.exception(10)
        assert str(error).startswith(("MOVED", "UNBLOCKED", "KEYMISS replica", "Connection"))
    assert time.monotonic() - started < 5
    cluster.wait(lambda: replica.role == "master")
    assert primary.client.info("keymiss")["keymiss_waiting"] == 0
    with pytest.raises((valkey.ResponseError, valkey.ConnectionError)):
        worker.take()
    worker.die()

    # Registered there already: the miss of the first second waits for the worker that comes.
    cluster.wait(lambda: cluster.owner(0) is replica)
    successor = raw_worker(replica.server.port)
    successor.serve()
    again = background(connect(replica.server).get, keys[0])
    successor.answer(successor.take_one(), "answered")
    assert again.result(10) == "answered"
    assert replica.client.get(key_of(0, HALF - 1, "kept:")) == "kept"
    successor.die()
    cluster.wait(cluster.is_whole)


def test_without_a_worker_a_promoted_replica_says_so(cluster, connect, raw_worker, eventually):
    primary, replica = cluster.owner(0), cluster.replica()
    worker = raw_worker(primary.server.port)
    worker.serve()
    eventually(lambda: replica.ask("KEYMISS.LIST"))
    worker.die()
    replica.ask("CLUSTER", "FAILOVER")
    cluster.wait(lambda: replica.role == "master" and cluster.owner(0) is replica)
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
        connect(replica.server).get(key_of(0, HALF - 1, number=9))
