"""Client-side caching: a client hears of its value before it hears that the value has changed."""

import contextlib
import random
import socket
import threading
import time

import pytest
import valkey


@pytest.fixture
def connect(server):
    links = []

    def make():
        links.append(socket.create_connection(("127.0.0.1", server.port), timeout=3))
        return links[-1]

    yield make
    for link in links:
        link.close()


def read_until(link, end):
    received = b""
    while end not in received:
        received += link.recv(4096)
    return received


def ask(link, *commands):
    link.sendall(b"".join(b"%s\r\n" % command for command in commands))


def test_resp3_gets_the_value_and_then_the_invalidation(connect, worker):
    # Were the value stored first, the push would come before the reply and the copy stay stale.
    tracking = connect()
    ask(tracking, b"HELLO 3", b"CLIENT TRACKING ON")
    read_until(tracking, b"+OK\r\n")
    ask(tracking, b"GET echo:1")
    worker.answer(worker.take_one(), "one")
    received = read_until(tracking, b"echo:1\r\n")
    assert received.index(b"$3\r\none\r\n") < received.index(b"invalidate")


def test_resp2_gets_the_value_and_the_invalidation_on_the_other_connection(connect, worker):
    listening, tracking = connect(), connect()
    ask(listening, b"CLIENT ID")
    id = read_until(listening, b"\r\n").strip(b":\r\n")
    ask(listening, b"SUBSCRIBE __redis__:invalidate")
    read_until(listening, b":1\r\n")
    ask(tracking, b"CLIENT TRACKING ON REDIRECT " + id)
    read_until(tracking, b"+OK\r\n")
    ask(tracking, b"GET echo:1")
    worker.answer(worker.take_one(), "one")
    assert read_until(tracking, b"\r\none\r\n") == b"$3\r\none\r\n"
    assert b"echo:1" in read_until(listening, b"echo:1\r\n")


def test_a_hit_is_tracked_like_any_get(connect, client, worker, background, eventually):
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    reply.result(10)
    eventually(lambda: client.exists("echo:1"))
    tracking = connect()
    ask(tracking, b"HELLO 3", b"CLIENT TRACKING ON")
    read_until(tracking, b"+OK\r\n")
    ask(tracking, b"GET echo:1")
    read_until(tracking, b"\r\none\r\n")
    client.execute_command("KEYMISS.DROP", "echo:1")
    assert b"echo:1" in read_until(tracking, b"echo:1\r\n")


def test_broadcasting_clients_hear_of_stored_values(connect, client, worker, background):
    tracking = connect()
    ask(tracking, b"HELLO 3", b"CLIENT TRACKING ON BCAST PREFIX echo:")
    read_until(tracking, b"+OK\r\n")
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"
    assert b"echo:1" in read_until(tracking, b"echo:1\r\n")


def test_a_nil_answer_is_no_change(connect, worker):
    tracking = connect()
    ask(tracking, b"HELLO 3", b"CLIENT TRACKING ON")
    read_until(tracking, b"+OK\r\n")
    ask(tracking, b"GET echo:1")
    worker.answer(worker.take_one())
    assert read_until(tracking, b"\r\n") == b"_\r\n"
    time.sleep(0.05)
    tracking.setblocking(False)
    with pytest.raises(BlockingIOError):
        tracking.recv(100)


def test_an_answer_that_nobody_waits_for_is_stored_behind_the_replies_of_its_turn(
    connect, client, worker, eventually
):
    tracking, leaving = connect(), connect()
    ask(tracking, b"HELLO 3", b"CLIENT TRACKING ON")
    read_until(tracking, b"+OK\r\n")
    ask(tracking, b"GET echo:1")
    before = worker.take_one()
    client.execute_command("KEYMISS.DROP", "echo:1")
    ask(leaving, b"GET echo:1")
    after = worker.take_one()
    leaving.close()
    eventually(lambda: client.info("keymiss")["keymiss_waiting"] == 1)
    both = worker.client.pipeline(transaction=False)
    both.execute_command("KEYMISS.ANSWER", before.id, "before")
    both.execute_command("KEYMISS.ANSWER", after.id, "after")
    assert both.execute() == [1, 1]
    received = read_until(tracking, b"echo:1\r\n")
    assert received.index(b"before") < received.index(b"invalidate")
    assert client.get("echo:1") == "after"


def test_the_order_is_kept_while_other_values_are_being_stored(connect, server, raw_worker):
    # A timer that stores is always pending: it must leave alone what was answered after it was set.
    stop = threading.Event()

    workers = [raw_worker(server.port) for _ in range(2)]
    for worker in workers:
        worker.serve()

    def work(worker):
        while not stop.is_set():
            for item in worker.take(block=50):
                worker.answer(item, "value")
        worker.die()

    def ask():
        with valkey.Valkey(port=server.port) as client:
            while not stop.is_set():
                with contextlib.suppress(valkey.ResponseError):  # the workers have ended
                    client.get(f"echo:noise:{random.random()}")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    threads += [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        tracking = connect()
        ask_for = b"HELLO 3\r\nCLIENT TRACKING ON\r\n"
        tracking.sendall(ask_for)
        read_until(tracking, b"+OK\r\n")
        for number in range(200):
            key = b"echo:%d\r\n" % number
            tracking.sendall(b"GET " + key)
            received = read_until(tracking, key)
            assert received.index(b"value") < received.index(b"invalidate")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
