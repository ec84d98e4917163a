"""Everything at once, at random: the server lives, and all counters are back at their start.

STORM=600 makes it last ten minutes, SEED=7 repeats one.
"""

import os
import random
import socket
import sys
import threading
import time
import traceback

import pytest
import valkey

SECONDS = float(os.environ.get("STORM", "5"))
SEED = int(os.environ.get("SEED", str(random.randrange(10**6))))
KEYS = [f"echo:{number}" for number in range(20)]
EXPECTED = (
    *("KEYMISS ", "UNBLOCKED ", "WRONGTYPE ", "You can't write against a read only"),
    *("Connection closed", "Error ", "Protocol error", "Background ", "MASTERDOWN "),
    *("command not allowed when used memory",),
    *("Can't execute", "DENIED", "Command # 1 (DEL", "[Errno 32]", "[Errno 104]"),
    "Library not found",
)
"""How an error that a client may see begins; Error and Errno are not the server's."""


SETTINGS = [
    ("keymiss.max-pending-bytes", [0, 2_000, "256mb"]),
    ("keymiss.max-key-bytes", [3, 65_536]),
    ("keymiss.max-value-bytes", [3, "16mb"]),
    ("keymiss.max-stored-bytes", [0, 500, "1gb"]),
    ("keymiss.functions", ["named=named:", "echo=echo:", ""]),
    ("maxmemory", [1, 0, 0]),
]


class Storm:
    def __init__(self, port, raw_worker):
        self.port = port
        self.raw_worker = raw_worker
        self.over = threading.Event()
        self.unexpected = []

    def connect(self):
        client = valkey.Valkey(port=self.port, socket_timeout=30, single_connection_client=True)
        client.history = []  # keys and replies: tells a reply of another key from a late one
        return client

    def repeat(self, act, number):
        """Runs one kind of actor until the storm is over; each has a seed of its own."""
        chance = random.Random(f"{SEED}-{act.__name__}-{number}")
        while not self.over.is_set():
            try:
                with self.connect() as client:
                    left = chance.randrange(1, 40)
                    while left and not self.over.is_set():
                        act(client, chance)
                        left -= 1
            except Exception as error:
                expected = isinstance(error, (valkey.ValkeyError, OSError))
                if not expected or not str(error).startswith(EXPECTED):
                    self.unexpected.append(error)

    def ask(self, client, chance):
        key = chance.choice(KEYS)
        if chance.random() < 0.02:
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as subscribed:
                subscribed.sendall(f"HELLO 3\r\nSUBSCRIBE news\r\nGET {key}\r\n".encode())
                subscribed.recv(10_000)
            return
        if chance.random() < 0.1:
            client.history.append((key, "left"))
            client.connection.send_command("GET", key)
            time.sleep(chance.random() / 100)
            client.connection.disconnect()
            return
        try:
            value = client.get(key)
        except valkey.ResponseError as error:
            client.history.append((key, str(error)))
            return
        client.history.append((key, value))
        assert value in (None, key.encode(), b"theirs"), client.history[-6:]

    def write(self, client, chance):
        key = chance.choice(KEYS)
        action = chance.randrange(10)
        if action == 9 and chance.random() < 0.2:
            client.execute_command("SWAPDB", 0, chance.choice([0, 7]))
        elif action == 0:
            client.set(key, "theirs")
        elif action == 1:
            client.rpush(key, "x")
        elif action == 2:
            client.execute_command("KEYMISS.DROP", key)
        elif action == 3:
            client.pipeline(transaction=True).delete(key).get(key).execute()
        elif action == 4:
            client.eval("redis.call('DEL', KEYS[1]); return redis.call('GET', KEYS[1])", 1, key)
        elif action == 5:
            client.set(f"text:{chance.randrange(50)}", "x", px=chance.randrange(1, 50))
        elif action == 6 and chance.random() < 0.1:
            client.flushall(asynchronous=chance.random() < 0.5)
        else:
            client.unlink(*KEYS)

    def administer(self, client, chance):
        time.sleep(0.01)
        action = chance.randrange(10)
        ids = [each["id"] for each in client.client_list()]
        if action == 0:
            client.client_kill_filter(_id=chance.choice(ids), skipme=True)
        elif action in (1, 2):
            client.client_unblock(chance.choice(ids), error=chance.random() < 0.5)
        elif action == 3:
            client.info("keymiss")
            client.execute_command("KEYMISS.LIST")
        elif action == 4:
            setting, values = chance.choice(SETTINGS)
            client.config_set(setting, chance.choice(values))
        elif action == 5 and chance.random() < 0.2:
            client.client_pause(20, all=chance.random() < 0.5)
        elif action == 6 and chance.random() < 0.1:
            client.bgrewriteaof()
        elif action == 7 and chance.random() < 0.1:
            # A replica of nobody: what it holds stays, and it becomes a primary again.
            client.replicaof("127.0.0.1", 1)
            time.sleep(chance.random() / 50)
            client.execute_command("REPLICAOF", "NO", "ONE")
        elif action == 8 and chance.random() < 0.2:
            client.execute_command("KEYMISS.FORGET", chance.choice(["echo", "shared", "each"]))
        elif action == 9 and chance.random() < 0.2:
            client.execute_command("FUNCTION", *chance.choice([("FLUSH",), ("DELETE", "keymiss")]))

    def work(self, client, chance):
        worker = self.raw_worker(self.port)
        try:
            options = ["LEASE", chance.choice([20, 5000]), "TIMEOUT", chance.choice([10, 500])]
            if chance.random() < 0.5:
                options += ["CLEAN"]
            if chance.random() < 0.3:
                options += ["FORM", chance.choice(["echo:<key#>", "echo:1<key#>"])]
            options += ["PENDING", chance.choice([3, 1000]), "VERSION", chance.choice("ab")]
            worker.serve("echo", "echo:", *options, "CACHE", chance.choice(["off", 5, "forever"]))
            worker.serve("shared", "text:", "ON", "WRITE", "LEASE", 20, "PENDING", 5)
            worker.serve("each", "tex-", "ON", "WRITE", "EACH")
            for _ in range(chance.randrange(1, 30)):
                for item in worker.take("echo", "shared", "each", count=7, block=50):
                    self.settle(worker, item, chance)
        finally:
            worker.die()

    def settle(self, worker, item, chance):
        action = chance.randrange(12)
        if action == 0:
            time.sleep(0.03)
        if action == 1:
            worker.fail(item, "unlucky\r\n")
        elif action == 2:
            worker.die()
        elif item.event == "miss":
            worker.answer(item, item.key)
            if action == 3:
                assert worker.answer(item, item.key) == 0
        else:
            worker.answer(item)


