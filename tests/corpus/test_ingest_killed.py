"""An ingest that is killed leaves whole documents only, and goes on where it was."""

import json
import random
import subprocess
import sys
import time

import pytest
import valkey

from keymiss.corpus import verify as verifying
from keymiss.corpus.ingest import ingest
from keymiss.corpus.verify import verify


@pytest.fixture
def articles(tmp_path):
    chance = random.Random(4)
    path = tmp_path / "articles.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(1500):
            count = chance.randint(1, 40)
            text = " ".join(f"Sentence {i} of article {number}." for i in range(count))
            file.write(json.dumps({"id": f"a{number}", "text": text}) + "\n")
    return path


@pytest.mark.parametrize("seed", range(4))
def test_what_a_killed_ingest_has_written_is_whole(server, articles, monkeypatch, seed):
    monkeypatch.setattr(verifying, "LOOK_AGAIN_SECONDS", 0)
    command = [sys.executable, "-m", "keymiss", "ingest", str(articles), "--url", server.url]
    with valkey.Valkey(port=server.port) as raw:
        ingesting = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        keys = random.Random(seed).randint(1, 1500)
        while raw.dbsize() < keys:
            time.sleep(0.0001)
        ingesting.kill()
        ingesting.wait()
        stored = sum(1 for _ in raw.scan_iter("keymiss:document:*", 1000))
        assert stored < 1500, "it was faster than the kill"
        if stored:
            assert verify(raw) == []
        report = ingest(raw, [articles])
        assert (report.stored, report.unchanged) == (1500 - stored, stored)
        assert verify(raw) == []
