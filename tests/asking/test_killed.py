"""Ingest, worker or server is killed at a random moment: a rerun completes, and all is whole.

MOMENTS=20 makes it long.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import valkey

from keymiss.corpus import verify as verifying
from keymiss.corpus.corpus_status import read_status
from keymiss.corpus.verify import verify
from keymiss.keys import bucket_tag, find_key
from keymiss.server.embedded_server import EmbeddedServer, free_port

MOMENTS = int(os.environ.get("MOMENTS", "3"))
DOCUMENTS = 1500


def write_articles(path, generation):
    """Each generation rewrites two thirds of the documents."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(DOCUMENTS):
            version = generation if number % 3 else 0
            text = " ".join(f"Sentence {i} of version {version}." for i in range(number % 30 + 1))
            file.write(json.dumps({"id": f"a{number}", "text": text}) + "\n")


@pytest.fixture
def start():
    """Starts commands as processes, which are killed at the latest when the test ends."""
    started = []

    def run(command, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "keymiss", command, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def indexed_documents(client):
    try:
        value = client.get(find_key(bucket_tag(0), "version"))
    except valkey.ResponseError:
        return None
    return json.loads(value)["documents"] if value else None


def wait_until_derived(client):
    deadline = time.monotonic() + 60
    # Vectors are made between questions: so nothing is asked while they are.
    while client.info("keymiss")["keymiss_pending"] or indexed_documents(client) != DOCUMENTS:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_whatever_is_killed_a_rerun_completes(start, tmp_path, monkeypatch):
    monkeypatch.setattr(verifying, "LOOK_AGAIN_SECONDS", 0.2)
    articles, chance = tmp_path / "articles.jsonl", random.Random(7)
    with EmbeddedServer(tmp_path / "server", free_port()) as server:
        worker_command = ("worker", "--url", server.url, "--cache", str(tmp_path / "cache"))
        ingest_command = ("ingest", str(articles), "--url", server.url)
        worker = start(*worker_command)
        for generation in range(1, MOMENTS + 1):
            write_articles(articles, generation)
            ingesting = start(*ingest_command)
            time.sleep(chance.uniform(0.2, 1.2))
            victim = ("ingest", "worker", "server")[generation % 3]
            if victim == "ingest":
                ingesting.kill()
            elif victim == "worker":
                worker.kill()
                worker.wait()
                worker = start(*worker_command)
            else:
                os.kill(server.pid, signal.SIGKILL)
                ingesting.wait(60)
                server.stop()
                server.start()
            ingesting.wait(60)
            assert start(*ingest_command).wait(60) == 0
            with valkey.Valkey(port=server.port) as client:
                wait_until_derived(client)
                assert verify(client) == []
                status = read_status(client)
                assert status.documents == status.with_tokens == DOCUMENTS
                assert status.sentences == sum(number % 30 + 1 for number in range(DOCUMENTS))
        worker.terminate()
        assert worker.wait(20) == 0
