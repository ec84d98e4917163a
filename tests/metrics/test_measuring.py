"""What processes measure: questions on the web server, models in the server, lines of a log."""

import asyncio
import json
import logging
import re
import subprocess
import sys
import time

import httpx
import pytest
import valkey
from fastapi.testclient import TestClient

from keymiss.answering import model_statistics
from keymiss.answering.model_statistics import ModelStatistics
from keymiss.keys import statistics_key
from keymiss.reader import Reader
from keymiss.reader.fake_network import fake_reader
from keymiss.reader.reader_statistics import Statistics
from keymiss.web.http_app import create_app

SECRET = "a secret of the tests"
QUESTION = {"search": "Who discovered the tuberculosis bacterium?"}


def value(text, name, **labels):
    """Of a metric in Prometheus' text format, 0 when it is not there."""
    wanted = "".join(rf'(?=[^}}]*{key}="{re.escape(label)}")' for key, label in labels.items())
    pattern = rf"^{name}(?:\{{{wanted}[^}}]*\}})? ([0-9.e+-]+)$"
    found = re.search(pattern, text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_questions_and_their_stages_are_counted(stack):
    with httpx.Client(base_url=stack.http, timeout=20) as http:
        before = http.get("/metrics").text
        http.post("/qasearch", json=QUESTION)
        http.post("/qasearch", json={"search": "Zyzzyva?"})
        http.post("/qasearch", json={"search": ""})
        after = http.get("/metrics").text

    def rise(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert rise("keymiss_questions_total", outcome="answered") >= 1
    assert rise("keymiss_questions_total", outcome="unanswered") >= 1
    assert rise("keymiss_questions_total", outcome="BadInput") >= 1
    for stage in ("find", "read", "show"):
        assert rise("keymiss_question_stage_seconds_count", stage=stage) >= 2
    assert rise("keymiss_question_stage_seconds_count", stage="all") >= 3


def test_a_question_has_an_id_that_the_log_knows_and_what_was_asked_it_does_not(stack, caplog):
    caplog.set_level(logging.INFO, logger="keymiss.questions")
    with TestClient(create_app(stack.url, SECRET)) as http:
        answered = http.post("/qasearch", json=QUESTION)
        refused = http.post("/qasearch", json={"search": " "})
    lines = [json.loads(record.message) for record in caplog.records if "{" in record.message]
    lines = [line for line in lines if line.get("event") == "question"]
    assert [line["id"] for line in lines] == [
        reply.headers["X-Question-Id"] for reply in (answered, refused)
    ]
    assert [line["outcome"] for line in lines] == ["ok", "BadInput"]
    assert lines[0]["results"] == len(answered.json()["results"])
    assert all(line["ms"] > 0 for line in lines)
    assert "tuberculosis" not in caplog.text


def info(stack):
    command = ("model", "info", "minilm-qa", "--json", "--url", stack.url)
    done = subprocess.run(
        [sys.executable, "-m", "keymiss", *command], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_what_a_model_has_done_is_a_key_that_anyone_can_get(stack):
    with httpx.Client(base_url=stack.http, timeout=20) as http:
        http.post("/qasearch", json={"search": f"Who discovered bacterium {time.time()}?"})
    with valkey.Valkey(port=stack.port, decode_responses=True) as client:
        wait_for(lambda: client.exists("keymiss:statistics:{minilm-qa}"))
        time.sleep(1.2)  # what is in hand is counted once a second
        told = json.loads(client.get("keymiss:modelinfo{minilm-qa}"))
        assert told == info(stack)
        assert told["calls"] >= 1
        assert told["samples"] >= 10
        assert told["duration_us"] > 1000
        assert told["errors"] == 0
        (shard,) = told["shards"].values()
        assert shard == {name: told[name] for name in shard}
        with pytest.raises(valkey.ResponseError, match="NotFound: no reader with the name 'x'"):
            client.get("keymiss:modelinfo{x}")
        assert client.get("keymiss:modelinfo{minilm-qa}x") is None
    command = ("model", "info", "minilm-qa", "--reset", "--url", stack.url)
    done = subprocess.run(
        [sys.executable, "-m", "keymiss", *command], capture_output=True, text=True, check=True
    )
    assert f"{told['samples']} samples" in done.stdout
    with valkey.Valkey(port=stack.port) as client:
        assert not client.exists("keymiss:statistics:{minilm-qa}")


def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_call_for_several_shards_is_shared_between_them():
    statistics = ModelStatistics(fake_reader())
    statistics.add({"a": 3, "b": 1}, 0.4)
    statistics.add({"a": 1}, 0.1, failed=True)
    statistics.add({}, 0.1)
    assert dict(statistics._uncounted) == {
        **{"a calls": 2, "a samples": 4, "a duration_us": 400_000, "a errors": 1},
        **{"b calls": 1, "b samples": 1, "b duration_us": 100_000, "b errors": 0},
        **{"together calls": 2, "together samples": 5},
        **{"together duration_us": 500_000, "together errors": 1},
    }


def test_a_reader_counts_what_it_reads():
    reader = Reader.from_pretrained("minilm-qa", "fp32")
    assert reader.statistics.load_seconds > 0
    reader.read_batch([("Who?", "Koch."), ("Who?", "Robert Koch, in Berlin.")])
    counted = reader.statistics.read()
    assert (counted["calls"], counted["pairs"], counted["windows"]) == (1, 2, 2)
    assert counted["tokens"] > 10
    assert counted["inference_seconds"] > counted["answer_seconds"] > 0
    with pytest.raises(RuntimeError):
        reader.read_batch([("Who?", None)])  # type: ignore[list-item]
    assert reader.statistics.errors == 1


def test_statistics_are_read_at_one_moment():
    statistics = Statistics()
    statistics.add(calls=1, pairs=3)
    with statistics.timed("answer_seconds"):
        pass
    assert statistics.read()["pairs"] == 3
    assert set(statistics.read()) >= {"calls", "tokens", "padding", "load_seconds"}


def test_a_count_that_is_refused_makes_no_other_count_twice(server, client, monkeypatch):
    monkeypatch.setattr(model_statistics, "FLUSH_SECONDS", 0.05)
    statistics = ModelStatistics(fake_reader())
    statistics.add({"a": 3, "b": 2}, 0.001)
    key = statistics_key(statistics.name)
    client.hset(key, "a samples", "no number")

    async def keep_for_a_while():
        stop = asyncio.Event()
        keeping = asyncio.create_task(statistics.keep(server.url, stop))
        await asyncio.sleep(0.5)
        stop.set()
        await keeping

    asyncio.run(keep_for_a_while())
    assert client.hget(key, "a calls") == "1"
    client.hdel(key, "a samples")
    asyncio.run(keep_for_a_while())
    counted = client.hgetall(key)
    assert counted["a calls"] == counted["b calls"] == "1"
    assert (counted["a samples"], counted["b samples"]) == ("3", "2")
