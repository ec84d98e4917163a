"""The engine gives what transformers gives, for each row by itself, whatever else is computed."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from keymiss.errors import ModelError
from keymiss.reader.checkpoint import BUNDLED_FOLDER
from keymiss.reader.encoder_config import load_config
from keymiss.reader.engine.engine_network import MOST_CALL_TOKENS, load_engine_network
from keymiss.reader.network import TokenRow
from keymiss.reader.reader_statistics import Statistics
from keymiss.reader.tokenizer import Tokenizer
from tests.reader.test_families import CLOSE, FAMILIES, GOLDEN, expected

CONFIG = load_config(BUNDLED_FOLDER)


def network(folder=BUNDLED_FOLDER, precision="fp32", threads=2):
    return load_engine_network(folder, load_config(folder), precision, threads, Statistics())


def row(*ids, passage_at=0):
    return TokenRow(np.array(ids, np.int32), passage_at)


def random_row(length, seed=0):
    ids = np.random.default_rng(seed).integers(0, CONFIG.vocabulary, length, np.int32)
    return TokenRow(ids, length // 3)


@pytest.fixture(scope="module", params=["fp32", "bf16", "int8"])
def bundled(request):
    return network(precision=request.param)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(family, isa):
    records = expected(family)
    special = Tokenizer(GOLDEN / family).special
    rows = []
    for record in records:
        separators = [at for at, id in enumerate(record["ids"]) if id == special.separator]
        rows.append(row(*record["ids"], passage_at=separators[special.separators_between - 1] + 1))
    computed = dict(network(GOLDEN / family).logits(rows))
    for index, record in enumerate(records):
        np.testing.assert_allclose(computed[index], record["logits"], rtol=0, atol=CLOSE)


def test_other_precisions_stay_near(isa):
    rows = [random_row(length, length) for length in (20, 130, 47)]
    exact = dict(network().logits(rows))
    for precision, near in (("bf16", 0.15), ("int8", 0.8)):
        computed = dict(network(precision=precision).logits(rows))
        for index in exact:
            np.testing.assert_allclose(computed[index], exact[index], rtol=0, atol=near)


def one_layer(folder, columns):
    """The bundled network's first layer, with each column of its inner layer this many times: the
    same function, whatever the number."""
    shutil.copytree(BUNDLED_FOLDER, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": 1, "intermediate_size": columns * config["intermediate_size"]}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if "intermediate" in name:
            tensors[name] = np.concatenate([tensor] * columns)
        elif name.endswith("output.dense.weight") and "attention" not in name:
            tensors[name] = np.concatenate([tensor / columns] * columns, axis=1)
    save_file(tensors, folder / "model.safetensors")
    return network(folder)


@pytest.mark.parametrize("tokens", [31, 544, 1056])
def test_wide_layers_are_divided_whatever_the_number_of_tokens(tmp_path, tokens):
    rows = [row(*ids) for ids in batched(np.arange(tokens), 60)]
    expected_logits = dict(one_layer(tmp_path / "narrow", 1).logits(rows))
    for index, logits in one_layer(tmp_path / "wide", 4).logits(rows):
        np.testing.assert_allclose(logits, expected_logits[index], rtol=0, atol=CLOSE)


def batched(numbers, size):
    return [numbers[first : first + size] for first in range(0, len(numbers), size)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 180), min_size=1, max_size=12))
def test_a_row_has_the_same_logits_alone_and_among_others(bundled, lengths):
    rows = [random_row(length, seed) for seed, length in enumerate(lengths)]
    together = dict(bundled.logits(rows))
    for index, one in enumerate(rows):
        ((_, alone),) = bundled.logits([one])
        np.testing.assert_array_equal(together[index], alone)


@pytest.mark.parametrize("threads", [1, 3, 7])
def test_the_number_of_threads_changes_nothing(threads):
    rows = [random_row(length, length) for length in (100, 5, 33)]
    expected_logits = dict(network().logits(rows))
    for index, logits in network(threads=threads).logits(rows):
        np.testing.assert_array_equal(logits, expected_logits[index])


MANY_THREADS = """
import sys, time
from pathlib import Path
from tests.reader.engine.test_engine_network import network, row

small = network(Path(sys.argv[1]), threads=8)
end = time.monotonic() + 4
while time.monotonic() < end:
    list(small.logits([row(1, 2, 3)]))
"""


def test_more_threads_than_processors_come_to_an_end():
    # The system puts threads aside in the middle of anything, all the more among other processes.
    command = [sys.executable, "-c", MANY_THREADS, str(GOLDEN / "bert")]
    processes = [subprocess.Popen(command) for _ in range(4)]
    try:
        assert [process.wait(timeout=60) for process in processes] == [0] * 4
    finally:
        for process in processes:
            process.kill()


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_threads_than_one_are_an_error(threads):
    with pytest.raises(ModelError, match=f"{threads} threads cannot compute"):
        network(threads=threads)


def test_several_threads_may_ask_at_once(bundled):
    rows = [random_row(10 + seed, seed) for seed in range(40)]
    alone = [next(bundled.logits([one]))[1] for one in rows]
    with ThreadPoolExecutor(8) as threads:
        for computed, expected_one in zip(
            threads.map(lambda one: next(bundled.logits([one]))[1], rows), alone, strict=True
        ):
            np.testing.assert_array_equal(computed, expected_one)


def test_a_child_process_computes_too(bundled):
    one = random_row(60)
    ((_, before),) = bundled.logits([one])
    child = os.fork()
    if not child:
        ((_, logits),) = bundled.logits([one])
        os._exit(0 if np.array_equal(logits, before) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_rows_of_one_token_and_of_all_positions_are_read(bundled):
    computed = dict(bundled.logits([random_row(1), random_row(CONFIG.max_tokens)]))
    assert computed[0].shape == (1, 2)
    assert computed[1].shape == (CONFIG.max_tokens, 2)
    assert all(np.isfinite(logits).all() for logits in computed.values())


def test_no_rows_have_no_logits(bundled):
    assert list(bundled.logits([])) == []


def test_a_hundred_thousand_rows_are_read_in_calls():
    small = network(GOLDEN / "bert")
    rows = [row(1, 2 + number % 5, 3) for number in range(100_000)]
    computed = dict(small.logits(rows))
    assert len(computed) == 100_000
    np.testing.assert_array_equal(computed[0], computed[99_995])
    assert len(rows) * 3 > 100 * MOST_CALL_TOKENS


@pytest.mark.parametrize(
    "wrong",
    [
        row(1, CONFIG.vocabulary),
        row(-1),
        row(),
        random_row(CONFIG.max_tokens + 1),
        row(1, 2, passage_at=-1),
    ],
    ids=["an id too high", "an id below zero", "empty", "too long", "a passage before the row"],
)
def test_a_row_that_cannot_be_read_is_an_error(bundled, wrong):
    with pytest.raises(ModelError, match="a row is empty or too long, or holds an id"):
        list(bundled.logits([random_row(9), wrong]))
    assert len(list(bundled.logits([random_row(9)]))) == 1


def test_an_instruction_set_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("KEYMISS_ISA", "abacus")
    with pytest.raises(ModelError, match="KEYMISS_ISA=abacus: there is no such"):
        network()


def test_the_config_decides_what_the_engine_can_compute(tmp_path):
    facts = json.loads((GOLDEN / "bert" / "config.json").read_text())
    for file in (GOLDEN / "bert").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(facts | {"intermediate_size": 10**6}))
    with pytest.raises(ModelError, match="the engine cannot compute a model of this size"):
        network(tmp_path)
