"""Documents are rewritten and forgotten while many ask and workers are killed: nothing goes stale.

ROUNDS=100 makes it long.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time

import pytest
import valkey

from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import ingest
from keymiss.corpus.verify import verify
from keymiss.keys import (
    bertqa_key,
    bucket_tag,
    document_keys,
    find_key,
    passage_key,
    qa_key,
)
from keymiss.operating.served_functions import parse_list

ROUNDS = int(os.environ.get("ROUNDS", "8"))
DOCUMENTS = 12
CLIENTS = 20
FUNCTIONS = ("index", "find", "tokens", "qa", "bertqa", "passage")


class Workers:
    """Two worker processes of one server, each with a cache of its own."""

    def __init__(self, url, folder):
        # In bf16, a batch of another size may turn the scale between two answers.
        options = ("--precision", "fp32", "--cache")
        self._commands = [
            [sys.executable, "-m", "keymiss", "worker", "--url", url, *options, str(folder / name)]
            for name in ("first", "second")
        ]
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, number):
        process = subprocess.Popen(self._commands[number], stderr=subprocess.DEVNULL)
        self._processes[number : number + 1] = [process]

    def kill(self, number):
        self._processes[number].kill()
        self._processes[number].wait()

    def stop(self, number):
        self._processes[number].terminate()
        self._processes[number].wait(20)


@pytest.fixture
def workers(server, tmp_path):
    workers = Workers(server.url, tmp_path)
    for number in (0, 1):
        workers.start(number)
    yield workers
    for number in (0, 1):
        workers.kill(number)


def wait_for_workers(raw, count):
    deadline = time.monotonic() + 60
    while True:
        listed = parse_list(raw.execute_command("KEYMISS.LIST"))
        if all(listed.get(name, {}).get("workers") == count for name in FUNCTIONS):
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def marker(number):
    """A word that only the document with this number has."""
    return "marker" + "abcdefghijkl"[number]


def text_of(number, version):
    """A text whose every sentence holds a word that no other document has."""
    many = 2 + version % 4
    return " ".join(f"The {marker(number)} has colour {version} in room {i}." for i in range(many))


class Library:
    """What should be in the corpus."""

    def __init__(self, raw, folder):
        self._raw = raw
        self._file = folder / "documents.jsonl"
        self.versions = {}

    def write(self, versions):
        self.versions.update(versions)
        lines = [
            json.dumps({"id": f"d{number}", "text": text_of(number, version)})
            for number, version in versions.items()
        ]
        self._file.write_text("\n".join(lines))
        report = ingest(self._raw, [self._file])
        assert report.problems == []

    def forget(self, number):
        self.versions.pop(number, None)
        forget_documents(self._raw, [document_keys(f"d{number}")])


def a_question(keys, chance):
    number = chance.randrange(DOCUMENTS)
    sentence = keys[number].sentence(chance.randrange(4))
    question = f"Which colour has {marker(number)}? {chance.randrange(3)}"
    if chance.random() < 0.3:
        return passage_key(keys[number].sentence(0), chance.randrange(4), question)
    return chance.choice([qa_key, bertqa_key])(sentence, question)


def ask_until(stop, port, keys, seed, unexpected):
    chance = random.Random(seed)
    with valkey.Valkey(port=port, socket_timeout=30) as client:
        while not stop.is_set():
            try:
                client.get(a_question(keys, chance))
            except valkey.ResponseError as error:
                if not str(error).startswith("KEYMISS failed NotFound"):
                    unexpected.append(error)


def found_documents(raw, number):
    """The sentences that one worker's search finds for a document's own word."""
    value = raw.get(find_key(bucket_tag(0), marker(number)))
    found = json.loads(value)["candidates"]
    return sorted(sentence for sentence, _, frequencies, *_ in found if any(frequencies))


def computed_anew(raw, key):
    raw.execute_command("KEYMISS.DROP", key)
    return raw.get(key)


def comparable(value):
    """A batch of another size changes logits in the last digits."""
    if not value.startswith(b"{"):
        return value
    record = json.loads(value)
    return {k: round(v, 1) if isinstance(v, float) else v for k, v in record.items()}


def test_nothing_goes_stale(server, raw, workers, tmp_path):
    library = Library(raw, tmp_path)
    library.write(dict.fromkeys(range(DOCUMENTS), 0))
    wait_for_workers(raw, 2)
    keys = [document_keys(f"d{number}") for number in range(DOCUMENTS)]
    stop, unexpected, chance = threading.Event(), [], random.Random(1)
    asking = [
        threading.Thread(target=ask_until, args=(stop, server.port, keys, seed, unexpected))
        for seed in range(CLIENTS)
    ]
    for thread in asking:
        thread.start()
    for round_ in range(1, ROUNDS + 1):
        numbers = chance.sample(range(DOCUMENTS), 4)
        library.forget(numbers[0])
        library.write(dict.fromkeys(numbers[1:], round_))
        if round_ % 4 == 0:
            victim = chance.randrange(2)
            workers.kill(victim)
            workers.start(victim)
            wait_for_workers(raw, 2)
        time.sleep(chance.uniform(0, 0.3))
    stop.set()
    for thread in asking:
        thread.join()
    assert unexpected == []

    deadline = time.monotonic() + 20
    while raw.info("keymiss")["keymiss_pending"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert verify(raw) == []
    computed = ("keymiss:qa{*", "bertqa{*", "keymiss:passage{*")
    cached = [key for pattern in computed for key in raw.scan_iter(pattern, 1000)]
    assert cached
    for key in cached:
        stored = raw.get(key)
        assert comparable(stored) == comparable(computed_anew(raw, key)), key
    for number in (0, 1):
        other = 1 - number
        workers.stop(other)
        wait_for_workers(raw, 1)
        for document in range(DOCUMENTS):
            version = library.versions.get(document)
            count = 0 if version is None else 2 + version % 4
            expected = sorted(keys[document].sentence(i) for i in range(count))
            assert found_documents(raw, document) == expected
        workers.start(other)
        wait_for_workers(raw, 2)


def test_a_slow_reader_that_holds_a_miss_while_its_document_changes(server, raw, tmp_path):
    """The client is answered, and nothing stale is stored."""
    library = Library(raw, tmp_path)
    library.write({1: 1})
    keys = document_keys("d1")
    key = qa_key(keys.sentence(0), "Which colour?").encode()
    with valkey.Valkey(port=server.port, single_connection_client=True) as slow:
        slow.execute_command("KEYMISS.SERVE", "qa", "ON", "MISS", "PREFIX", "keymiss:qa{")
        with valkey.Valkey(port=server.port, single_connection_client=True) as client:
            client.connection.send_command("GET", key)
            ((_, _, id, _),) = slow.execute_command(
                *("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 3000, "qa")
            )
            # As the worker does: the note first, then the text.
            slow.zadd(keys.answers, {key: time.time() + 3900})
            old = slow.hget(keys.sentences, "0")
            library.write({1: 2})
            slow.execute_command("KEYMISS.ANSWER", id, old)
            assert client.connection.read_response() == old
    time.sleep(0.1)
    assert not raw.exists(key)
