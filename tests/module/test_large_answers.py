"""A large value for many clients is handed over in several turns of the event loop."""

import pytest
import valkey

pytestmark = pytest.mark.smoke

LARGE = "x" * 2_000_000
ASKERS = 9


@pytest.fixture
def ask(server, counters, eventually):
    """Lets connections wait for one key."""
    clients = [
        valkey.Valkey(port=server.port, single_connection_client=True) for _ in range(ASKERS)
    ]

    def waiting_connections(waiting=0):
        for client in clients:
            client.connection.send_command("GET", "echo:1")
        eventually(lambda: counters()["waiting"] == ASKERS + waiting)
        return [client.connection for client in clients]

    yield waiting_connections
    for client in clients:
        client.close()


@pytest.fixture
def askers(worker, ask):
    return ask()


def answer_and(worker, *command):
    """Answers and runs the command in one packet."""
    link = worker.client.connection
    answer = ("KEYMISS.ANSWER", worker.take_one().id, LARGE)
    link.send_packed_command(link.pack_commands([answer, command]))
    assert link.read_response() == 1
    return link.read_response()


def answer_in_one_turn_with(worker, *command):
    """The same in one turn of the event loop, also where the packet is read in two."""
    turn = worker.client.pipeline(transaction=True)
    turn.execute_command("KEYMISS.ANSWER", worker.take_one().id, LARGE)
    answered, reply = turn.execute_command(*command).execute()
    assert answered == 1
    return reply


def test_one_turn_tells_some_of_many_clients_and_the_next_turns_the_rest(
    client, worker, askers, eventually
):
    info = answer_in_one_turn_with(worker, "INFO", "keymiss")
    assert 0 < info["keymiss_waiting"] < ASKERS
    assert {link.read_response() for link in askers} == {LARGE.encode()}
    eventually(lambda: client.strlen("echo:1") == len(LARGE))


def test_two_answers_in_one_turn_share_what_it_hands_over(
    server, worker, askers, counters, eventually
):
    with valkey.Valkey(port=server.port, single_connection_client=True) as other:
        other.connection.send_command("GET", "echo:2")
        eventually(lambda: counters()["waiting"] == ASKERS + 1)
        first, second = worker.take()
        turn = worker.client.pipeline(transaction=True)
        turn.execute_command("KEYMISS.ANSWER", first.id, LARGE)
        turn.execute_command("KEYMISS.ANSWER", second.id, LARGE)
        turn.info("keymiss")
        *answered, info = turn.execute()
        assert answered == [1, 1]
        # Two copies are within one turn's bytes, the third goes beyond, and that is all.
        assert info["keymiss_waiting"] == ASKERS + 1 - 3
        assert {link.read_response() for link in askers} == {LARGE.encode()}
        assert other.connection.read_response() == LARGE.encode()


def test_who_asks_meanwhile_gets_the_value_too(worker, askers):
    assert answer_and(worker, "GET", "echo:1") == LARGE
    assert {link.read_response() for link in askers} == {LARGE.encode()}


def test_a_key_that_is_dropped_meanwhile_is_answered_and_not_stored(
    client, worker, askers, counters, eventually
):
    assert answer_in_one_turn_with(worker, "KEYMISS.DROP", "echo:1") == 0
    assert {link.read_response() for link in askers} == {LARGE.encode()}
    eventually(lambda: counters()["pending"] == 0)
    assert not client.exists("echo:1")


def test_what_is_not_cached_reaches_all_who_wait_and_nobody_else(
    client, new_worker, ask, counters, eventually
):
    worker = new_worker()
    worker.serve("echo", "echo:", "CACHE", "off")
    askers = ask()
    answer_and(worker, "PING")
    assert {link.read_response() for link in askers} == {LARGE.encode()}
    eventually(lambda: counters()["pending"] == 0)
    assert not client.exists("echo:1")
    askers[0].send_command("GET", "echo:1")
    worker.answer(worker.take_one(), "computed anew")
    assert askers[0].read_response() == b"computed anew"


def test_who_asked_before_a_drop_is_told_in_the_first_turn(server, client, worker, ask):
    with valkey.Valkey(port=server.port, single_connection_client=True) as first:
        number = first.client_id()
        first.connection.send_command("GET", "echo:1")
        worker.take_one()
        client.execute_command("KEYMISS.DROP", "echo:1")
        askers = ask(waiting=1)
        # Behind the answer, in the same turn: to unblock a client that has been told does nothing.
        answer_and(worker, "CLIENT", "UNBLOCK", number, "ERROR")
        assert first.connection.read_response() == LARGE.encode()
        assert {link.read_response() for link in askers} == {LARGE.encode()}


def test_a_client_that_leaves_meanwhile_holds_up_nobody(client, worker, askers, eventually):
    answer_and(worker, "PING")
    askers[-1].disconnect()
    assert {link.read_response() for link in askers[:-1]} == {LARGE.encode()}
    eventually(lambda: client.strlen("echo:1") == len(LARGE))
