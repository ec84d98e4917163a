"""Workers die and hang; their items find another worker, and a deadly item ends as an error."""

import time

import pytest
import valkey


def test_the_items_of_a_dead_worker_go_to_the_next_one(client, worker, new_worker, background):
    reply = background(client.get, "echo:1")
    worker.take_one()
    second = new_worker()
    second.serve()
    started = time.monotonic()
    worker.die()
    second.answer(second.take_one(), "saved")
    assert reply.result(10) == "saved"
    assert time.monotonic() - started < 1


def test_items_that_cost_a_worker_are_handed_out_one_at_a_time(
    server, worker, new_worker, background, counters, eventually
):
    replies = [background(valkey.Valkey(port=server.port).get, f"echo:{i}") for i in range(3)]
    eventually(lambda: counters()["pending"] == 3)
    assert len(worker.take()) == 3
    worker.die()
    second = new_worker()
    second.serve()
    for _ in range(3):
        second.answer(second.take_one(), "saved")
    assert {reply.result(10) for reply in replies} == {b"saved"}


def test_an_item_that_has_cost_three_workers_is_an_error(client, worker, new_worker, background):
    reply = background(client.get, "echo:1")
    worker.take_one()
    worker.die()
    for _ in range(2):
        successor = new_worker()
        successor.serve()
        successor.take_one()
        successor.die()
    with pytest.raises(valkey.ResponseError, match="KEYMISS failed WorkerLost: three workers"):
        reply.result(10)


def test_a_hanging_worker_loses_its_item_when_its_lease_ends(client, new_worker, background):
    hanging = new_worker()
    hanging.serve("echo", "echo:", "LEASE", 100)
    reply = background(client.get, "echo:1")
    late = hanging.take_one()
    second = new_worker()
    second.serve("echo", "echo:", "LEASE", 100)
    item = second.take_one()
    assert item.key == "echo:1"
    second.answer(item, "second")
    assert reply.result(10) == "second"
    assert hanging.answer(late, "first") == 0


def test_a_late_answer_before_the_second_one_is_welcome(client, new_worker, background):
    hanging = new_worker()
    hanging.serve("echo", "echo:", "LEASE", 100)
    reply = background(client.get, "echo:1")
    late = hanging.take_one()
    second = new_worker()
    second.serve("echo", "echo:", "LEASE", 100)
    item = second.take_one()
    assert hanging.answer(late, "first") == 1
    assert reply.result(10) == "first"
    assert second.answer(item, "second") == 0


def test_a_parked_worker_that_dies_is_forgotten(worker, server, counters, eventually):
    link = worker.client.connection
    link.send_command("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 60000, "echo")
    eventually(lambda: counters()["workers"] == 1)
    link.disconnect()
    eventually(lambda: counters()["workers"] == 0)


def test_a_worker_whose_take_is_unblocked_can_take_again(
    client, server, worker, background, eventually
):
    id = worker.client.client_id()
    reply = background(worker.take, block=60000)
    eventually(lambda: client.client_unblock(id))
    assert reply.result(10) == []
    asked = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert asked.result(10) == "one"


def test_what_a_worker_leaves_behind_wakes_the_next_one(
    client, server, worker, new_worker, background, counters, eventually
):
    replies = [background(valkey.Valkey(port=server.port).get, f"echo:{i}") for i in range(3)]
    eventually(lambda: counters()["pending"] == 3)
    worker.take()
    others = [new_worker() for _ in range(3)]
    for other in others:
        other.serve()
    taking = [background(other.take, block=10_000) for other in others]
    eventually(lambda: sum(c["flags"] == "b" for c in client.client_list()) == 6)
    # Items that cost a worker are handed out one at a time: each of the three gets one.
    worker.die()
    for other, items in zip(others, taking, strict=True):
        (item,) = items.result(10)
        other.answer(item, "saved")
    assert [reply.result(10) for reply in replies] == [b"saved"] * 3


def test_a_superseded_version_may_not_answer_what_it_held_before_its_lease_ended(
    client, new_worker, background, counters, eventually
):
    old, new = new_worker(), new_worker()
    old.serve("echo", "echo:", "VERSION", "1", "LEASE", 50)
    reply = background(client.get, "echo:1")
    item = old.take_one()
    eventually(lambda: counters()["requeued"] == 1)
    new.serve("echo", "echo:", "VERSION", "2")
    assert old.answer(item, "old") == 0
    new.answer(new.take_one(), "new")
    assert reply.result(10) == "new"


def test_a_shortened_lease_holds_for_what_is_held_already(client, new_worker, background):
    first = new_worker()
    first.serve("echo", "echo:", "LEASE", 60_000)
    reply = background(client.get, "echo:1")
    first.take_one()
    second = new_worker()
    second.serve("echo", "echo:", "LEASE", 50)
    second.answer(second.take_one(), "saved")
    assert reply.result(10) == "saved"


def test_a_lease_ends_on_time(client, new_worker, background):
    hanging, second = new_worker(), new_worker()
    for worker in (hanging, second):
        worker.serve("echo", "echo:", "LEASE", 30)
    reply = background(client.get, "echo:1")
    hanging.take_one()
    taken = time.monotonic()
    item = second.take_one()
    assert 0.02 < time.monotonic() - taken < 0.08
    second.answer(item, "saved")
    assert reply.result(10) == "saved"


def test_items_whose_leases_end_together_keep_their_order(
    server, new_worker, background, counters, eventually
):
    hanging = new_worker()
    hanging.serve("echo", "echo:", "LEASE", 50)
    replies = []
    for number in range(5):
        replies.append(background(valkey.Valkey(port=server.port).get, f"echo:{number}"))
        eventually(lambda: counters()["pending"] == len(replies))
    assert len(hanging.take()) == 5
    eventually(lambda: counters()["requeued"] == 5)
    second = new_worker()
    second.serve("echo", "echo:", "LEASE", 5000)
    for number in range(5):
        item = second.take_one()
        assert item.key == f"echo:{number}"
        second.answer(item, "saved")
    assert {reply.result(10) for reply in replies} == {b"saved"}
