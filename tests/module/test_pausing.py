"""CLIENT PAUSE: reads are computed during a pause of writes, and nothing is written in it."""

import time

import pytest
import valkey


@pytest.fixture
def other(server):
    with valkey.Valkey(port=server.port, decode_responses=True) as client:
        yield client
        client.client_unpause()


def test_while_writes_are_paused_misses_are_answered_but_not_stored(
    client, other, worker, background, counters, eventually
):
    other.client_pause(10_000, all=False)
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"
    eventually(lambda: counters()["pending"] == 0)
    other.client_unpause()
    assert not client.exists("echo:1")


def test_a_pause_that_begins_between_answer_and_storing_is_kept(
    client, other, worker, server, counters, eventually
):
    with valkey.Valkey(port=server.port, single_connection_client=True) as asker:
        asker.connection.send_command("GET", "echo:1")
        item = worker.take_one()
        link = worker.client.connection
        commands = [("KEYMISS.ANSWER", item.id, "one"), ("CLIENT", "PAUSE", 10_000, "WRITE")]
        link.send_packed_command(link.pack_commands(commands))
        assert [link.read_response(), link.read_response()] == [1, "OK"]
        assert asker.connection.read_response() == b"one"
    eventually(lambda: counters()["pending"] == 0)
    assert not client.exists("echo:1")


def test_while_all_are_paused_everybody_waits_and_is_answered_after_it(
    client, other, worker, background
):
    other.client_pause(300, all=True)
    started = time.monotonic()
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"
    assert time.monotonic() - started > 0.25


def test_a_key_that_expires_during_a_pause_is_computed_never_nil(client, other, worker, background):
    client.set("echo:1", "old", px=250)
    other.client_pause(500, all=True)
    # The server has looked the key up before it holds the command back.
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "fresh")
    assert reply.result(10) == "fresh"


def test_registering_waits_for_the_end_of_the_pause(client, other, new_worker, background):
    worker = new_worker()
    other.client_pause(300, all=False)
    serving = background(worker.serve)
    time.sleep(0.1)
    assert not serving.done()
    serving.result(10)