def where_it_hangs(thread, client):
    """The stack of a thread, with what its innermost calls wait for, and what the server knows."""
    frame = sys._current_frames()[thread.ident]
    lines = [f"{thread.name} in {frame.f_code.co_name}: {str(frame.f_locals)[:500]}"]
    known = [*map(str, client.client_list()), str(client.info("keymiss"))]
    return "\n".join([*lines, *traceback.format_stack(frame)[-20:], *known])


@pytest.fixture
def calm(server):
    """Afterwards no setting, function or pause of the storm is left."""

    def restore():
        with valkey.Valkey(port=server.port) as client:
            client.client_unpause()
            client.execute_command("REPLICAOF", "NO", "ONE")
            for setting, values in SETTINGS:
                client.config_set(setting, values[-1])
            for name in ("echo", "shared", "each", "named"):
                client.execute_command("KEYMISS.FORGET", name)

    yield restore
    restore()


def test_the_server_lives_through_a_storm(server, client, raw_worker, counters, eventually, calm):
    print(f"SEED={SEED}")  # shown when it fails
    storm = Storm(server.port, raw_worker)
    actors = [storm.ask] * 8 + [storm.write] * 2 + [storm.work] * 3 + [storm.administer]
    threads = [
        threading.Thread(target=storm.repeat, args=(act, number))
        for number, act in enumerate(actors)
    ]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    storm.over.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), where_it_hangs(thread, client)
    assert storm.unexpected == []
    assert counters()["taken"] > 0
    calm()
    eventually(lambda: counters()["workers"] == 0)
    # With the last function the library has gone in which they are kept.
    library = ("FUNCTION", "LIST", "LIBRARYNAME", "keymiss")
    eventually(lambda: client.execute_command(*library) == [])
    left = counters()
    assert {left[name] for name in ("functions", "pending", "pending_bytes", "waiting")} == {0}
