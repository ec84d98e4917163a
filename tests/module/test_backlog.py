"""What is sent behind a GET that waits is executed in one go: too much of it is hung up on."""

import socket
import threading
import time

import pytest
import valkey

MEGABYTE = 1 << 20
TOO_MUCH = 24 * MEGABYTE
"""Takes longer than a turn may: a million commands."""

CUT = b"+OK\r\n"
"""The reply to QUIT, which stands in the place of a command."""

COMMAND = b"*2\r\n$3\r\nGET\r\n$5\r\nother\r\n"
REPLY = b"$1\r\nx\r\n"


class Sender:
    """A connection that has asked for a missing key and sends on without waiting."""

    def __init__(self, port, key, size):
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._connection.settimeout(20)
        self.commands = size // len(COMMAND)
        miss = b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key)
        data = miss + COMMAND * self.commands
        sending = (self._connection, data)
        threading.Thread(target=_send_all, args=sending, daemon=True).start()

    def received(self, first):
        """All that comes, until the connection is closed or every command has its reply."""
        data, size = b"", len(first) + self.commands * len(REPLY)
        try:
            while len(data) < size and (part := self._connection.recv(MEGABYTE)):
                data += part
        except ConnectionResetError:
            pass  # as closed
        self._connection.close()
        return data


def _send_all(connection, data):
    try:
        connection.sendall(data)
    except OSError:
        return  # hung up on


def answered(worker, client):
    worker.answer(worker.take_one(), "the answer")
    return b"$10\r\nthe answer\r\n"


def failed(worker, client):
    worker.fail(worker.take_one(), "ValueError: no")
    return b"-KEYMISS failed ValueError: no\r\n"


def written(worker, client):
    client.set("echo:a", "theirs")
    return b"$6\r\ntheirs\r\n"


def timed_out(worker, client):
    return b"-KEYMISS timeout no answer in time; ask again later (function 'echo')\r\n"


def unblocked(worker, client):
    (waiting,) = (each for each in client.client_list() if _waits(each))
    client.client_unblock(waiting["id"], error=True)
    return b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"


def forgotten(worker, client):
    client.execute_command("KEYMISS.FORGET", "echo")
    return (
        b"-KEYMISS forgotten the function was unregistered while you waited (function 'echo')\r\n"
    )


ENDS = [answered, failed, written, timed_out, forgotten]


@pytest.fixture
def waiting(server, worker, client, counters, eventually):
    """Senders of so many bytes each, which wait for one key, when the server has read all that."""
    client.set("other", "x")

    def start(*sizes, end=answered):
        worker.serve("echo", "echo:", "TIMEOUT", 4000 if end is timed_out else 60_000)
        senders = [Sender(server.port, b"echo:a", size) for size in sizes]
        eventually(lambda: counters()["waiting"] == len(sizes))
        deadline = time.monotonic() + 20
        while sum(map(_unread, client.client_list())) < sum(sizes) * 0.9:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return senders

    return start


def _waits(listed):
    return "b" in listed["flags"] and listed["cmd"].startswith(
        ("get", "keymiss.get", "KEYMISS.GET")
    )


def _unread(listed):
    return int(listed["qbuf"]) if _waits(listed) else 0


@pytest.mark.parametrize("end", ENDS)
def test_a_pipeline_behind_a_get_that_waits_is_executed(waiting, worker, client, end):
    (sender,) = waiting(MEGABYTE // 4, end=end)
    first = end(worker, client)
    assert sender.received(first) == first + REPLY * sender.commands


@pytest.mark.parametrize("end", [*ENDS, unblocked])
def test_who_has_sent_too_much_is_hung_up_on(waiting, worker, client, counters, eventually, end):
    (sender,) = waiting(TOO_MUCH, end=end)
    first = end(worker, client)
    received = sender.received(first)
    done = received.count(REPLY)
    assert received == first + REPLY * done + CUT
    assert MEGABYTE // 4 < done * len(COMMAND) < TOO_MUCH
    eventually(lambda: counters()["waiting"] == counters()["pending"] == 0)


def test_who_has_sent_little_or_has_not_waited_is_spared(server, waiting, worker, client):
    much, patient = waiting(TOO_MUCH, 0)
    pipeline = client.pipeline(transaction=False)
    for _ in range(50_000):
        pipeline.get("other")
    with valkey.Valkey(port=server.port, single_connection_client=True) as other:
        pipelining = threading.Thread(target=lambda: replies.extend(pipeline.execute()))
        replies = []
        pipelining.start()
        first = answered(worker, client)
        assert other.get("other") == b"x"
        pipelining.join()
    assert replies == ["x"] * 50_000
    assert patient.received(first) == first
    assert much.received(first).endswith(CUT)


def test_many_who_have_sent_much_share_a_turn(waiting, worker, client):
    senders = waiting(*[TOO_MUCH // 8] * 12)
    first = answered(worker, client)
    done = [sender.received(first).count(REPLY) for sender in senders]
    assert sum(done) * len(COMMAND) < TOO_MUCH


def test_what_stands_in_a_transaction_is_cut_like_any_other(server, waiting, worker, client):
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        link.settimeout(20)
        worker.serve()
        link.sendall(b"GET echo:a\r\nMULTI\r\n")
        item = worker.take_one()
        data = COMMAND * (TOO_MUCH // len(COMMAND))
        sending = threading.Thread(target=_send_all, args=(link, data), daemon=True)
        sending.start()
        sending.join(20)
        worker.answer(item, "x")
        received = b""
        while part := link.recv(MEGABYTE):
            received += part
    assert received.startswith(REPLY + CUT + b"+QUEUED\r\n")
    assert received.endswith(b"+QUEUED\r\n" + CUT)
