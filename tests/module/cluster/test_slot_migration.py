"""Slots that move, in both ways, while clients wait and events are followed."""

import contextlib

import pytest
import valkey
from valkey.crc import key_slot

from tests.module.cluster.slots import HALF, SLOTS, key_of


@pytest.fixture
def workers(cluster, raw_worker):
    """A worker on each primary, the owner of the lowest slots first."""
    made = [raw_worker(cluster.owner(slot).server.port) for slot in (0, SLOTS - 1)]
    for worker in made:
        worker.serve("echo", "echo:", "LEASE", 60_000)
        worker.serve("tokens", "text:", "ON", "WRITE")
    yield made
    for worker in made:
        worker.die()


@pytest.fixture
def moved(cluster):
    """Moves slots between the two primaries in the classical way; those of the test go back."""

    def move(slot, source, target):
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            address = ("127.0.0.1", target.server.port)
            source.ask("MIGRATE", *address, "", 0, 1000, "KEYS", *keys)
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    return move


def test_a_miss_in_a_slot_that_moves_is_answered_by_the_next_owner(
    cluster, workers, moved, background, connect, eventually
):
    source, target = cluster.owner(0), cluster.owner(SLOTS - 1)
    key = key_of(10, 10)
    source.client.set(key_of(10, 10, "kept:"), "kept")
    waiting = background(connect(source.server).get, key)
    eventually(lambda: source.client.info("keymiss")["keymiss_waiting"] == 1)
    moved(10, source, target)
    assert str(waiting.exception(10)).startswith(("MOVED", "KEYMISS")), waiting
    again = background(connect(target.server).get, key)
    workers[1].answer(workers[1].take_one("echo"), "answered")
    assert again.result(10) == "answered"
    assert target.client.get(key_of(10, 10, "kept:")) == "kept"
    moved(10, target, source)


def test_an_answer_in_a_transaction_about_another_slot_is_stored_in_its_own(
    cluster, workers, connect, eventually
):
    primary, key = cluster.owner(0), key_of(20, 20)
    asker = connect(primary.server, single_connection_client=True)
    asker.connection.send_command("GET", key)
    item = workers[0].take_one("echo")
    asker.connection.disconnect()
    waiting = primary.client.info
    eventually(lambda: waiting("keymiss")["keymiss_waiting"] == 0)
    transaction = workers[0].client.pipeline()
    transaction.hincrby(key_of(30, 30, "count:"), "calls", 1)
    transaction.execute_command("KEYMISS.ANSWER", item.id, "answered")
    assert transaction.execute() == [1, 1]
    eventually(lambda: primary.client.exists(key))
    assert primary.ask("CLUSTER", "COUNTKEYSINSLOT", 20) == 1
    assert primary.client.delete(key) == 1


def test_a_missing_key_of_a_slot_in_motion_is_computed_where_it_goes(
    cluster, workers, background, connect
):
    source, target = cluster.owner(0), cluster.owner(SLOTS - 1)
    key = key_of(11, 11)
    target.ask("CLUSTER", "SETSLOT", 11, "IMPORTING", source.id)
    source.ask("CLUSTER", "SETSLOT", 11, "MIGRATING", target.id)
    try:
        with pytest.raises(valkey.ResponseError, match=f"ASK 11 .*:{target.server.port}"):
            source.client.get(key)
        asking = connect(target.server, single_connection_client=True)

        def ask():
            asking.execute_command("ASKING")
            return asking.get(key)

        reply = background(ask)
        workers[1].answer(workers[1].take_one("echo"), "answered")
        assert reply.result(10) == "answered"
    finally:
        for node in (source, target):
            node.ask("CLUSTER", "SETSLOT", 11, "STABLE")


@pytest.mark.only("valkey")
def test_an_atomic_migration_carries_values_and_redirects_who_waits(
    cluster, workers, background, connect, eventually
):
    source, target = cluster.owner(0), cluster.owner(SLOTS - 1)
    stored, waited, text = key_of(0, 99), key_of(0, 99, number=1), key_of(0, 99, "text:")
    source.client.set(stored, "kept")
    source.client.set(text, "x")
    for item in workers[0].take("tokens"):
        workers[0].answer(item)
    waiting = background(connect(source.server).get, waited)
    eventually(lambda: source.client.info("keymiss")["keymiss_waiting"] == 1)
    held = workers[0].take_one("echo")

    source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 99, "NODE", target.id)
    cluster.wait(lambda: cluster.owner(0) is target)
    assert str(waiting.exception(10)).startswith("MOVED"), waiting
    # Its answer comes late: nothing is stored where the slot was.
    workers[0].answer(held, "late")
    assert source.ask("CLUSTER", "COUNTKEYSINSLOT", key_slot(waited.encode())) == 0
    assert target.client.get(stored) == "kept"
    # The keys came while nobody could read them: the follower is told to walk.
    events = workers[1].take("tokens")
    assert "overflow" in [item.event for item in events]
    again = background(connect(target.server).get, waited)
    workers[1].answer(workers[1].take_one("echo"), "answered")
    assert again.result(10) == "answered"

    target.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 99, "NODE", source.id)
    cluster.wait(lambda: cluster.owner(0) is source)
    assert source.client.get(stored) == "kept"
    assert key_slot(stored.encode()) <= 99 < HALF


@pytest.mark.only("valkey")
def test_functions_may_be_registered_during_an_atomic_migration(
    cluster, workers, raw_worker, eventually
):
    source, target, replica = cluster.owner(0), cluster.owner(SLOTS - 1), cluster.replica()
    pipeline = source.client.pipeline(transaction=False)
    for number in range(2_000):
        pipeline.set(f"{number}{{{key_of(200, 200)}}}", "x" * 100)
    pipeline.execute()
    source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 200, 299, "NODE", target.id)
    worker = raw_worker(source.server.port)
    worker.serve("more", "more:")
    with pytest.raises(valkey.ResponseError, match="KEYMISS migrating"):
        worker.client.execute_command("KEYMISS.FORGET", "more")
    cluster.wait(lambda: cluster.owner(200) is target)
    worker.die()
    # The replica of the source, whichever it is, has heard of it when the slots have gone.
    assert "more" in str(source.ask("KEYMISS.LIST"))
    eventually(lambda: "more" in str(replica.ask("KEYMISS.LIST")))

    def forgotten():
        with contextlib.suppress(valkey.ResponseError):
            return source.ask("KEYMISS.FORGET", "more") == 1

    eventually(forgotten)
    target.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 200, 299, "NODE", source.id)
    cluster.wait(lambda: cluster.owner(200) is source)


@pytest.mark.only("valkey")
def test_a_snapshot_and_a_migration_at_once_succeed(cluster, workers):
    source, target = cluster.owner(0), cluster.owner(SLOTS - 1)
    for _ in range(3):
        with contextlib.suppress(valkey.ResponseError):  # one is under way
            source.client.bgsave()
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 300, 399, "NODE", target.id)
        cluster.wait(lambda: cluster.owner(300) is target)
        target.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 300, 399, "NODE", source.id)
        cluster.wait(lambda: cluster.owner(300) is source)
