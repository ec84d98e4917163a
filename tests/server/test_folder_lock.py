"""One folder, one server: whoever starts it, and however it ends."""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import valkey

from keymiss.errors import SetupError
from keymiss.server.embedded_server import EmbeddedServer, free_port
from keymiss.server.folder_lock import holders_of, locked_folder

ROUNDS = 100
FORK = multiprocessing.get_context("fork")


def test_a_second_server_on_a_folder_is_told_who_has_it(tmp_path):
    with EmbeddedServer(tmp_path, free_port()) as server:
        with pytest.raises(SetupError, match=rf"in use by process {server.pid} \(.*valkey-server"):
            EmbeddedServer(tmp_path, free_port()).start()
    with EmbeddedServer(tmp_path, free_port()):
        pass


def test_keymiss_serve_beside_the_orphan_of_a_killed_one_ends_with_its_name(tmp_path):
    orphan = EmbeddedServer(tmp_path / "keymiss-data", free_port())
    with orphan:
        pid = orphan.pid
        ports = ("--port", str(free_port()), "--http-port", str(free_port()))
        done = subprocess.run(
            [sys.executable, "-m", "keymiss", "serve", *ports],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=30,
        )
    assert done.returncode == 2
    assert f"in use by process {pid} " in done.stderr


def test_a_child_that_a_killed_server_leaves_is_waited_for(tmp_path):
    server = EmbeddedServer(tmp_path, free_port())
    server.start()
    with valkey.Valkey(port=server.port) as client:
        client.config_set("rdb-key-save-delay", 100)  # microseconds a key
        client.mset({f"key:{number}": "x" for number in range(4000)})
        client.bgsave()
    os.kill(server.pid, signal.SIGKILL)
    with EmbeddedServer(tmp_path, free_port()) as next_one:
        with valkey.Valkey(port=next_one.port) as client:
            assert client.dbsize() == 4000
    server.stop()


def hold_among_files_that_come_and_go(folder, pipe):
    """A holder that opens and closes other files all the time, as a server does while it starts."""
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    with locked_folder(folder):  # its descriptor is listed after all the others
        pipe.send(os.getpid())
        while True:
            for descriptor in others:
                os.close(descriptor)
            others = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]


# Python 3.12 warns of a fork beside threads; these children use none of what threads may hold.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_holder_is_named_whatever_else_it_opens_and_closes(tmp_path):
    ours, theirs = FORK.Pipe()
    arguments = (tmp_path, theirs)
    process = FORK.Process(target=hold_among_files_that_come_and_go, args=arguments, daemon=True)
    process.start()
    pid = ours.recv()
    found = [holders_of(tmp_path) for _ in range(50)]
    process.kill()
    process.join()
    assert [each for each in found if not (each and each[0].startswith(f"process {pid} "))] == []


def hold(folder, port, pipe):
    """A process like `keymiss serve`: starts the server, and tries again while another has it."""
    while True:
        server = EmbeddedServer(folder, port)
        try:
            server.start()
            break
        except SetupError as error:
            pipe.send(str(error))
    pipe.send(server.pid)
    time.sleep(600)


def start(folder):
    port = free_port()
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=hold, args=(folder, port, theirs), daemon=True)
    process.start()
    return process, port, ours


# Python 3.12 warns of a fork beside threads; these children use none of what threads may hold.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_of_two_that_start_while_one_is_killed_there_is_never_but_one_server(tmp_path, monkeypatch):
    monkeypatch.setattr("keymiss.server.folder_lock.LOCK_SECONDS", 0.05)
    chance = random.Random(29)
    process, port, pipe = start(tmp_path)
    pid = pipe.recv()
    for number in range(ROUNDS):
        with valkey.Valkey(port=port) as client:
            client.set(f"key:{number}", number)
        following = start(tmp_path)
        time.sleep(chance.uniform(0, 0.06))
        os.kill(process.pid, signal.SIGKILL)
        if chance.random() < 0.5:
            # The server outlives who started it: the next one is told of it.
            assert f"process {pid} " in following[2].recv()
        os.kill(pid, signal.SIGKILL)
        process.join()
        process, port, pipe = following
        while isinstance(pid := pipe.recv(), str):
            pass
        holders = holders_of(tmp_path)
        assert len(holders) == 1, holders
        assert holders[0].startswith(f"process {pid} ")
        with valkey.Valkey(port=port) as client:
            assert client.dbsize() == number + 1
    for each in (process.pid, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    process.join()
