"""What a client has sent behind a GET that waits is executed when the wait ends, all of it."""

import socket
import threading

import pytest

from keymiss.server.embedded_server import LOOPBACK

MEGABYTE = 1 << 20
ROUNDS = 500
"""In which two clients unblock each other."""

COMMAND = b"*2\r\n$3\r\nGET\r\n$5\r\nother\r\n"
REPLY = b"$1\r\nx\r\n"


class Sender:
    """A connection that has asked for a missing key and sends on without waiting."""

    def __init__(self, port, key, size):
        self._connection = socket.create_connection((LOOPBACK, port))
        self._connection.settimeout(20)
        self.commands = size // len(COMMAND)
        miss = b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key)
        data = miss + COMMAND * self.commands
        threading.Thread(target=self._connection.sendall, args=(data,), daemon=True).start()

    def received(self, first):
        """All that comes, until every command has its reply or the connection is closed."""
        data, size = b"", len(first) + self.commands * len(REPLY)
        while len(data) < size and (part := self._connection.recv(MEGABYTE)):
            data += part
        self._connection.close()
        return data


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


ENDS = [answered, failed, written, timed_out, unblocked, forgotten]


@pytest.fixture
def waiting(server, worker, client, counters, eventually):
    """A sender of so many bytes, when the server has read them and it waits."""
    client.set("other", "x")

    def start(size, end):
        worker.serve("echo", "echo:", "TIMEOUT", 2500 if end is timed_out else 60_000)
        sender = Sender(server.port, b"echo:a", size)
        eventually(lambda: counters()["waiting"] == 1)
        eventually(lambda: sum(map(_unread, client.client_list())) > size * 0.9)
        return sender

    return start


def _waits(listed):
    return "b" in listed["flags"] and listed["cmd"].startswith(
        ("get", "keymiss.get", "KEYMISS.GET")
    )


def _unread(listed):
    return int(listed["qbuf"]) if _waits(listed) else 0


@pytest.mark.parametrize("end", ENDS)
def test_a_pipeline_behind_a_get_that_waits_is_executed(waiting, worker, client, end):
    sender = waiting(MEGABYTE, end)
    first = end(worker, client)
    assert sender.received(first) == first + REPLY * sender.commands


def test_who_is_unblocked_waits_anew_only_when_what_the_wait_has_taken_is_free(
    server, worker, client, counters, eventually
):
    with socket.create_connection((LOOPBACK, server.port)) as one:
        with socket.create_connection((LOOPBACK, server.port)) as other:
            pair = ((one, "echo:one"), (other, "echo:other"))
            numbers = [number_of(link) for link in (other, one)]
            for (link, key), number in zip(pair, numbers, strict=True):
                link.sendall(f"GET {key}\r\n".encode())
                link.sendall(f"CLIENT UNBLOCK {number}\r\nGET {key}\r\n".encode() * ROUNDS)
            eventually(lambda: sum(map(_unread, client.client_list())) > 50 * ROUNDS)
            client.client_unblock(numbers[1])
            eventually(lambda: counters()["waiting"] == 0)
            counted = counters()
            assert counted["misses"] > ROUNDS
            assert counted["timeouts"] < 100 < counted["busy"]
            one.sendall(b"GET echo:again\r\n")
            eventually(lambda: counters()["waiting"] == 1)


def number_of(link):
    link.sendall(b"CLIENT ID\r\n")
    return int(link.recv(100)[1:])
