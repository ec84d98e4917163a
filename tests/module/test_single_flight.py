"""Many clients that ask for the same missing key cost one computation."""

import pytest
import valkey

pytestmark = pytest.mark.smoke


def test_fifty_clients_share_one_computation(
    client, server, worker, background, counters, eventually
):
    clients = [valkey.Valkey(port=server.port) for _ in range(50)]
    replies = [background(each.get, "echo:same") for each in clients]
    eventually(lambda: counters()["waiting"] == 50)
    item = worker.take_one()
    worker.answer(item, "shared")
    assert {reply.result(10) for reply in replies} == {b"shared"}
    seen = counters()
    assert (seen["taken"], seen["joined"], seen["misses"]) == (1, 49, 50)
    assert (seen["pending"], seen["waiting"]) == (0, 0)


def test_a_get_between_the_answer_and_its_storing_is_not_computed_again(client, worker, server):
    # One packet: the server runs GET right behind ANSWER, before it stores the value.
    with valkey.Valkey(port=server.port, single_connection_client=True) as asker:
        connection = asker.connection
        connection.send_command("GET", "echo:1")
        item = worker.take_one()
        link = worker.client.connection
        packed = link.pack_commands([("KEYMISS.ANSWER", item.id, "one"), ("GET", "echo:1")])
        link.send_packed_command(packed)
        assert [link.read_response(), link.read_response()] == [1, "one"]
        assert connection.read_response() == b"one"
    assert worker.take(block=0) == []


def test_different_keys_travel_in_one_batch(
    client, server, worker, background, counters, eventually
):
    clients = [valkey.Valkey(port=server.port) for _ in range(20)]
    replies = [background(each.get, f"echo:{i}") for i, each in enumerate(clients)]
    eventually(lambda: counters()["pending"] == 20)
    items = worker.take()
    assert len(items) == 20
    for item in items:
        worker.answer(item, item.key)
    assert {reply.result(10) for reply in replies} == {f"echo:{i}".encode() for i in range(20)}


def test_a_worker_of_several_functions_leaves_to_others_what_it_did_not_take(
    server, client, new_worker, taking
):
    both, second = new_worker(), new_worker()
    both.serve("first", "first:")
    for worker in (both, second):
        worker.serve("second", "second:")
    parked = taking(both, client, "first", "second", count=1)
    waiting = taking(second, client, "second")
    askers = [valkey.Valkey(port=server.port, single_connection_client=True) for _ in range(2)]
    # Both are held back and run in one turn of the loop, in which the first worker is woken once.
    client.client_pause(200, all=True)
    for asker, key in zip(askers, ("second:1", "first:1"), strict=True):
        asker.connection.send_command("GET", key)
    taken = [item for reply in (parked, waiting) for item in reply.result(10)]
    assert sorted(item.key for item in taken) == ["first:1", "second:1"]
    for asker in askers:
        asker.connection.disconnect()


def test_a_flood_of_one_function_does_not_starve_another_in_the_same_take(
    client, new_worker, background, counters, eventually
):
    worker = new_worker()
    worker.serve("flood", "flood:")
    worker.serve("calm", "calm:")
    asked = [background(client.get, f"flood:{number}") for number in range(20)]
    asked.append(background(client.get, "calm:1"))
    eventually(lambda: counters()["waiting"] == 21)
    taken = [item for _ in range(2) for item in worker.take("flood", "calm", count=2)]
    assert "calm:1" in [item.key for item in taken]
    for item in [*taken, *worker.take("flood", "calm")]:
        worker.answer(item, "x")
    assert {reply.result(10) for reply in asked} == {"x"}


def test_a_turn_is_not_lost_to_another_take_of_the_same_worker(
    client, new_worker, background, counters, eventually
):
    worker = new_worker()
    for name in ("flood", "calm", "idle", "quiet"):
        worker.serve(name, f"{name}:")
    asked = [background(client.get, f"flood:{number}") for number in range(20)]
    asked.append(background(client.get, "calm:1"))
    eventually(lambda: counters()["waiting"] == 21)
    taken = []
    for _ in range(3):
        taken += worker.take("flood", "calm", count=2)
        assert worker.take("idle", "quiet", block=0) == []
    assert "calm:1" in [item.key for item in taken]
    for item in [*taken, *worker.take("flood", "calm")]:
        worker.answer(item, "x")
    assert {reply.result(10) for reply in asked} == {"x"}
