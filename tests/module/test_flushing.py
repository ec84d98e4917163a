"""FLUSHALL, FLUSHDB and SWAPDB end what waits, and nothing from before comes back."""

import pytest
import valkey

pytestmark = pytest.mark.smoke


@pytest.fixture
def other(server):
    with valkey.Valkey(port=server.port, decode_responses=True) as client:
        yield client


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "FLUSHALL ASYNC", "FLUSHDB", "SWAPDB 0 5", "SWAPDB 5 0"]
)
def test_who_waits_is_told_at_once(client, other, worker, background, counters, command):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    other.execute_command(*command.split())
    with pytest.raises(valkey.ResponseError, match="KEYMISS flushed .*'echo'"):
        reply.result(1)
    assert worker.answer(item, "old") == 0
    assert other.dbsize() == 0
    assert counters()["pending"] == 0


@pytest.mark.parametrize("command", ["FLUSHDB", "SWAPDB 3 5"])
def test_other_databases_are_none_of_its_business(server, client, worker, background, command):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with valkey.Valkey(port=server.port, db=3) as third:
        third.execute_command(*command.split())
    worker.answer(item, "one")
    assert reply.result(10) == "one"


def test_a_flush_between_the_answer_and_its_storing_leaves_nothing(
    client, worker, server, counters
):
    with valkey.Valkey(port=server.port, single_connection_client=True) as asker:
        asker.connection.send_command("GET", "echo:1")
        item = worker.take_one()
        link = worker.client.connection
        commands = [("KEYMISS.ANSWER", item.id, "old"), ("FLUSHALL",)]
        link.send_packed_command(link.pack_commands(commands))
        assert [link.read_response(), link.read_response()] == [1, "OK"]
        assert asker.connection.read_response() == b"old"
    assert not client.exists("echo:1")
    assert (counters()["answered"], counters()["failed"]) == (1, 0)


@pytest.mark.parametrize("command", ["FLUSHALL", "SWAPDB 0 5"])
def test_followers_of_writes_are_told_to_walk(client, new_worker, command):
    follower = new_worker()
    follower.serve("tokens", "text:", "ON", "WRITE")
    client.execute_command(*command.split())
    assert follower.take_one("tokens").event == "overflow"
