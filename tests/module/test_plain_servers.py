"""In and out again: what a server with the module writes and sends, a plain one reads."""

import contextlib
import shutil
import subprocess

import pytest
import valkey

from keymiss.server.embedded_server import free_port


@pytest.fixture
def plain(program, tmp_path, eventually):
    """Starts a server without the module; on the data of a folder, when one is given."""
    started = []

    def start(folder=None, *options):
        own = tmp_path / f"plain-{len(started)}"
        shutil.copytree(folder, own) if folder else own.mkdir()
        port = free_port()
        words = ("--port", str(port), "--dir", str(own), "--logfile", str(own / "plain.log"))
        process = subprocess.Popen([program, *words, *options])
        client = valkey.Valkey(port=port, decode_responses=True)
        started.append((process, client))

        def answers():
            assert process.poll() is None, (own / "plain.log").read_text()
            with contextlib.suppress(valkey.ConnectionError, valkey.exceptions.BusyLoadingError):
                return client.ping()

        eventually(answers)
        return client, own / "plain.log"

    yield start
    for process, client in started:
        client.close()
        process.terminate()
        process.wait(20)


def worked_with(server, worker, client, background):
    """Everything that the module writes: registrations, answers, drops, what is forgotten."""
    worker.serve("echo", "echo:", "VERSION", "1", "FORM", "echo:<name>")
    worker.serve("odd%\\", "odd% '\\\xff:", "ON", "WRITE")
    worker.serve("gone", "gone:", "CACHE", "forever")
    for key in ("echo:1", "gone:1", "echo:dropped"):
        reply = background(client.get, key)
        item = worker.take_one("echo", "gone")
        worker.answer(item, f"value of {item.key}")
        assert reply.result(10)
    client.hset("text", "0", "A sentence.")
    worker.serve("echo", "echo:", "VERSION", "1", "FORM", "echo:<name>", "CLEAN")
    worker.client.execute_command("KEYMISS.DROP", "echo:dropped")
    client.execute_command("KEYMISS.FORGET", "gone")


@pytest.mark.parametrize("preamble", ["yes", "no"])
@pytest.mark.parametrize("rewritten", [False, True], ids=["as appended", "rewritten"])
def test_a_plain_server_starts_from_the_append_only_file(
    launch, worker_of, connect, background, plain, eventually, preamble, rewritten
):
    server = launch("--aof-use-rdb-preamble", preamble)
    client = connect(server)
    worked_with(server, worker_of(server), client, background)
    eventually(lambda: client.exists("echo:1"))
    before = {key: client.type(key) for key in client.scan_iter()}
    if rewritten:
        client.bgrewriteaof()
        eventually(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
    server.stop()
    there, log = plain(server.log.parent, "--appendonly", "yes")
    assert {key: there.type(key) for key in there.scan_iter()} == before
    assert there.get("echo:1") == "value of echo:1"
    assert not errors_in(log)


def test_a_plain_server_starts_from_the_snapshot(
    launch, worker_of, connect, background, plain, eventually
):
    server = launch("--appendonly", "no")
    client = connect(server)
    worked_with(server, worker_of(server), client, background)
    eventually(lambda: client.exists("echo:1"))
    client.save()
    server.stop()
    there, log = plain(server.log.parent, "--appendonly", "no")
    assert there.hget("text", "0") == "A sentence."
    assert not errors_in(log)
    # And back again: the functions are known from the snapshot.
    server.start()
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
        connect(server).get("echo:2")


def test_a_plain_replica_follows(launch, worker_of, connect, background, plain, eventually):
    server = launch()
    client = connect(server)
    replica, log = plain()
    replica.replicaof("127.0.0.1", server.port)
    eventually(lambda: replica.info("replication")["master_link_status"] == "up")
    worked_with(server, worker_of(server), client, background)
    client.set("last", "x")
    eventually(lambda: replica.exists("last"))
    assert sorted(replica.keys()) == sorted(client.keys())
    assert replica.get("echo:1") == "value of echo:1"
    assert replica.info("replication")["master_link_status"] == "up"
    assert not errors_in(log)
    replica.execute_command("REPLICAOF", "NO", "ONE")
    assert replica.get("echo:missing") is None


def errors_in(log):
    words = ("rror", "unknown command", "WARNING: ", "nknown")
    return [line for line in log.read_text().splitlines() if any(each in line for each in words)]
