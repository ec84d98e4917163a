"""`keymiss bench article` measures a running system, and shows it in three ways."""

import json

import pytest

from keymiss.bench import open_loop_load
from keymiss.bench.article import measure_article
from keymiss.bench.article_rows import KEYMISS, OLD, Row, markdown, write_json, write_png
from keymiss.bench.open_loop_load import measure_load
from keymiss.cli.bench_commands import named_model

ROWS = [
    Row("plain script, cold", "small", OLD, 12.3456, "s", 10.35, "2 cores of a kind"),
    Row("plain script, cold", "small", KEYMISS, 1.2, "s", 10.35, "2 cores of a kind"),
    Row("POST /qasearch, again", "small", KEYMISS, 1234.5, "ms", None, "2 cores of a kind"),
    Row("model info: calls", "small", KEYMISS, 7, "calls", None, "2 cores of a kind"),
]


def test_a_table_has_both_ways_and_the_article_beside_one_another():
    lines = markdown(ROWS).splitlines()
    assert lines[2:] == [
        "| plain script, cold | small | 12.3 s | 1.20 s | 10.3 s |",
        "| POST /qasearch, again | small |  | 1,234 ms |  |",
        "| model info: calls | small |  | 7 calls |  |",
    ]


def test_rows_are_written_as_json_and_as_a_picture(tmp_path):
    write_json(ROWS, tmp_path / "out" / "article.json")
    first = json.loads((tmp_path / "out" / "article.json").read_text())[0]
    assert list(first) == ["name", "model", "way", "value", "unit", "article_value", "hardware"]
    write_png(ROWS, tmp_path / "out" / "article.png")
    assert (tmp_path / "out" / "article.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("minilm-qa", ("minilm-qa", "auto")),
        ("/models/large@int8", ("/models/large", "int8")),
        ("/home/me@here/model", ("/home/me@here/model", "auto")),
    ],
)
def test_a_model_may_be_named_with_its_precision(given, meant):
    assert named_model(given) == meant


@pytest.fixture(scope="module")
def measured():
    return {(row.name, row.way): row for row in measure_article("minilm-qa", 1)}


def test_each_measurement_of_the_article_is_there(measured):
    names = [name for name, way in measured if way == KEYMISS]
    for part in (
        *("plain script, cold: time", "plain script, cold: processor", "first time", "again"),
        *("the reader alone", "over the reader alone", "one key, not stored"),
        *("one key, stored", "ten keys, not stored", "calls", "samples", "errors", "duration"),
    ):
        assert any(part in name for name in names), part
    assert all(row.value > 0 for (name, _), row in measured.items() if "errors" not in name)


def test_what_is_stored_comes_sooner_than_what_is_computed(measured):
    rates = {name.partition(", ")[2]: row.value for (name, _), row in measured.items()}
    assert rates["one key, stored"] > rates["ten keys, not stored"]
    assert rates["one key, not stored"] > rates["ten keys, not stored"]


def test_load_grows_until_answers_are_late(monkeypatch):
    monkeypatch.setattr(open_loop_load, "LOAD_QUESTIONS", 5)
    distinct, repeating = measure_load(1, seconds=2, limit_ms=0.1)
    assert (distinct.questions, repeating.questions) == ("distinct", "repeating")
    assert distinct.hit_rate < 0.1
    assert repeating.hit_rate > 0.5
    assert distinct.batch >= 1
    for step in (distinct, repeating):
        assert (step.shards, step.rate, step.errors) == (1, 2.0, 0)
        assert 0 < step.p50_ms <= step.p95_ms <= step.p99_ms
