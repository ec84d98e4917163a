"""No client hangs: timeouts, no worker, a full queue, clients that leave."""

import time

import pytest
import valkey

pytestmark = pytest.mark.smoke


def test_a_slow_computation_is_a_timeout_and_its_late_result_is_cached(
    client, new_worker, background, eventually
):
    worker = new_worker()
    worker.serve("echo", "echo:", "TIMEOUT", 100)
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with pytest.raises(valkey.ResponseError, match="KEYMISS timeout .*'echo'"):
        reply.result(10)
    assert worker.answer(item, "late") == 1
    eventually(lambda: client.exists("echo:1"))
    assert client.get("echo:1") == "late"


def test_what_nobody_waits_for_and_nobody_has_taken_is_dropped(
    client, new_worker, background, counters
):
    worker = new_worker()
    worker.serve("echo", "echo:", "TIMEOUT", 50)
    with pytest.raises(valkey.ResponseError, match="KEYMISS timeout"):
        client.get("echo:1")
    assert counters()["pending"] == 0
    assert worker.take(block=0) == []


def test_without_a_worker_for_a_second_a_miss_fails_at_once(client, worker):
    worker.die()
    time.sleep(1.1)
    started = time.monotonic()
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable .*'echo'"):
        client.get("echo:1")
    assert time.monotonic() - started < 0.5


def test_a_miss_waits_for_a_second_for_a_worker_to_come_back(
    client, worker, new_worker, background
):
    worker.die()
    reply = background(client.get, "echo:1")
    successor = new_worker()
    successor.serve()
    successor.answer(successor.take_one(), "one")
    assert reply.result(10) == "one"


def test_waiters_are_told_when_no_worker_comes(client, worker, background):
    worker.die()
    started = time.monotonic()
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
        client.get("echo:1")
    assert time.monotonic() - started < 2


def test_a_full_queue_refuses_at_once(server, client, new_worker, background, counters, eventually):
    worker = new_worker()
    worker.serve("echo", "echo:", "PENDING", 2)
    waiting = [
        background(valkey.Valkey(port=server.port, decode_responses=True).get, f"echo:{i}")
        for i in range(2)
    ]
    eventually(lambda: counters()["pending"] == 2)
    with pytest.raises(valkey.ResponseError, match="KEYMISS busy .*'echo'"):
        client.get("echo:more")
    for item in worker.take():
        worker.answer(item, "done")
    assert [reply.result(10) for reply in waiting] == ["done", "done"]
    assert counters()["busy"] == 1


def test_a_client_that_leaves_frees_its_place(server, worker, counters, eventually):
    leaving = valkey.Valkey(port=server.port, single_connection_client=True)
    leaving.connection.send_command("GET", "echo:1")
    eventually(lambda: counters()["waiting"] == 1)
    leaving.connection.disconnect()
    eventually(lambda: counters()["waiting"] == 0)
    assert counters()["pending"] == 0


def test_a_client_that_leaves_does_not_disturb_the_others(
    server, client, worker, background, counters, eventually
):
    leaving = valkey.Valkey(port=server.port, single_connection_client=True)
    leaving.connection.send_command("GET", "echo:1")
    reply = background(client.get, "echo:1")
    eventually(lambda: counters()["waiting"] == 2)
    leaving.connection.disconnect()
    eventually(lambda: counters()["waiting"] == 1)
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"


def test_client_unblock_ends_the_wait(server, client, worker, counters, eventually):
    with valkey.Valkey(port=server.port, single_connection_client=True) as waiting:
        id = waiting.client_id()
        waiting.connection.send_command("GET", "echo:1")
        eventually(lambda: counters()["waiting"] == 1)
        client.client_unblock(id, error=True)
        with pytest.raises(valkey.ResponseError, match="UNBLOCKED"):
            waiting.connection.read_response()
    eventually(lambda: counters()["waiting"] == 0)


def test_forgetting_a_function_tells_those_who_wait(
    client, server, worker, background, counters, eventually
):
    reply = background(client.get, "echo:1")
    eventually(lambda: counters()["waiting"] == 1)
    with valkey.Valkey(port=server.port) as admin:
        assert admin.execute_command("KEYMISS.FORGET", "echo") == 1
        assert admin.execute_command("KEYMISS.FORGET", "echo") == 0
    with pytest.raises(valkey.ResponseError, match="KEYMISS forgotten"):
        reply.result(10)
    assert client.get("echo:1") is None
    assert counters()["failed"] == 1


@pytest.fixture
def subscribed(server):
    """A RESP3 connection that listens to a channel, which may send other commands all the same."""
    with valkey.Valkey(port=server.port, protocol=3, single_connection_client=True) as client:
        link = client.connection
        link.send_command("SUBSCRIBE", "news")
        link.read_response(push_request=True)
        yield link
        link.disconnect()


REFUSED = "KEYMISS refused a subscribed connection cannot wait"


def reply_or_refusal(link):
    """Redis lets such a connection wait, Valkey 9 does not."""
    try:
        return link.read_response()
    except valkey.ResponseError as error:
        return str(error)[: len(REFUSED)]


def test_a_subscribed_connection_is_answered_or_told_that_it_cannot_wait(
    subscribed, worker, counters, eventually
):
    subscribed.send_packed_command(subscribed.pack_commands([("GET", "echo:1"), ("ECHO", "sync")]))
    for item in worker.take(block=200):
        worker.answer(item, "one")
    assert reply_or_refusal(subscribed) in (b"one", REFUSED)
    assert subscribed.read_response() == b"sync"
    eventually(lambda: (counters()["waiting"], counters()["pending"]) == (0, 0))


def test_a_subscribed_worker_that_would_have_to_wait_does_not_hurt_the_server(subscribed, client):
    subscribed.send_command("KEYMISS.SERVE", "echo", "ON", "MISS", "PREFIX", "echo:")
    subscribed.read_response()
    subscribed.send_command("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 100, "echo")
    assert reply_or_refusal(subscribed) in ([], REFUSED)
    assert client.ping()
