"""DROP: the source of a key has changed; what was computed from the old one is not kept."""

import pytest
import valkey

pytestmark = pytest.mark.smoke


@pytest.fixture
def other(server):
    """A client beside the one that waits."""
    with valkey.Valkey(port=server.port, decode_responses=True) as client:
        yield client


def test_what_is_in_computation_is_answered_but_not_stored(client, other, worker, background):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    assert other.execute_command("KEYMISS.DROP", "echo:1") == 0
    assert worker.answer(item, "old") == 1
    assert reply.result(10) == "old"
    assert not client.exists("echo:1")


def test_who_asks_after_the_drop_gets_a_fresh_computation(
    client, other, worker, background, eventually
):
    early = background(client.get, "echo:1")
    old = worker.take_one()
    other.execute_command("KEYMISS.DROP", "echo:1")
    late = background(other.get, "echo:1")
    fresh = worker.take_one()
    assert fresh.id != old.id
    worker.answer(old, "old")
    assert early.result(10) == "old"
    assert not late.done()
    worker.answer(fresh, "fresh")
    assert late.result(10) == "fresh"
    eventually(lambda: other.get("echo:1") == "fresh")


def test_a_fresh_value_that_comes_first_answers_all_and_stays(client, other, worker, background):
    early = background(client.get, "echo:1")
    old = worker.take_one()
    other.execute_command("KEYMISS.DROP", "echo:1")
    late = background(other.get, "echo:1")
    worker.answer(worker.take_one(), "fresh")
    assert late.result(10) == "fresh"
    assert early.result(10) == "fresh"
    worker.answer(old, "old")
    assert other.get("echo:1") == "fresh"


def test_what_waits_to_be_stored_is_dropped_too(client, worker, server):
    # One packet: the server runs DROP and GET behind ANSWER, before it stores the value.
    with valkey.Valkey(port=server.port, single_connection_client=True) as asker:
        asker.connection.send_command("GET", "echo:1")
        item = worker.take_one()
        link = worker.client.connection
        commands = [("KEYMISS.ANSWER", item.id, "old"), ("KEYMISS.DROP", "echo:1")]
        link.send_packed_command(link.pack_commands(commands))
        assert [link.read_response(), link.read_response()] == [1, 0]
        assert asker.connection.read_response() == b"old"
    assert not client.exists("echo:1")


def test_what_nobody_has_taken_yet_is_computed_once(
    client, other, worker, background, counters, eventually
):
    early = background(client.get, "echo:1")
    eventually(lambda: counters()["pending"] == 1)
    other.execute_command("KEYMISS.DROP", "echo:1")
    late = background(other.get, "echo:1")
    eventually(lambda: counters()["waiting"] == 2)
    worker.answer(worker.take_one(), "fresh")
    assert (early.result(10), late.result(10)) == ("fresh", "fresh")
    eventually(lambda: other.exists("echo:1"))


def test_a_worker_that_began_before_the_drop_may_not_answer_what_was_queued_again(
    client, other, new_worker, background, counters, eventually
):
    slow, second = new_worker(), new_worker()
    slow.serve("echo", "echo:", "LEASE", 50)
    early = background(client.get, "echo:1")
    old = slow.take_one()
    eventually(lambda: counters()["requeued"] == 1)
    other.execute_command("KEYMISS.DROP", "echo:1")
    assert slow.answer(old, "old") == 0
    second.serve("echo", "echo:", "LEASE", 5000)
    second.answer(second.take_one(), "fresh")
    assert early.result(10) == "fresh"
    eventually(lambda: other.get("echo:1") == "fresh")


def test_stored_values_are_deleted(client, worker):
    client.mset({"echo:1": "x", "echo:2": "x"})
    assert client.execute_command("KEYMISS.DROP", "echo:1", "echo:2", "echo:3") == 2
    assert not client.exists("echo:1", "echo:2")


def test_somebody_elses_set_wakes_also_those_whose_computation_was_dropped(
    client, other, worker, background
):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    other.execute_command("KEYMISS.DROP", "echo:1")
    other.set("echo:1", "theirs")
    assert reply.result(10) == "theirs"
    worker.answer(item, "old")
    assert other.get("echo:1") == "theirs"


def test_a_client_that_waits_for_a_dropped_computation_gets_what_others_set(
    client, worker, background, counters, eventually
):
    dropped = background(client.get, "echo:1")
    item = worker.take_one()
    other = background(client.get, "echo:2")
    eventually(lambda: counters()["waiting"] == 2)
    client.execute_command("KEYMISS.DROP", "echo:1")
    client.set("echo:1", "mine")
    assert dropped.result(10) == "mine"
    client.set("echo:2", "mine, too")
    assert other.result(10) == "mine, too"
    assert worker.answer(item, "late") == 1
    eventually(lambda: counters()["waiting"] == 0)
