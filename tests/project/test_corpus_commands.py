"""forget and corpus: what they print, and their exit status."""

import json
import subprocess
import sys

import pytest

from keymiss.keys import document_keys


@pytest.fixture
def keymiss(server):

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "keymiss", *arguments, "--url", server.url],
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def keys(server, tmp_path, keymiss):
    (tmp_path / "a.txt").write_text("One. Two.")
    assert keymiss("ingest", str(tmp_path / "a.txt")).returncode == 0
    return document_keys("a")


def test_ingest_reports_as_json(keymiss, tmp_path):
    (tmp_path / "good.txt").write_text("One. Two.")
    (tmp_path / "bad.json").write_text("{")
    done = keymiss("ingest", str(tmp_path), "--json")
    report = json.loads(done.stdout)
    assert (report["stored"], report["sentences"], report["unchanged"]) == (1, 2, 0)
    assert "bad.json: is not JSON" in report["problems"][0]
    assert done.returncode == 1


def test_forget_deletes_a_document_and_says_what_was_not_there(keymiss, client, keys):
    done = keymiss("forget", "a", "b")
    assert (done.returncode, done.stdout) == (1, "1 document forgotten\n")
    assert "there is no document 'b'" in done.stderr
    assert client.keys("*") == ["keymiss:corpus"]


def test_status_counts(keymiss, keys):
    status = json.loads(keymiss("corpus", "status", "--json").stdout)
    assert (status["documents"], status["sentences"]) == (1, 2)


def test_verify_and_repair(keymiss, client, keys):
    assert keymiss("corpus", "verify").stdout == "nothing is damaged\n"
    client.srem(keys.bucket, "a")
    done = keymiss("corpus", "verify", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["wrong"]) == (1, "lacks 'a'")
    assert keymiss("corpus", "repair").stdout.endswith("1 mended\n")
    assert keymiss("corpus", "verify").returncode == 0


def test_without_a_corpus_it_says_how_to_make_one(keymiss):
    done = keymiss("corpus", "verify")
    assert (done.returncode, "keymiss ingest PATH" in done.stderr) == (1, True)


def test_export_writes_what_ingest_takes(keymiss, keys, client, tmp_path):
    file = tmp_path / "corpus.jsonl"
    done = keymiss("corpus", "export", str(file))
    assert (done.returncode, done.stdout) == (
        0,
        "1 document with 2 sentences written, 0 left out\n",
    )
    assert keymiss("ingest", str(file)).stdout.endswith("1 unchanged, 0 left out\n")
    client.hdel(keys.sentences, "1")
    done = keymiss("corpus", "export", str(file))
    assert (done.returncode, "left out: a: is not whole" in done.stderr) == (1, True)
    assert keymiss("corpus", "export", str(tmp_path / "x.txt")).returncode == 2


def test_ingest_of_our_own_keys_is_refused(keymiss):
    done = keymiss("ingest", "--keys", "keymiss:*")
    assert (done.returncode, "are keymiss's own" in done.stderr) == (2, True)
