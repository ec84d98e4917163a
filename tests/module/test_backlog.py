"""What is sent behind a GET that waits is executed in one go: too much of it is hung up on."""

import socket
import threading

import pytest
import valkey

MEGABYTE = 1 << 20
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
        threading.Thread(target=self._send, args=(data,), daemon=True).start()

    def _send(self, data):
        try:
            self._connection.sendall(data)
        except OSError:
            return  # hung up on

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
        worker.serve("echo", "echo:", "TIMEOUT", 1000 if end is timed_out else 10_000)
        senders = [Sender(server.port, b"echo:a", size) for size in sizes]
        eventually(lambda: counters()["waiting"] == len(sizes))
        eventually(lambda: sum(map(_unread, client.client_list())) > sum(sizes) * 0.9)
        return senders

    return start


def _unread(listed):
    return int(listed["qbuf"]) if "b" in listed["flags"] else 0


@pytest.mark.parametrize("end", ENDS)
def test_a_pipeline_behind_a_get_that_waits_is_executed(waiting, worker, client, end):
    (sender,) = waiting(MEGABYTE, end=end)
    first = end(worker, client)
    assert sender.received(first) == first + REPLY * sender.commands


@pytest.mark.parametrize("end", ENDS)
def test_who_has_sent_too_much_is_hung_up_on(waiting, worker, client, counters, eventually, end):
    sender, patient = waiting(8 * MEGABYTE, 0, end=end)
    first = end(worker, client)
    assert sender.received(first).count(REPLY) <= 1
    assert patient.received(first) == first
    eventually(lambda: counters()["waiting"] == counters()["pending"] == 0)


def test_many_who_have_sent_much_share_the_room(waiting, worker, client):
    senders = waiting(*[MEGABYTE] * 12)
    first = answered(worker, client)
    whole = [sender.received(first) == first + REPLY * sender.commands for sender in senders]
    assert 3 <= sum(whole) < 12


def test_a_short_wait_is_not_looked_at(server, worker, client):
    calls = client.info("commandstats").get("cmdstat_client|list", {"calls": 0})["calls"]
    with valkey.Valkey(port=server.port, single_connection_client=True) as asking:
        for number in range(20):
            asking.connection.send_command("GET", f"echo:{number}")
            worker.answer(worker.take_one(), "x")
            assert asking.connection.read_response() == b"x"
    looked = client.info("commandstats").get("cmdstat_client|list", {"calls": 0})["calls"] - calls
    assert looked < 20
